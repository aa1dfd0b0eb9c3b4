//! `${env:NAME}`, `${file:path}` and `${secret:name}`: text that stands elsewhere.

use crate::notes::Notes;
use crate::report::Finding;
use crate::secrets::Secrets;
use crate::source::At;
use base::{Error, Kind, Mistake};
use std::collections::BTreeMap;
use std::io::{self, Read};
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
                Err(finding) => {
                    let at = At { file: self.file, span: self.place_of(place, span) };
                    self.notes.finding(Some(at), finding);
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
    fn find(&self, place: &str) -> Result<String, Finding> {
        let Some(inner) = place.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
            let mistake = Mistake::new("`${` without a `}`");
            return Err(mistake.with_hint("a plain `${` is `$${`").into());
        };
        let Some((word, name)) = inner.split_once(':') else {
            return Err(Mistake::new(format!("`{place}` does not say where to look"))
                .with_hint(format!("did you mean `${{env:{inner}}}`?"))
                .into());
        };
        match word {
            "env" => (self.variable)(name).ok_or_else(|| {
                Mistake::new(format!("environment variable `{name}` is not set")).into()
            }),
            "file" => read(&self.base.join(name)).map_err(|error| {
                Error::unreadable(format!("cannot read `{name}`"), error, Kind::Invalid).into()
            }),
            "secret" => match self.secrets {
                Some(secrets) => secrets.find(name),
                None => {
                    Err(Mistake::new("where secrets come from cannot itself be a secret").into())
                }
            },
            _ => Err(Mistake::unknown(0..0, "source of text", word, WORDS.iter().copied()).into()),
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
pub(crate) fn read(path: &Path) -> io::Result<String> {
    // A pipe or a device might never end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(io::Error::other(format!("a setting has at most {FILE_MAX} bytes")));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
