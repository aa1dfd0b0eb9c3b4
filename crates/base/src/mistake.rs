//! Something wrong in what a person wrote, with its place.

use std::fmt;
use std::ops::Range;

/// One mistake in a deployment file.
///
/// Mistakes are collected and shown together, each under its line, so nobody fixes a file one
/// error at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, a lower-case sentence without a full stop.
    pub message: String,
    /// Where, in bytes of the file. `None` for a mistake of the whole file.
    pub span: Option<Range<usize>>,
    /// What to write instead, if that can be said.
    pub hint: Option<String>,
}

/// Every mistake that was found.
pub type Mistakes = Vec<Mistake>;

impl Mistake {
    /// A mistake without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, hint: None }
    }

    /// A mistake at `span`.
    pub fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), span: Some(span), hint: None }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A word that is not known, where `known` are. Names the nearest of them.
    pub fn unknown<'a>(
        span: Range<usize>,
        what: &str,
        word: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let mistake = Self::at(span, format!("unknown {what} `{word}`"));
        match crate::nearest(word, known.iter().copied()) {
            Some(near) => mistake.with_hint(format!("did you mean `{near}`?")),
            None if known.is_empty() => mistake,
            None => mistake.with_hint(format!("there are {}", known.join(", "))),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl From<toml::de::Error> for Mistake {
    fn from(error: toml::de::Error) -> Self {
        Self { message: error.message().to_owned(), span: error.span(), hint: None }
    }
}
