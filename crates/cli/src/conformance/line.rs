//! What the deployment file would say of the bindings that promises are tried in.

use crate::args::ConformanceArgs;
use base::{Error, Result};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Keys that say where in a server a binding's entries are.
const NAMESPACES: &[&str] = &["bucket", "prefix", "table"];

/// The line of a binding.
#[derive(Clone)]
pub(crate) struct Line(toml::Table);

impl Line {
    /// The line that the user's URL and keys make.
    ///
    /// # Errors
    /// `Invalid` for what is no key with a value, and for a file of the user's.
    pub(crate) fn of(args: &ConformanceArgs) -> Result<Self> {
        for scheme in ["embedded:", "file:"] {
            if let Some(path) = args.url.strip_prefix(scheme)
                && !path.is_empty()
            {
                return Err(Error::invalid(format!("`{path}` may have entries already"))
                    .with_hint(format!(
                        "write `{scheme}`; files are made for the promises, and removed"
                    )));
            }
        }
        let mut settings = toml::Table::new();
        settings.insert("url".to_owned(), args.url.clone().into());
        for set in &args.set {
            let wrong = || {
                Error::invalid(format!("`--set {set}` is no key with a value"))
                    .with_hint("for example --set cluster=true, or --set 'nodes=[\"host:6379\"]'")
            };
            let (key, value) = set.split_once('=').ok_or_else(wrong)?;
            let value = match toml::from_str::<toml::Table>(&format!("value = {value}")) {
                Ok(mut table) => table.remove("value").ok_or_else(wrong)?,
                // A word without quotes.
                Err(_) => value.into(),
            };
            settings.insert(key.trim().to_owned(), value);
        }
        Ok(Self(settings))
    }

    /// The line for one of the bindings, which is removed afterwards. Where the user chose a place
    /// for the entries it gets one of its own behind that: there may be others already.
    pub(crate) fn for_binding(&self, app: &str, binding: &str) -> String {
        let mut hasher = DefaultHasher::new();
        (app, binding).hash(&mut hasher);
        let mut settings = self.0.clone();
        set_apart(&mut settings, hasher.finish());
        toml::Value::Table(settings).to_string()
    }
}

fn set_apart(settings: &mut toml::Table, number: u64) {
    for (key, value) in settings.iter_mut() {
        match value {
            toml::Value::String(place) if NAMESPACES.contains(&key.as_str()) => {
                *place = format!("{place}_{number:016x}");
            }
            toml::Value::Table(behind) => set_apart(behind, number),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_has_a_place_of_its_own_wherever_the_user_put_it() {
        let line = Line(
            toml::from_str(
                "url = 'tiered:'\nprefix = 'mine'\nttl = '1s'\n\
                 [behind]\nurl = 'redis://host'\nprefix = 'theirs'\n",
            )
            .unwrap(),
        );
        let (one, other) = (line.for_binding("app", "one"), line.for_binding("app", "other"));
        assert_ne!(one, other);
        assert_eq!(one, line.for_binding("app", "one"));
        for kept in ["prefix = \"mine_", "prefix = \"theirs_", "ttl = \"1s\"", "\"redis://host\""] {
            assert!(one.contains(kept), "{one}");
        }
    }
}
