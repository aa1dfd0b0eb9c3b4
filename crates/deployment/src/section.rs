//! One table of a file, read key by key, and everything that may be wrong with a value.

use crate::component::check_name;
use crate::keys::Keys;
use crate::notes::Placed;
use crate::reader::Reader;
use crate::source::At;
use base::{Mistake, units};
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table of the file whose keys are known.
pub(crate) struct Section<'a> {
    pub(crate) reader: &'a Reader<'a>,
    pub(crate) span: Range<usize>,
    table: &'a DeTable<'a>,
}

impl<'a> Section<'a> {
    /// Opens a table whose keys are `keys` and, besides, `more`. Reports every other key.
    pub(crate) fn open(
        reader: &'a Reader<'a>,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        keys: &'static Keys,
        more: &[&str],
    ) -> Self {
        let known = || keys.names().chain(more.iter().copied());
        for (key, _) in table.iter() {
            let name: &str = key.get_ref();
            if keys.later.contains(&name) {
                let message = format!("`{name}` is not served by this build");
                reader.mistake(Mistake::at(key.span(), message));
            } else if !known().any(|known| known == name) {
                reader.mistake(Mistake::unknown(key.span(), "key", name, known()));
            }
        }
        Self { reader, span, table }
    }

    pub(crate) fn mistake(&self, mistake: Mistake) {
        self.reader.mistake(mistake);
    }

    /// Reports that something has to stand in this table.
    pub(crate) fn missing(&self, message: String, hint: &str) {
        let mistake = Mistake::at(self.span.clone(), message).with_hint(hint);
        self.reader.notes.absence(self.reader.file, mistake);
    }

