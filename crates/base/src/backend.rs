//! From a table in the deployment file to an open backend, in two phases.
//!
//! `parse` touches nothing and reports every mistake with its place; the [`Opening`] that it
//! returns connects. Nothing is opened before the whole file was found right.

use crate::{Error, Mistake, Result};
use futures::future::BoxFuture;
use serde::de::{DeserializeOwned, IntoDeserializer};
use std::path::PathBuf;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Where a binding lives: what a backend needs to keep two bindings apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The folder of the file that binds it, from which relative paths go.
    pub base: PathBuf,
    /// The directory of embedded data. Made by the backend that first writes to it.
    pub data: PathBuf,
    /// The name of the app.
    pub app: String,
    /// The capability's name, e.g. `keyvalue`.
    pub capability: &'static str,
    /// The name of the binding.
    pub binding: String,
}

/// The settings of one backend, and how to open it.
///
/// The type *is* the backend's section of the deployment file: its fields are the keys, their doc
/// comments the reference manual. A field `url: String` takes the URL. Derive `Deserialize` with
/// `deny_unknown_fields`; no `flatten`, no `untagged`, whose messages name no field.
pub trait Backend: DeserializeOwned + Send + 'static {
    /// What it promises to do, e.g. `dyn keyvalue::Store`.
    type Contract: ?Sized + Send + Sync + 'static;
    /// Its name: the file's, the type's, the feature's.
    const NAME: &'static str;
    /// The URL schemes that choose it. The first is the one shown in examples.
    const SCHEMES: &'static [&'static str];
    /// A URL that parses: for the manual and for the tests.
    const EXAMPLE: &'static str;

    /// Checks what a type cannot say. Touches nothing.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Connects, or opens the file.
    fn open(self, place: Place) -> impl Future<Output = Result<Arc<Self::Contract>>> + Send;
}

/// Settings that were read and found right, not yet acted on.
pub type Opening<C> = Box<dyn FnOnce(Place) -> BoxFuture<'static, Result<Arc<C>>> + Send>;

/// One line of a capability's list of backends.
pub struct Entry<C: ?Sized + 'static> {
    /// The backend's name.
    pub name: &'static str,
    /// The URL schemes that choose it.
    pub schemes: &'static [&'static str],
    /// A URL that parses.
    pub example: &'static str,
    parse: fn(Spanned<DeValue<'_>>) -> Result<Opening<C>, Mistake>,
}

impl<C: ?Sized + 'static> Entry<C> {
    /// Reads the settings `{ url = "…", … }`.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(&self, settings: Spanned<DeValue<'_>>) -> Result<Opening<C>, Mistake> {
        (self.parse)(settings)
    }
}

/// The entry of a backend that this program has.
pub const fn backend<B: Backend>() -> Entry<B::Contract> {
    Entry {
        name: B::NAME,
        schemes: B::SCHEMES,
        example: B::EXAMPLE,
        parse: |settings| {
            let span = settings.span();
            let settings = B::deserialize(settings.into_deserializer())?;
            settings.check().map_err(|message| Mistake::at(span, message))?;
            Ok(Box::new(move |place| Box::pin(settings.open(place))))
        },
    }
}

/// The entry of a backend that this program was built without.
pub const fn missing<C: ?Sized + 'static>(
    name: &'static str,
    schemes: &'static [&'static str],
) -> Entry<C> {
    Entry {
        name,
        schemes,
        example: "",
        parse: |settings| {
            Err(Mistake::at(settings.span(), "this program was built without that backend")
                .with_hint("build it with the backend's cargo feature"))
        },
    }
}

/// The URL of a binding's settings: the string itself or the table's `url`.
fn url<'a>(settings: &'a Spanned<DeValue<'_>>) -> Option<(&'a str, std::ops::Range<usize>)> {
    match settings.get_ref() {
        DeValue::String(url) => Some((url, settings.span())),
        DeValue::Table(table) => {
            let value = table.get("url")?;
            Some((value.get_ref().as_str()?, value.span()))
        }
        _ => None,
    }
}

