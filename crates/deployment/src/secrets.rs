//! `[secrets]`: where the text of `${secret:name}` comes from.

use crate::expand;
use crate::report::Finding;
use crate::section::Section;
use base::{Error, Kind, Mistake};
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The places where secrets lie, in the order in which they are asked.
pub(crate) struct Secrets<'a> {
    places: Vec<Place>,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

enum Place {
    /// One file per secret, as Kubernetes and systemd mount them.
    Directory(PathBuf),
    /// Environment variables that begin with this.
    Environment(String),
}

impl<'a> Secrets<'a> {
    /// No place at all: every `${secret:…}` is a mistake.
    pub(crate) fn none(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { places: Vec::new(), variable }
    }

    /// Adds the places that `section` names, with paths relative to `base`.
    pub(crate) fn add(&mut self, section: &Section<'_>, base: &Path) {
        let places =
            section.each("from", "a place of secrets", |from| match from.split_once(':') {
                Some(("dir", path)) => Ok(Place::Directory(base.join(path))),
                Some(("env", prefix)) => Ok(Place::Environment(prefix.to_owned())),
                _ => Err(format!(
                    "`{from}` is no place of secrets; write \"dir:/run/secrets\" or \"env:APP_\""
                )),
            });
        self.places.extend(places.unwrap_or_default().into_iter().map(|place| place.value));
    }

    /// The secret's text, from the first place that has it.
    pub(crate) fn find(&self, name: &str) -> Result<String, Finding> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(good) {
            return Err(Mistake::new(format!("`{name}` cannot be the name of a secret"))
                .with_hint("letters, digits, `-`, `_` and `.`")
                .into());
        }
        let mut looked = String::new();
        let mut refused = None;
        for place in &self.places {
            match place {
                Place::Directory(directory) => match expand::read(&directory.join(name)) {
                    Ok(text) => return Ok(text),
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                        let message = format!("cannot read the file of secret `{name}`");
                        refused = Some(Error::unreadable(message, error, Kind::Invalid));
                    }
                    // Writing to a string cannot fail.
                    Err(why) => _ = write!(looked, "file `{name}`: {why}; "),
                },
                Place::Environment(prefix) => {
                    let name = variable_of(prefix, name);
                    match (self.variable)(&name) {
                        Some(text) => return Ok(text),
                        None => _ = write!(looked, "environment variable `{name}` is not set; "),
                    }
                }
            }
        }
        // The secret may well be there.
        if let Some(refused) = refused {
            return Err(refused.into());
        }
        let mistake = Mistake::new(format!("there is no secret `{name}`"));
        let mistake = match looked.strip_suffix("; ") {
            Some(looked) => mistake.with_hint(looked),
            None => {
                mistake.with_hint("say where secrets are: [secrets] from = \"dir:/run/secrets\"")
            }
        };
        Err(mistake.into())
    }
}

/// `db-password` with the prefix `APP_` is the variable `APP_DB_PASSWORD`.
fn variable_of(prefix: &str, name: &str) -> String {
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    format!("{prefix}{name}")
}
