//! CloudEvents 1.0 in messages: found in every form that they come in, held to their rules, and put
//! into the form that is wanted. No IO; `publishing` puts it before a broker.
//!
//! The sentences in quotes are the specification's:
//! <https://github.com/cloudevents/spec/tree/v1.0.2/cloudevents>.

mod attribute;
mod binary;
mod json;
mod publishing;
mod settings;
mod structured;
#[cfg(test)]
mod tests;
mod uri;

use crate::Message;
use base::{Error, Result};
use bytes::Bytes;
use serde::Deserialize;
use std::collections::BTreeMap;

pub use publishing::Events;
pub use settings::choose;

/// The version of the specification.
const VERSION: &str = "1.0";
/// The type of an event in one document, of which there are several kinds.
const STRUCTURED: &str = "application/cloudevents";
/// The kind that is known here.
const JSON: &str = "application/cloudevents+json";
/// The attributes that are not extensions, as far as their names matter here.
const SPECVERSION: &str = "specversion";
const ID: &str = "id";
const SOURCE: &str = "source";
const TYPE: &str = "type";
const TIME: &str = "time";
const CONTENT_TYPE: &str = "datacontenttype";
/// "The partition key […] can be used to map an event to a partition": what a message's key is for.
const PARTITION_KEY: &str = "partitionkey";
/// Those without which there is no event.
const REQUIRED: [&str; 4] = [SPECVERSION, ID, SOURCE, TYPE];

/// The form of an event in a message: its content mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Attributes are headers, the data is the content, and its type the message's.
    Binary,
    /// All of it is one JSON document.
    Structured,
}

/// How the binding of a protocol names the headers of attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// `ce-id`, with other than plain characters escaped: NATS, HTTP, and what has no binding.
    #[default]
    Dash,
    /// `ce_id`: Kafka.
    Underscore,
    /// `cloudEvents:id`: AMQP. With `_` it is known too, for those who cannot write `:`.
    Colon,
    /// `id`: MQTT.
    Plain,
}

impl Style {
    /// Each, in the order in which they are looked for.
    const ALL: [Self; 4] = [Self::Dash, Self::Underscore, Self::Colon, Self::Plain];

    /// That of the protocol which a backend speaks.
    pub fn of_backend(name: &str) -> Self {
        match name {
            "kafka" => Self::Underscore,
            "amqp" | "amqp1" => Self::Colon,
            "mqtt" => Self::Plain,
            _ => Self::Dash,
        }
    }
}

/// An event that keeps to the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Every attribute as its canonical text; the required ones are there.
    attributes: BTreeMap<String, String>,
    /// The data. None and nothing are two things only in a document.
    data: Option<Bytes>,
}

impl Event {
    /// An event of these attributes.
    ///
    /// # Errors
    /// [`Kind::Invalid`](base::Kind), with the attribute that is wrong or missing.
    pub fn new(attributes: BTreeMap<String, String>, data: Option<Bytes>) -> Result<Self> {
        for name in REQUIRED {
            if !attributes.contains_key(name) {
                return Err(malformed(format!("`{name}` is missing")));
            }
        }
        for (name, value) in &attributes {
            attribute::check(name, value)?;
        }
        Ok(Self { attributes, data })
    }

    /// An attribute: `id`, `source`, `type`, or any other that it has.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// The data.
    pub fn data(&self) -> Option<&Bytes> {
        self.data.as_ref()
    }

    /// The event that a message is, and in which form; `None`: it is no event.
    ///
    /// # Errors
    /// [`Kind::Invalid`](base::Kind): it is meant to be one, and says what is wrong with it.
    pub fn find(message: &Message) -> Result<Option<(Self, Mode)>> {
        let is_structured = |kind: &String| {
            let kind = kind.get(..STRUCTURED.len());
            kind.is_some_and(|kind| kind.eq_ignore_ascii_case(STRUCTURED))
        };
        if let Some(kind) = message.content_type.as_ref().filter(|kind| is_structured(kind)) {
            let essence = kind.split(';').next().unwrap_or_default().trim();
            if !essence.eq_ignore_ascii_case(JSON) {
                return Err(malformed(format!("only `{JSON}` is understood, not `{essence}`")));
            }
            let event = structured::read(&message.data)?;
            return Ok(Some((event, Mode::Structured)));
        }
        let Some(style) = binary::style(message) else { return Ok(None) };
        Ok(Some((binary::read(message, style)?, Mode::Binary)))
    }

    /// The event in this form, in a message that has all else of `around`: its key, id, where
    /// replies go, and headers that are no attributes.
    ///
    /// # Errors
    /// [`Kind::Invalid`](base::Kind) where the data is not of the type that it says.
    pub fn into_message(self, around: Message, mode: Mode, style: Style) -> Result<Message> {
        let mut message = binary::without_attributes(around);
        if message.key.is_none() {
            message.key = self.attributes.get(PARTITION_KEY).cloned();
        }
        match mode {
            Mode::Binary => Ok(binary::write(self, message, style)),
            Mode::Structured => structured::write(self, message),
        }
    }
}

/// The same event in this form. One that has it already stays as it is, to the byte.
///
/// # Errors
/// [`Kind::Invalid`](base::Kind) for what is no event, with what is wrong.
pub fn convert(message: Message, mode: Mode, style: Style) -> Result<Message> {
    let Some((event, found)) = Event::find(&message)? else {
        return Err(Error::invalid(format!(
            "no CloudEvent: there is neither a header `ce-specversion` nor the type `{JSON}`"
        )));
    };
    let is_so = match mode {
        Mode::Structured => found == mode,
        Mode::Binary => found == mode && binary::style(&message) == Some(style),
    };
    if is_so { Ok(message) } else { event.into_message(message, mode, style) }
}

/// The error of what is meant to be an event.
fn malformed(why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("malformed CloudEvent: {why}"))
}

/// A text of somebody's, as much of it as fits into a message.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
