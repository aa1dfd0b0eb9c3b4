//! How the program ends: a code for scripts, a sentence for people.

use crate::console;
use base::{Error, Kind};
use deployment::Report;
use serde_json::{Value, json};
use std::process::ExitCode;

/// The codes of `EX_*` in BSD's sysexits, as far as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Guest = 1,
    Usage = 2,
    Input = 64,
    Data = 65,
    Unavailable = 69,
    Bug = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// Which code an error of this kind means.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Corrupt => Self::Data,
            Kind::Unavailable | Kind::Timeout | Kind::Exhausted | Kind::Denied => Self::Unavailable,
            Kind::Internal => Self::Bug,
            _ => Self::Input,
        }
    }
}

/// Why a verb ended early.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
    /// The mistakes of a deployment, each with its place.
    mistakes: Option<Value>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), mistakes: None }
    }

    /// Several errors as one: the worst code, and every text.
    pub(crate) fn all(errors: impl IntoIterator<Item = Error>) -> Self {
        let failures: Vec<Self> = errors.into_iter().map(Self::from).collect();
        let exit = failures.iter().map(|failure| failure.exit).max_by_key(|exit| *exit as u8);
        let texts: Vec<_> = failures.into_iter().map(|failure| failure.text).collect();
        Self::new(exit.unwrap_or(Exit::Bug), texts.join("\n"))
    }

    /// What was found in a deployment, and the code for it.
    pub(crate) fn reported(report: &Report, exit: Exit) -> Self {
        let text = report.render(console::has_color()).trim_end().to_owned();
        Self { exit, text, mistakes: Some(report.to_json()) }
    }

    /// Says what happened and gives the code.
    pub(crate) fn report(self) -> ExitCode {
        console::say(&self.text);
        self.exit.into()
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The same for programs: a list of what is wrong.
    pub(crate) fn mistakes(&self) -> Value {
        let only = || json!([{ "severity": "mistake", "message": self.text }]);
        self.mistakes.clone().unwrap_or_else(only)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = match error.hint() {
            Some(hint) => format!("error: {error}\n  hint: {hint}"),
            None => format!("error: {error}"),
        };
        Self::new(Exit::of(error.kind()), text)
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        let exit = if report.has_mistakes() { Exit::Input } else { Exit::Unavailable };
        Self::reported(&report, exit)
    }
}