    pub(crate) fn at(&self) -> At {
        self.reader.at(self.span.clone())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value of a key that the section knows.
    pub(crate) fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    /// Where the key's value stands, or else the table.
    pub(crate) fn at_key(&self, key: &str) -> At {
        self.value(key).map_or_else(|| self.at(), |value| self.reader.at(value.span()))
    }

    /// A value that `parse` makes of a string. `what` names it with its article.
    pub(crate) fn parsed<T>(
        &self,
        key: &str,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let word = self.reader.open_word(value, what)?;
        match parse(word.value) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.mistake(word.wrong(value.span(), what, why));
                None
            }
        }
    }

    /// A string that may be shown.
    pub(crate) fn string(&self, key: &str) -> Option<Placed<String>> {
        let value = self.parsed(key, "text", |text| Ok(text.to_owned()))?;
        Some(Placed { value, at: self.at_key(key) })
    }

    /// Strings that may be shown: an array of them, or one alone.
    pub(crate) fn strings(&self, key: &str) -> Option<Vec<Placed<String>>> {
        self.each(key, "text", |text| Ok(text.to_owned()))
    }

    /// What `parse` makes of each string of an array, or of one string alone.
    pub(crate) fn each<T>(
        &self,
        key: &str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<Placed<T>>> {
        let value = self.value(key)?;
        let values = match value.get_ref() {
            DeValue::Array(array) => array.iter().collect(),
            DeValue::String(_) => vec![value],
            _ => {
                self.reader.expected(value, &format!("{what}, or an array of such"));
                return None;
            }
        };
        let mut found = Vec::new();
        for value in values {
            let Some(word) = self.reader.open_word(value, what) else { continue };
            match parse(word.value) {
                Ok(parsed) => {
                    found.push(Placed { value: parsed, at: self.reader.at(value.span()) });
                }
                Err(why) => self.mistake(word.wrong(value.span(), what, why)),
            }
        }
        Some(found)
    }

    /// One of a few words.
    pub(crate) fn choice<T: Clone>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.value(key)?;
        let word = self.reader.open_word(value, "a word")?;
        if let Some((_, found)) = words.iter().find(|(known, _)| *known == word.value) {
            return Some(found.clone());
        }
        let known = words.iter().map(|(known, _)| *known);
        let what = format!("a word for `{key}`");
        self.mistake(match word.expansion {
            None => Mistake::unknown(value.span(), key, word.value, known),
            Some(_) => word.wrong(value.span(), &what, String::new()),
        });
        None
    }

    /// One of the names that stand elsewhere in the file. `what` says what they are names of.
    pub(crate) fn name_of(&self, key: &str, what: &str, known: &[&str]) -> Option<String> {
        let value = self.value(key)?;
        let word = self.reader.open_word(value, what)?;
        if known.contains(&word.value) {
            return Some(word.value.to_owned());
        }
        let at = self.reader.at(value.span());
        let mistake = self.unknown_name(&at, what, word.value, known);
        self.reader.notes.absence(self.reader.file, mistake);
        None
    }

    /// The mistake of a name that stands at `at` and is none of `known`.
    pub(crate) fn unknown_name(&self, at: &At, what: &str, name: &str, known: &[&str]) -> Mistake {
        let span = at.span.clone();
        match self.reader.expansions.get(&span.start) {
            None => Mistake::unknown(span, what, name, known.iter().copied()),
            Some(expansion) => {
                let written = &expansion.written;
                Mistake::at(span, format!("what `{written}` stands for is no {what}"))
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key)?.get_ref() {
            DeValue::Boolean(truth) => Some(*truth),
            DeValue::String(_) => self.parsed(key, "`true` or `false`", |text| {
                text.parse()
                    .ok()
                    .ok_or_else(|| "expected `true` or `false`, found string".to_owned())
            }),
            _ => {
                self.reader.expected(self.value(key)?, "`true` or `false`");
                None
            }
        }
    }

    /// A whole number within `range`.
    pub(crate) fn number<T>(&self, key: &str, range: RangeInclusive<u64>) -> Option<T>
    where
        T: TryFrom<u64>,
    {
        self.number_of(self.value(key)?, &range)
    }

    /// Whole numbers within `range`: an array of them, or one alone.
    pub(crate) fn numbers<T>(&self, key: &str, range: RangeInclusive<u64>) -> Option<Vec<T>>
    where
        T: TryFrom<u64>,
    {
        let value = self.value(key)?;
        match value.get_ref().as_array() {
            None => Some(vec![self.number_of(value, &range)?]),
            Some(array) => {
                Some(array.iter().filter_map(|value| self.number_of(value, &range)).collect())
            }
        }
    }

    fn number_of<T>(
        &self,
        value: &'a Spanned<DeValue<'a>>,
        range: &RangeInclusive<u64>,
    ) -> Option<T>
    where
        T: TryFrom<u64>,
    {
        let what = "a whole number";
        let number = match value.get_ref() {
            DeValue::Integer(number) => {
                u64::from_str_radix(number.as_str(), number.radix()).ok().or_else(|| {
                    self.outside(value.span(), range);
                    None
                })?
            }
            DeValue::String(_) => {
                let word = self.reader.open_word(value, what)?;
                word.value.parse().ok().or_else(|| {
                    let why = format!("expected {what}, found string");
                    self.mistake(word.wrong(value.span(), what, why));
                    None
                })?
            }
            _ => {
                self.reader.expected(value, what);
                return None;
            }
        };
        self.within(value.span(), number, range)
    }

    /// A number of bytes within `range`.
    pub(crate) fn size<T>(&self, key: &str, range: RangeInclusive<u64>) -> Option<T>
    where
        T: TryFrom<u64>,
    {
        let value = self.value(key)?;
        if matches!(value.get_ref(), DeValue::Integer(_)) {
            return self.number(key, range);
        }
        let size: units::Size = self.parsed(key, "a size", str::parse)?;
        if range.contains(&size.0) {
            return T::try_from(size.0).ok();
        }
        let show = |bytes: &u64| units::Size(*bytes).to_string();
        let (low, high) = (show(range.start()), show(range.end()));
        self.mistake(Mistake::at(value.span(), format!("expected {low} to {high}")));
        None
    }

    /// A time within `range`.
    pub(crate) fn duration(&self, key: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let value = self.value(key)?;
        if matches!(value.get_ref(), DeValue::Integer(_) | DeValue::Float(_)) {
            self.mistake(
                Mistake::at(value.span(), "a duration has a unit")
                    .with_hint("write for example \"30s\" or \"250ms\""),
            );
            return None;
        }
        let duration = self.parsed(key, "a duration", units::duration)?;
        if range.contains(&duration) {
            return Some(duration);
        }
        let show = |time: &Duration| units::show_duration(*time);
        let (low, high) = (show(range.start()), show(range.end()));
        self.mistake(Mistake::at(value.span(), format!("expected {low} to {high}")));
        None
    }

    /// A path as it is to be opened and as it was written. Relative to the file.
    pub(crate) fn path(&self, key: &str) -> Option<(PathBuf, String)> {
        let value = self.value(key)?;
        let word = self.reader.open_word(value, "a path")?;
        if word.value.is_empty() {
            self.mistake(Mistake::at(value.span(), "this path is empty"));
            return None;
        }
        Some((self.reader.base.join(word.value), word.written().to_owned()))
    }

    /// The table that stands at `key`.
    pub(crate) fn table(&self, key: &str, keys: &'static Keys) -> Option<Section<'a>> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.reader.expected(value, "a table");
            return None;
        };
        Some(Section::open(self.reader, table, value.span(), keys, &[]))
    }

    /// The tables that stand at `key`, each with its name.
    pub(crate) fn entries(&self, key: &str) -> Vec<(Placed<&'a str>, &'a Spanned<DeValue<'a>>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            self.reader.expected(value, "a table");
            return Vec::new();
        };
        let entries = table.iter().map(|(key, value)| {
            (Placed { value: key.get_ref().as_ref(), at: self.reader.at(key.span()) }, value)
        });
        entries.collect()
    }

    /// The tables `[key.NAME]`, each with its name, which is looked at; `what` says whose it is,
    /// such as "a filter". And the names of all, also of those that are wrong: what was reported
    /// once is not missing.
    pub(crate) fn named(
        &self,
        key: &str,
        what: &str,
        keys: &'static Keys,
        more: &[&str],
    ) -> (Vec<(Placed<&'a str>, Section<'a>)>, Vec<&'a str>) {
        let (mut found, mut names) = (Vec::new(), Vec::new());
        for (name, value) in self.entries(key) {
            names.push(name.value);
            let Some(table) = value.get_ref().as_table() else {
                self.reader.expected(value, "a table");
                continue;
            };
            if let Err(why) = check_name(name.value) {
                self.mistake(Mistake::at(name.span(), format!("{what}'s name {why}")));
            }
            let section = Section::open(self.reader, table, value.span(), keys, more);
            found.push((name, section));
        }
        (found, names)
    }

    /// The tables of an array of them, `[[key]]`.
    pub(crate) fn tables(&self, key: &str, keys: &'static Keys) -> Vec<Section<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.reader.mistake(
                Mistake::at(value.span(), format!("there may be several of `{key}`"))
                    .with_hint(format!("write [[{}]]", keys.path)),
            );
            return Vec::new();
        };
        let open = |value: &'a Spanned<DeValue<'a>>| match value.get_ref() {
            DeValue::Table(table) => {
                Some(Section::open(self.reader, table, value.span(), keys, &[]))
            }
            _ => {
                self.reader.expected(value, "a table");
                None
            }
        };
        array.iter().filter_map(open).collect()
    }

    fn outside(&self, span: Range<usize>, range: &RangeInclusive<u64>) {
        let (low, high) = (range.start(), range.end());
        self.mistake(Mistake::at(span, format!("expected {low} to {high}")));
    }

    fn within<T: TryFrom<u64>>(
        &self,
        span: Range<usize>,
        number: u64,
        range: &RangeInclusive<u64>,
    ) -> Option<T> {
        let fitting = range.contains(&number).then(|| T::try_from(number).ok()).flatten();
        if fitting.is_none() {
            self.outside(span, range);
        }
        fitting
    }
}
