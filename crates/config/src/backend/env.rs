//! Environment variables of the program.

use super::after_scheme;
use crate::{Snapshot, Source};
use base::{Backend, Error, Place, Result};
use serde::Deserialize;
use std::ffi::OsString;
use std::sync::Arc;
use tokio::sync::watch::{Receiver, Sender};

/// The environment variables whose names begin with a prefix.
///
/// The prefix is not part of the name that a component asks for: with `env:APP_` the variable
/// `APP_motd` is `motd`. The environment of a program never changes, so neither does this.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Env {
    /// `env:PREFIX`
    url: String,
    /// The prefix, where it is not in the URL. An empty one shows every variable of the program.
    prefix: Option<String>,
}

impl Env {
    /// The prefix, from either place. None means that nobody said what may be seen.
    fn prefix(&self) -> Option<&str> {
        match after_scheme::<Self>(&self.url) {
            "" => self.prefix.as_deref(),
            prefix => Some(prefix),
        }
    }
}

impl Backend for Env {
    type Contract = dyn Source;
    const NAME: &'static str = "env";
    const SCHEMES: &'static [&'static str] = &["env"];
    const EXAMPLE: &'static str = "env:APP_";

    fn check(&self) -> Result<(), String> {
        match (self.prefix(), &self.prefix) {
            (Some(used), Some(other)) if used != other => {
                Err(format!("the prefix is both `{used}` and `{other}`"))
            }
            (Some(_), _) => Ok(()),
            (None, _) => Err("which variables the component may see is not said; write for \
                              example \"env:APP_\", or `prefix = \"\"` for all of them"
                .to_owned()),
        }
    }

    async fn open(self, _: Place) -> Result<Arc<dyn Source>> {
        let state = select(std::env::vars_os(), self.prefix().unwrap_or_default())?;
        Ok(Arc::new(Fixed(Sender::new(Arc::new(state)))))
    }
}

/// The variables that begin with `prefix`, without it.
fn select(variables: impl Iterator<Item = (OsString, OsString)>, prefix: &str) -> Result<Snapshot> {
    let chosen = variables.filter_map(|(name, value)| {
        // A name that is no text begins with no prefix that anybody wrote.
        let name = name.into_string().ok()?;
        let key = name.strip_prefix(prefix)?.to_owned();
        let value = value.into_string().map_err(|_value| {
            Error::invalid(format!("environment variable `{name}` is no UTF-8 text"))
        });
        Some(value.map(|value| (key, value)))
    });
    chosen.collect()
}

/// A state that stays.
struct Fixed(Sender<Arc<Snapshot>>);

impl Source for Fixed {
    fn subscribe(&self) -> Receiver<Arc<Snapshot>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    fn variables() -> impl Iterator<Item = (OsString, OsString)> {
        let broken = OsString::from_vec(vec![b'x', 0xff]);
        let variables: [(OsString, OsString); 4] = [
            ("APP_MOTD".into(), "hello".into()),
            ("APP_EMPTY".into(), "".into()),
            ("AWS_SECRET".into(), "s3cret".into()),
            ("BROKEN_ONE".into(), broken),
        ];
        variables.into_iter()
    }

    #[test]
    fn a_component_sees_what_has_the_prefix_and_nothing_else() {
        let seen = select(variables(), "APP_").unwrap();
        assert_eq!(seen.iter().collect::<Vec<_>>(), [("EMPTY", ""), ("MOTD", "hello")]);
    }

    #[test]
    fn a_variable_that_is_no_text_is_named_and_its_value_is_not() {
        let error = select(variables(), "BROKEN_").unwrap_err().to_string();
        assert_eq!(error, "environment variable `BROKEN_ONE` is no UTF-8 text");
    }

    #[test]
    fn nothing_is_shown_unless_somebody_said_what() {
        let env = |url: &str, prefix: Option<&str>| Env {
            url: url.to_owned(),
            prefix: prefix.map(str::to_owned),
        };
        assert!(env("env:", None).check().unwrap_err().contains("prefix"));
        assert!(env("env:A_", Some("B_")).check().unwrap_err().contains("both `A_` and `B_`"));
        assert!(env("env:", Some("")).check().is_ok() && env("env:A_", None).check().is_ok());
        assert_eq!(env("env:", Some("A_")).prefix(), Some("A_"));
    }
}
