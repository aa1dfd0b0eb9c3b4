//! One file with a table of names and values.

use super::{after_scheme, check_path, path};
use crate::watched::{self, Files, Mark, RELOAD, read_text};
use crate::{Snapshot, Source};
use base::{Backend, Error, Place, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A TOML or JSON file, by its ending, that holds one table of names and strings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// `file:PATH`
    url: String,
    /// How often to look for changes; `"0s"` for never. One second if left out.
    #[serde(default = "reload", deserialize_with = "base::units::deserialize_duration")]
    reload: Duration,
}

fn reload() -> Duration {
    RELOAD
}

impl Backend for File {
    type Contract = dyn Source;
    const NAME: &'static str = "file";
    const SCHEMES: &'static [&'static str] = &["file"];
    const EXAMPLE: &'static str = "file:settings.toml";

    fn check(&self) -> Result<(), String> {
        check_path::<Self>(&self.url)?;
        match Syntax::of(Path::new(after_scheme::<Self>(&self.url))) {
            Some(_) => Ok(()),
            None => Err("the file's name ends neither in `.toml` nor in `.json`".to_owned()),
        }
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Source>> {
        watched::open(Table(path::<Self>(&self.url, &place)), self.reload).await
    }
}

#[derive(Clone, Copy)]
enum Syntax {
    Toml,
    Json,
}

impl Syntax {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

struct Table(PathBuf);

impl Files for Table {
    fn mark(&self) -> Mark {
        Mark::of(&self.0)
    }

    fn read(&self) -> Result<Snapshot> {
        let text = read_text(&self.0)?;
        let pairs = match Syntax::of(&self.0) {
            Some(Syntax::Json) => json(&text),
            _ => toml(&text),
        };
        pairs.map_err(|error| error.context(format!("`{}`", self.0.display())))
    }

    fn name(&self) -> String {
        format!("file:{}", self.0.display())
    }
}

// Both report where they stopped and not what they saw: it may be a secret.

fn toml(text: &str) -> Result<Snapshot> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        Error::invalid(format!("is no TOML table at line {line}"))
    })?;
    let text = |value| match value {
        toml::Value::String(text) => Some(text),
        _ => None,
    };
    table.into_iter().map(|(key, value)| pair(key, text(value))).collect()
}

fn json(text: &str) -> Result<Snapshot> {
    let table: serde_json::Map<_, _> = serde_json::from_str(text)
        .map_err(|error| Error::invalid(format!("is no JSON object at line {}", error.line())))?;
    let text = |value| match value {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    };
    table.into_iter().map(|(key, value)| pair(key, text(value))).collect()
}

fn pair(key: String, value: Option<String>) -> Result<(String, String)> {
    match value {
        Some(value) => Ok((key, value)),
        None => Err(Error::invalid(format!("the value of `{key}` is no string"))
            .with_hint("put quotes around it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_json_say_the_same() {
        let from_toml = toml("motd = \"hello\"\n\"a.b\" = ''\n").unwrap();
        let from_json = json(r#"{"motd": "hello", "a.b": ""}"#).unwrap();
        assert_eq!(from_toml, from_json);
        assert_eq!(from_toml.iter().collect::<Vec<_>>(), [("a.b", ""), ("motd", "hello")]);
    }

    #[test]
    fn what_is_wrong_has_a_line_or_a_name_and_shows_no_value() {
        let said = |result: Result<Snapshot>| result.unwrap_err().to_string();
        assert_eq!(said(toml("a = 'x'\nb = s3cret\n")), "is no TOML table at line 2");
        assert_eq!(said(json("{\n\"b\": s3cret}")), "is no JSON object at line 2");
        assert_eq!(said(json("[\"s3cret\"]")), "is no JSON object at line 1");
        for text in ["port = 8080", "port = { s3cret = 's3cret' }"] {
            assert_eq!(said(toml(text)), "the value of `port` is no string");
        }
        assert_eq!(said(json(r#"{"port": 8080}"#)), "the value of `port` is no string");
    }

    #[test]
    fn the_ending_tells_the_syntax() {
        let file = |url: &str| File { url: url.to_owned(), reload: RELOAD };
        assert!(file("file:a.toml").check().is_ok() && file("file:/b/a.json").check().is_ok());
        assert!(file("file:a.yaml").check().unwrap_err().contains(".toml"));
        assert!(file("file:").check().unwrap_err().contains("no path"));
    }
}
