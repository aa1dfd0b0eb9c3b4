//! A `.env` file.

use super::{check_path, path};
use crate::watched::{self, Files, Mark, RELOAD, read_text};
use crate::{Snapshot, Source};
use base::{Backend, Error, Place, Result};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A file of lines `NAME=value`, with the quoting of shells and `#` comments.
///
/// Outside of single quotes `$NAME` is an earlier value of the file, or one of the environment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dotenv {
    /// `dotenv:PATH`
    url: String,
    /// How often to look for changes; `"0s"` for never. One second if left out.
    #[serde(default = "reload", deserialize_with = "base::units::deserialize_duration")]
    reload: Duration,
}

fn reload() -> Duration {
    RELOAD
}

impl Backend for Dotenv {
    type Contract = dyn Source;
    const NAME: &'static str = "dotenv";
    const SCHEMES: &'static [&'static str] = &["dotenv"];
    const EXAMPLE: &'static str = "dotenv:.env";

    fn check(&self) -> Result<(), String> {
        check_path::<Self>(&self.url)
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Source>> {
        watched::open(Lines(path::<Self>(&self.url, &place)), self.reload).await
    }
}

struct Lines(PathBuf);

impl Files for Lines {
    fn mark(&self) -> Mark {
        Mark::of(&self.0)
    }

    fn read(&self) -> Result<Snapshot> {
        let text = read_text(&self.0)?;
        let lines = dotenvy::from_read_iter(text.trim_start_matches('\u{feff}').as_bytes());
        let pairs: Result<_, _> = lines.collect();
        pairs.map_err(|error| unreadable(&error, &text).context(self.0.display()))
    }

    fn name(&self) -> String {
        format!("dotenv:{}", self.0.display())
    }
}

/// What is wrong, without the line itself: it may hold a secret.
fn unreadable(error: &dotenvy::Error, text: &str) -> Error {
    match error {
        dotenvy::Error::LineParse(wrong, _) => {
            let before = text.find(wrong.as_str()).and_then(|at| text.get(..at));
            let number = before.map_or(1, |before| before.matches('\n').count() + 1);
            Error::invalid(format!("line {number} is no `NAME=value`"))
                .with_hint("a value with blanks or quotes in it needs quotes around it")
        }
        _ => Error::invalid("cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Snapshot> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        std::fs::write(&file, text).unwrap();
        Lines(file).read()
    }

    #[test]
    fn quotes_comments_and_exports_are_understood() {
        let text = "\u{feff}# comment\nA=1\nexport B=\"two words\" # more\n\nC='$A'\nD=\nA=2\n";
        let seen = read(text).unwrap();
        let expected = [("A", "2"), ("B", "two words"), ("C", "$A"), ("D", "")];
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_wrong_line_is_numbered_and_not_shown() {
        let error = read("A=1\n\nPASSWORD=hunter2 hunter3\n").unwrap_err().to_string();
        assert!(error.ends_with(".env: line 3 is no `NAME=value`"), "{error}");
        assert!(read("A=1\nB=\"open").unwrap_err().to_string().contains("line 2"));
    }
}