/// Finds the backend that a binding's URL names and reads the settings.
///
/// `settings` is either the URL alone or a table with `url` and the backend's further keys.
///
/// # Errors
/// An unknown scheme, with the nearest that is known, or the backend's own mistake.
pub fn choose<C: ?Sized + 'static>(
    backends: &[Entry<C>],
    settings: Spanned<DeValue<'_>>,
) -> Result<(&'static str, Opening<C>), Mistake> {
    let Some((url, span)) = url(&settings) else {
        return Err(Mistake::at(settings.span(), "expected a URL, or a table with a `url`")
            .with_hint(examples(backends)));
    };
    let Some((scheme, _)) = url.split_once(':') else {
        return Err(Mistake::at(span, "a binding is a URL, and this has no scheme")
            .with_hint(examples(backends)));
    };
    let Some(entry) = backends.iter().find(|entry| entry.schemes.contains(&scheme)) else {
        let known = backends.iter().flat_map(|entry| entry.schemes.iter().copied());
        return Err(Mistake::unknown(span, "scheme", scheme, known));
    };
    Ok((entry.name, entry.parse(table(settings))?))
}

/// Opens a binding from its URL alone, without a deployment file.
///
/// # Errors
/// As [`choose`] and as the backend's `open`.
pub async fn open<C: ?Sized + 'static>(
    backends: &[Entry<C>],
    url: &str,
    place: Place,
) -> Result<Arc<C>> {
    let settings = Spanned::new(0..url.len(), DeValue::String(url.into()));
    let (_, opening) =
        choose(backends, settings).map_err(|mistake| Error::invalid(mistake.to_string()))?;
    opening(place).await
}

/// Opens a binding from what the deployment file would say of it: `{ url = "…", key = … }`, or a
/// URL in quotes.
///
/// # Errors
/// `Invalid` where that is no TOML; as [`choose`] and as the backend's `open`.
pub async fn open_line<C: ?Sized + 'static>(
    backends: &[Entry<C>],
    line: &str,
    place: Place,
) -> Result<Arc<C>> {
    let opening = {
        let text = format!("binding = {line}");
        let wrong = |error: toml::de::Error| Error::invalid(error.message().to_owned());
        let mut table = DeTable::parse(&text).map_err(wrong)?.into_inner();
        let settings = table.remove("binding");
        let settings = settings.ok_or_else(|| Error::invalid("a binding needs settings"))?;
        let (_, opening) =
            choose(backends, settings).map_err(|mistake| Error::invalid(mistake.to_string()))?;
        opening
    };
    opening(place).await
}

/// A URL alone is the table that has only it.
fn table(settings: Spanned<DeValue<'_>>) -> Spanned<DeValue<'_>> {
    let span = settings.span();
    match settings.into_inner() {
        DeValue::String(url) => {
            let mut table = DeTable::new();
            let key = Spanned::new(span.clone(), DeString::from("url"));
            table.insert(key, Spanned::new(span.clone(), DeValue::String(url)));
            Spanned::new(span, DeValue::Table(table))
        }
        other => Spanned::new(span, other),
    }
}

fn examples<C: ?Sized>(backends: &[Entry<C>]) -> String {
    let examples: Vec<_> =
        backends.iter().map(|entry| entry.example).filter(|example| !example.is_empty()).collect();
    format!("for example {}", examples.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Toy {
        url: String,
        #[serde(default)]
        size: usize,
    }

    impl Backend for Toy {
        type Contract = String;
        const NAME: &'static str = "toy";
        const SCHEMES: &'static [&'static str] = &["toy", "toys"];
        const EXAMPLE: &'static str = "toy:box";
        async fn open(self, place: Place) -> Result<Arc<String>> {
            Ok(Arc::new(format!("{} {} {}", self.url, self.size, place.binding)))
        }
    }

    const BACKENDS: &[Entry<String>] = &[backend::<Toy>(), missing("car", &["car"])];

    fn check(text: &str) -> Result<&'static str, Mistake> {
        let table = DeTable::parse(text).unwrap().into_inner();
        choose(BACKENDS, table.get("x").unwrap().clone()).map(|(name, _)| name)
    }

    #[test]
    fn a_url_or_a_table_chooses_a_backend() {
        assert_eq!(check("x = 'toy:box'").unwrap(), "toy");
        assert_eq!(check("x = { url = 'toys:box', size = 3 }").unwrap(), "toy");
    }

    #[test]
    fn mistakes_have_places_and_hints() {
        let unknown = check("x = 'tox:box'").unwrap_err();
        assert_eq!(unknown.to_string(), "unknown scheme `tox` (did you mean `toy`?)");
        assert_eq!(unknown.span, Some(4..13));
        let key = check("x = { url = 'toy:', sice = 3 }").unwrap_err();
        assert!(key.message.contains("unknown field `sice`"), "{key}");
        assert_eq!(key.span, Some(20..24));
        assert!(check("x = 'car:'").unwrap_err().message.contains("built without"));
        assert!(check("x = 3").unwrap_err().message.contains("expected a URL"));
    }
}
