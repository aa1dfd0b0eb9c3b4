//! The key `cloudevents` of a binding, which belongs to no backend.

use super::{Events, Mode, Style, uri};
use crate::{BACKENDS, Broker};
use base::{Mistake, Opening, Place, backend};
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use std::sync::Arc;
use toml::Spanned;
use toml::de::DeValue;

/// The key.
const KEY: &str = "cloudevents";

/// `cloudevents = { mode = "structured", source = "/shop" }`; a mode alone is the table that has
/// only it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    /// The form in which events are published.
    mode: Mode,
    /// The `source` of what becomes an event. Default: `/<app>/<binding>`.
    #[serde(default)]
    source: Option<Spanned<String>>,
}

/// Reads the settings of a binding: those of the backend that its URL names, and whether what is
/// published are CloudEvents. Touches nothing.
///
/// # Errors
/// As [`base::backend::choose`].
pub fn choose(
    mut settings: Spanned<DeValue<'_>>,
) -> Result<(&'static str, Opening<dyn Broker>), Mistake> {
    let events = match settings.get_mut() {
        DeValue::Table(table) => table.remove(KEY).map(read).transpose()?,
        _ => None,
    };
    let (name, opening) = backend::choose(BACKENDS, settings)?;
    let Some(Settings { mode, source }) = events else { return Ok((name, opening)) };
    let opening = move |place: Place| {
        let usual = || format!("/{}/{}", segment(&place.app), segment(&place.binding));
        let source = source.map_or_else(usual, Spanned::into_inner);
        let opening = async move {
            let broker = opening(place).await?;
            let events = Events::new(broker, mode, Style::of_backend(name), source);
            Ok(Arc::new(events) as Arc<dyn Broker>)
        };
        Box::pin(opening) as futures::future::BoxFuture<'static, _>
    };
    Ok((name, Box::new(opening)))
}

fn read(value: Spanned<DeValue<'_>>) -> Result<Settings, Mistake> {
    let span = value.span();
    let settings = match value.get_ref() {
        DeValue::String(_) => {
            let mode = Mode::deserialize(value.into_deserializer())?;
            Settings { mode, source: None }
        }
        DeValue::Table(_) => Settings::deserialize(value.into_deserializer())?,
        _ => return Err(Mistake::at(span, "expected `binary`, `structured`, or a table")),
    };
    let is_wrong = |source: &&Spanned<String>| {
        source.get_ref().is_empty() || !uri::is_reference(source.get_ref())
    };
    match settings.source.as_ref().filter(is_wrong) {
        Some(source) => {
            let message = format!("`{}` is no URI reference", source.get_ref());
            Err(Mistake::at(source.span(), message).with_hint("for example \"/shop\""))
        }
        None => Ok(settings),
    }
}

/// A name as a part of a path.
fn segment(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let plain = |byte: u8| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    name.bytes().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::de::DeTable;

    fn chosen(text: &str) -> Result<&'static str, Mistake> {
        let table = DeTable::parse(text).unwrap().into_inner();
        choose(table.get("x").unwrap().clone()).map(|(name, _)| name)
    }

    #[test]
    fn the_key_stands_beside_those_of_the_backend() {
        for settings in [
            "'memory:'",
            "{ url = 'memory:', cloudevents = 'binary' }",
            "{ url = 'memory:', cloudevents = { mode = 'structured' }, max-size = '1MiB' }",
            "{ url = 'memory:', cloudevents = { mode = 'binary', source = '/shop' } }",
        ] {
            assert_eq!(chosen(&format!("x = {settings}")).unwrap(), "memory", "{settings}");
        }
    }

    #[test]
    fn mistakes_have_their_place() {
        for (settings, said, at) in [
            ("{ url = 'memory:', cloudevents = 'json' }", "unknown variant `json`", "'json'"),
            ("{ url = 'memory:', cloudevents = 1 }", "expected `binary`, `structured`", "1"),
            ("{ url = 'memory:', cloudevents = { source = '/a' } }", "missing field `mode`", "{ s"),
            (
                "{ url = 'memory:', cloudevents = { mode = 'binary', source = 'a b' } }",
                "`a b` is no URI reference",
                "'a b'",
            ),
            (
                "{ url = 'memory:', cloudevents = { mode = 'binary', sauce = '/' } }",
                "unknown field `sauce`",
                "sauce",
            ),
        ] {
            let text = format!("x = {settings}");
            let mistake = chosen(&text).unwrap_err();
            assert!(mistake.message.contains(said), "{settings}: {mistake}");
            let place = text.get(mistake.span.unwrap()).unwrap();
            assert!(place.starts_with(at), "{settings}: {place}");
        }
    }

    #[test]
    fn any_name_makes_a_source() {
        assert_eq!(segment("größe 1"), "gr%C3%B6%C3%9Fe%201");
        assert!(uri::is_reference(&format!("/{}/{}", segment("a:b"), segment("ü/%"))));
    }
}
