//! What all sections of one file share: places, what was filled in, and strings that know it.

use crate::expand::{Expansion, Expansions};
use crate::notes::Notes;
use crate::source::At;
use crate::text::Text;
use base::Mistake;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeInteger, DeValue};

/// One file while it is read.
pub(crate) struct Reader<'a> {
    pub(crate) file: usize,
    pub(crate) base: &'a Path,
    pub(crate) expansions: Expansions,
    pub(crate) notes: &'a Notes,
    /// What `capabilities` of filters may name, where that is known.
    pub(crate) callable: Option<&'a [&'a str]>,
}

/// A string as it is to be used, as it was written, and whether it may be shown.
pub(crate) struct Word<'a> {
    pub(crate) value: &'a str,
    pub(crate) expansion: Option<&'a Expansion>,
}

impl<'a> Word<'a> {
    /// What may be shown of it.
    pub(crate) fn written(&self) -> &'a str {
        self.expansion.map_or(self.value, |expansion| &expansion.written)
    }

    /// What is wrong with it: `why` where it stands for itself, else that what was filled in is
    /// not `what`.
    pub(crate) fn wrong(&self, span: Range<usize>, what: &str, why: String) -> Mistake {
        match self.expansion {
            None => Mistake::at(span, why),
            Some(expansion) => {
                let written = &expansion.written;
                Mistake::at(span, format!("what `{written}` stands for is not {what}"))
            }
        }
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn mistake(&self, mistake: Mistake) {
        self.notes.mistake(self.file, mistake);
    }

    pub(crate) fn at(&self, span: Range<usize>) -> At {
        At { file: self.file, span }
    }

    /// The string that `value` is. What could not be filled in was reported already.
    pub(crate) fn word(&'a self, value: &'a Spanned<DeValue<'_>>, what: &str) -> Option<Word<'a>> {
        let Some(text) = value.get_ref().as_str() else {
            self.expected(value, what);
            return None;
        };
        let expansion = self.expansions.get(&value.span().start);
        match expansion {
            Some(expansion) if expansion.broken => None,
            _ => Some(Word { value: text, expansion }),
        }
    }

    /// A string in a place that is shown, where no secret may stand.
    pub(crate) fn open_word(
        &'a self,
        value: &'a Spanned<DeValue<'_>>,
        what: &str,
    ) -> Option<Word<'a>> {
        let word = self.word(value, what)?;
        if word.expansion.is_some_and(|expansion| expansion.secret) {
            self.mistake(
                Mistake::at(value.span(), "a secret cannot stand here, where it would be shown")
                    .with_hint("secrets may stand in bindings, config, environment and args"),
            );
            return None;
        }
        Some(word)
    }

    /// A string, or a number or a truth value as its text.
    pub(crate) fn text(&self, value: &Spanned<DeValue<'_>>) -> Option<Text> {
        Some(match value.get_ref() {
            DeValue::Integer(number) => Text::plain(integer_text(number)),
            DeValue::Float(number) => Text::plain(number.as_str()),
            DeValue::Boolean(truth) => Text::plain(truth.to_string()),
            DeValue::Datetime(time) => Text::plain(time.to_string()),
            _ => {
                let expansion = self.expansions.get(&value.span().start);
                let Some(text) = value.get_ref().as_str() else {
                    self.expected(value, "text");
                    return None;
                };
                match expansion {
                    Some(expansion) if expansion.broken => return None,
                    Some(expansion) => Text::new(&expansion.written, text),
                    None => Text::plain(text),
                }
            }
        })
    }

    pub(crate) fn expected(&self, value: &Spanned<DeValue<'_>>, what: &str) {
        let found = value.get_ref().type_str();
        self.mistake(Mistake::at(value.span(), format!("expected {what}, found {found}")));
    }
}

/// A decimal number whatever it was written as, so that guests see one form.
fn integer_text(number: &DeInteger<'_>) -> String {
    match i64::from_str_radix(number.as_str(), number.radix()) {
        Ok(number) => number.to_string(),
        Err(_) => number.to_string(),
    }
}
