//! `${env:NAME}`, `${file:path}` and `${secret:name}`: text that stands elsewhere.

use crate::notes::Notes;
use crate::secrets::Secrets;
use base::Mistake;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The most that `${file:path}` reads. More is no setting.
const FILE_MAX: u64 = 1 << 20;

const WORDS: &[&str] = &["env", "file", "secret"];

/// The strings of one file that held a `${…}`, by where they begin.
pub(crate) type Expansions = BTreeMap<usize, Expansion>;

/// One string that held a `${…}`.
#[derive(Debug)]
pub(crate) struct Expansion {
    pub(crate) span: Range<usize>,
    /// The string as the file has it.
    pub(crate) written: String,
    /// The string with other text of the same length where something was filled in.
    pub(crate) masked: String,
    /// Whether a `${secret:…}` was among it.
    pub(crate) secret: bool,
    /// Whether something could not be filled in; that was reported, and the string is no good.
    pub(crate) broken: bool,
}

/// Where the text of a `${…}` comes from.
pub(crate) struct Lookup<'a> {
    /// The file's number and text.
    pub(crate) file: usize,
    pub(crate) text: &'a str,
    /// What relative paths are relative to.
    pub(crate) base: &'a Path,
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// `None` while the secrets' own section is read.
    pub(crate) secrets: Option<&'a Secrets<'a>>,
    pub(crate) notes: &'a Notes,
}

/// Fills in every string of the table.
pub(crate) fn expand(table: &mut DeTable<'_>, lookup: &Lookup<'_>) -> Expansions {
    let mut found = Expansions::new();
    for (_, value) in table.iter_mut() {
        let span = value.span();
        walk(value.get_mut(), span, lookup, &mut found);
    }
    found
}

fn walk(value: &mut DeValue<'_>, span: Range<usize>, lookup: &Lookup<'_>, found: &mut Expansions) {
    match value {
        DeValue::String(text) if text.contains("${") => {
            let (filled, expansion) = lookup.fill(text, &span);
            *text = filled.into();
            found.insert(span.start, expansion);
        }
        DeValue::Array(array) => {
            for value in array.iter_mut() {
                let span = value.span();
                walk(value.get_mut(), span, lookup, found);
            }
        }
        DeValue::Table(table) => {
            for (_, value) in table.iter_mut() {
                let span = value.span();
                walk(value.get_mut(), span, lookup, found);
            }
        }
        _ => {}
    }
}

impl Lookup<'_> {
    /// Fills in one string. `$${` is a plain `${`.
    fn fill(&self, written: &str, span: &Range<usize>) -> (String, Expansion) {
        let mut expansion = Expansion {
            span: span.clone(),
            written: written.to_owned(),
            masked: String::new(),
            secret: false,
            broken: false,
        };
        let mut filled = String::new();
        let mut rest = written;
        while let Some(dollar) = rest.find("${") {
            let (before, from) = rest.split_at(dollar);
            if let Some(before) = before.strip_suffix('$') {
                filled.extend([before, "${"]);
                expansion.masked.extend([before, "${"]);
                rest = from.get(2..).unwrap_or_default();
                continue;
            }
            filled.push_str(before);
            expansion.masked.push_str(before);
            let end = from.find('}').map_or(from.len(), |brace| brace + 1);
            let (place, after) = from.split_at(end);
            match self.find(place) {
                Ok(value) => {
                    filled.push_str(&value);
                    // Another letter in every place.
                    expansion
                        .masked
                        .extend(value.chars().map(|c| if c == 'x' { 'y' } else { 'x' }));
                }
                Err(mut mistake) => {
                    mistake.span = Some(self.place_of(place, span));
                    self.notes.mistake(self.file, mistake);
                    expansion.broken = true;
                }
            }
            expansion.secret |= place.starts_with("${secret:");
            rest = after;
        }
        filled.push_str(rest);
        expansion.masked.push_str(rest);
        (filled, expansion)
    }

    /// What stands for `${word:name}`.
    fn find(&self, place: &str) -> Result<String, Mistake> {
        let Some(inner) = place.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
            return Err(Mistake::new("`${` without a `}`").with_hint("a plain `${` is `$${`"));
        };
        let Some((word, name)) = inner.split_once(':') else {
            return Err(Mistake::new(format!("`{place}` does not say where to look"))
                .with_hint(format!("did you mean `${{env:{inner}}}`?")));
        };
        match word {
            "env" => (self.variable)(name)
                .ok_or_else(|| Mistake::new(format!("environment variable `{name}` is not set"))),
            "file" => read(&self.base.join(name))
                .map_err(|why| Mistake::new(format!("cannot read `{name}`: {why}"))),
            "secret" => match self.secrets {
                Some(secrets) => secrets.find(name),
                None => Err(Mistake::new("where secrets come from cannot itself be a secret")),
            },
            _ => Err(Mistake::unknown(0..0, "source of text", word, WORDS.iter().copied())),
        }
    }

    /// Where `place` stands inside the string, if it is written there letter by letter.
    fn place_of(&self, place: &str, span: &Range<usize>) -> Range<usize> {
        let raw = self.text.get(span.clone()).unwrap_or_default();
        match raw.find(place) {
            Some(offset) => span.start + offset..span.start + offset + place.len(),
            None => span.clone(),
        }
    }
}

/// The text of a small file, without the newline that editors leave at its end.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    // A pipe or a device might never end.
    if !std::fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("it is no file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_MAX {
        return Err(format!("a setting has at most {FILE_MAX} bytes"));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
