//! The settings of one binding, and what its backend has to say of them.

use crate::binding::Chosen;
use crate::expand::Expansion;
use crate::reader::Reader;
use base::{Mistake, Secret};
use std::fmt::Write;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeValue;

/// What [`Capability::choose`](crate::Capability::choose) is.
type Choose<O> = fn(Spanned<DeValue<'_>>) -> Chosen<O>;

/// The settings of one binding, without the keys that are ours.
pub(crate) struct Settings<'a> {
    reader: &'a Reader<'a>,
    value: Spanned<DeValue<'a>>,
    /// The strings in which something was filled in.
    filled: Vec<&'a Expansion>,
    /// The places of keys, and of values in which nothing was filled in.
    plain: Vec<Range<usize>>,
}

impl<'a> Settings<'a> {
    pub(crate) fn new(reader: &'a Reader<'a>, value: &Spanned<DeValue<'a>>) -> Self {
        let mut value = value.clone();
        if let DeValue::Table(table) = value.get_mut() {
            table.remove("requires");
        }
        let mut settings = Self { reader, value, filled: Vec::new(), plain: Vec::new() };
        let Self { value, filled, plain, .. } = &mut settings;
        sort(reader, value, filled, plain);
        settings
    }

    /// Lets the capability read the settings, and reports what is wrong with them.
    ///
    /// A backend reports one mistake at a time. What it complains of is taken out of its way, so
    /// that all of them are reported together.
    pub(crate) fn choose<O>(&self, choose: Choose<O>) -> Option<(&'static str, O)> {
        if self.filled.iter().any(|expansion| expansion.broken) {
            return None;
        }
        let mut value = self.value.clone();
        let mut right = true;
        loop {
            let mistake = match choose(value.clone()) {
                Ok(chosen) => return right.then_some(chosen),
                Err(mistake) => mistake,
            };
            if !right && mistake.message.starts_with("missing field") {
                return None;
            }
            right = false;
            let culprit = culprit(&mistake, &value);
            let mut mistake = nearest(self.withhold(mistake, &value, choose));
            mistake.span.get_or_insert_with(|| value.span());
            self.reader.mistake(mistake);
            let DeValue::Table(table) = value.get_mut() else { return None };
            table.remove(culprit?.as_str())?;
        }
    }

    /// Takes what was filled in out of a mistake that a backend wrote, which may quote any part
    /// of what it was given.
    ///
    /// A mistake about one key or value can only quote that. Of any other, only the words that
    /// stay the same when other text is filled in are surely not from what was filled in.
    fn withhold<O>(
        &self,
        mistake: Mistake,
        value: &Spanned<DeValue<'_>>,
        choose: Choose<O>,
    ) -> Mistake {
        let alone = mistake.span.as_ref().is_some_and(|span| self.plain.contains(span));
        let Some(expansion) = self.filled.first().filter(|_| !alone) else { return mistake };
        let at = |filled: &&&Expansion| mistake.span.as_ref().is_some_and(|at| *at == filled.span);
        let expansion = self.filled.iter().find(at).unwrap_or(expansion);
        let mut masked = value.clone();
        mask(self.reader, &mut masked);
        match choose(masked) {
            Err(other) if (&other.message, &other.hint) == (&mistake.message, &mistake.hint) => {
                mistake
            }
            _ => {
                let message = format!("what `{}` stands for does not fit here", expansion.written);
                Mistake { message, hint: Some("its text is not shown".to_owned()), ..mistake }
            }
        }
    }

    /// The URL as it was written, without its password.
    pub(crate) fn shown_url(&self) -> String {
        let url = match self.value.get_ref() {
            DeValue::Table(table) => table.get("url"),
            _ => Some(&self.value),
        };
        let Some((text, url)) = url.and_then(|url| Some((url.get_ref().as_str()?, url))) else {
            return String::new();
        };
        let expansion = self.reader.expansions.get(&url.span().start);
        base::redact(expansion.map_or(text, |expansion| &expansion.written))
    }

    /// The same text for the same settings, wherever they stand.
    pub(crate) fn canonical(&self) -> Secret {
        canonical(self.value.get_ref())
    }
}

/// Tells what was filled in from what is as written.
fn sort<'a>(
    reader: &'a Reader<'_>,
    value: &Spanned<DeValue<'_>>,
    filled: &mut Vec<&'a Expansion>,
    plain: &mut Vec<Range<usize>>,
) {
    match value.get_ref() {
        DeValue::Array(array) => {
            array.iter().for_each(|value| sort(reader, value, filled, plain));
        }
        DeValue::Table(table) => {
            for (key, value) in table {
                plain.push(key.span());
                sort(reader, value, filled, plain);
            }
        }
        _ => match reader.expansions.get(&value.span().start) {
            Some(expansion) => filled.push(expansion),
            None => plain.push(value.span()),
        },
    }
}

/// Puts other text where something was filled in.
fn mask(reader: &Reader<'_>, value: &mut Spanned<DeValue<'_>>) {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) => {
            if let Some(expansion) = reader.expansions.get(&span.start) {
                *text = expansion.masked.clone().into();
            }
        }
        DeValue::Array(array) => array.iter_mut().for_each(|value| mask(reader, value)),
        DeValue::Table(table) => {
            for (_, value) in table.iter_mut() {
                mask(reader, value);
            }
        }
        _ => {}
    }
}

/// The key that a mistake is about, or about the value of. Never the URL, on which all depends.
fn culprit(mistake: &Mistake, value: &Spanned<DeValue<'_>>) -> Option<String> {
    let place = mistake.span.clone()?;
    let (key, _) = value.get_ref().as_table()?.iter().find(|(key, value)| {
        key.get_ref() != "url" && (key.span() == place || value.span() == place)
    })?;
    Some(key.get_ref().to_string())
}

/// Makes a mistake of serde about an unknown field name the nearest one.
fn nearest(mistake: Mistake) -> Mistake {
    let mut words = mistake.message.split('`').skip(1).step_by(2);
    match words.next().filter(|_| mistake.message.starts_with("unknown field")) {
        Some(field) => {
            let known = words.chain(["requires"]);
            Mistake { span: mistake.span.clone(), ..Mistake::unknown(0..0, "key", field, known) }
        }
        None => mistake,
    }
}

/// The same text for the same settings, wherever they stand.
pub(crate) fn canonical(value: &DeValue<'_>) -> Secret {
    let mut text = String::new();
    write_canonical(value, &mut text);
    Secret::new(text)
}

fn write_canonical(value: &DeValue<'_>, to: &mut String) {
    // Writing to a string cannot fail.
    _ = match value {
        DeValue::String(text) => write!(to, "{text:?}"),
        DeValue::Integer(number) => write!(to, "{number}"),
        DeValue::Float(number) => write!(to, "{number}"),
        DeValue::Boolean(truth) => write!(to, "{truth}"),
        DeValue::Datetime(time) => write!(to, "{time}"),
        DeValue::Array(array) => {
            to.push('[');
            for value in array {
                write_canonical(value.get_ref(), to);
                to.push(',');
            }
            to.write_char(']')
        }
        DeValue::Table(table) => {
            to.push('{');
            for (key, value) in table {
                let key: &str = key.get_ref();
                _ = write!(to, "{key:?}=");
                write_canonical(value.get_ref(), to);
                to.push(',');
            }
            to.write_char('}')
        }
    };
}
