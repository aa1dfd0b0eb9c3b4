//! Events that are one JSON document.

use super::attribute::{check_name, is_json, is_text};
use super::{CONTENT_TYPE, Event, JSON, SPECVERSION, json, malformed, shown};
use crate::Message;
use base::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;

/// The type of data that does not say its own.
const USUAL: &str = "application/json";

/// The event that a document is.
pub(super) fn read(document: &[u8]) -> Result<Event> {
    let document = std::str::from_utf8(document)
        .map_err(|error| malformed("its document is no UTF-8").with_source(error))?;
    let (mut attributes, mut data, mut base64) = (BTreeMap::new(), None, None);
    for (name, text) in json::members(document)? {
        let is_new = match name.as_str() {
            "data" => data.replace(text).is_none(),
            "data_base64" => base64.replace(text).is_none(),
            _ => match attribute(&name, text)? {
                Some(value) => attributes.insert(name.clone(), value).is_none(),
                None => true,
            },
        };
        if !is_new {
            return Err(malformed(format!("`{}` comes twice", shown(&name))));
        }
    }
    let data = match (data, base64) {
        (None, None) => None,
        (Some(_), Some(_)) => return Err(malformed("it has both `data` and `data_base64`")),
        (None, Some(text)) => {
            let wrong = || malformed("`data_base64` is no Base64 in quotes");
            let text: String =
                serde_json::from_str(text).map_err(|error| wrong().with_source(error))?;
            let data = STANDARD.decode(text).map_err(|error| wrong().with_source(error))?;
            Some(Bytes::from(data))
        }
        (Some(text), None) => {
            // "[…] processing of this message SHOULD proceed as if the datacontenttype attribute
            // had been specified explicitly as application/json."
            let kind = attributes.entry(CONTENT_TYPE.to_owned()).or_insert_with(|| USUAL.into());
            Some(if is_json(kind) { text.to_owned().into() } else { quoted(text, kind)? })
        }
    };
    Event::new(attributes, data)
}

/// What an attribute says, as text. "When decoding attributes and a null value is encountered, it
/// MUST be treated as the equivalent of unset or omitted."
fn attribute(name: &str, text: &str) -> Result<Option<String>> {
    check_name(name)?;
    let value = serde_json::from_str(text).map_err(malformed)?;
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::String(text) => text,
        Value::Bool(truth) => truth.to_string(),
        // "A whole number in the range -2,147,483,648 to +2,147,483,647."
        Value::Number(number) if number.as_i64().is_some_and(|it| i32::try_from(it).is_ok()) => {
            number.to_string()
        }
        _ => {
            return Err(malformed(format!(
                "`{name}` is neither a text, a whole number of 32 bits nor a truth value"
            )));
        }
    }))
}

/// Data that is no JSON, and stands there as a text.
fn quoted(text: &str, kind: &str) -> Result<Bytes> {
    let text: String = serde_json::from_str(text).map_err(|error| {
        malformed(format!("its data is `{}`, and stands there as no text", shown(kind)))
            .with_source(error)
    })?;
    Ok(text.into())
}

/// The event in a message that has none.
pub(super) fn write(event: Event, message: Message) -> Result<Message> {
    let Event { attributes, data } = event;
    let mut document = String::from("{");
    let mut add = |name: &str, text: &str| {
        if document.len() > 1 {
            document.push(',');
        }
        document.extend([&Value::from(name).to_string(), ":", text]);
    };
    // For people the version comes first.
    let version = attributes.get_key_value(SPECVERSION).into_iter();
    let others = attributes.iter().filter(|(name, _)| *name != SPECVERSION);
    for (name, value) in version.chain(others) {
        add(name, &Value::from(value.as_str()).to_string());
    }
    if let Some(data) = data {
        let kind = attributes.get(CONTENT_TYPE).map_or("", String::as_str);
        let text = std::str::from_utf8(&data).ok().filter(|_| is_text(kind));
        match text {
            _ if is_json(kind) => {
                let of = |error: base::Error| error.context(format!("data of type `{kind}`"));
                add("data", json::whole(&data).map_err(of)?);
            }
            Some(text) => add("data", &Value::from(text).to_string()),
            None => add("data_base64", &Value::from(STANDARD.encode(&data)).to_string()),
        }
    }
    document.push('}');
    Ok(Message { data: document.into(), content_type: Some(JSON.to_owned()), ..message })
}
