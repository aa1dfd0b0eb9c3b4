//! How messages are written down for MQTT, and read.
//!
//! Headers are user properties, in their order; content type, response topic and correlation data
//! are what MQTT calls so. What servers would refuse there is in an envelope in front of the
//! content, and a property says how long it is.

use super::names::{Names, is_refused};
use super::replies::Replies;
use crate::Message;
use crate::backend::envelope;
use bytes::Bytes;
use connect::mqtt::{Publish, PublishProperties};

/// What is left of the largest packet for what is said of a message.
pub(super) const ROOM: usize = 16 << 10;
/// The most bytes of a text in a packet.
const LONGEST: usize = u16::MAX as usize;

const KEY: &str = "wharf-key";
const ENVELOPE: &str = "wharf-envelope";
const OURS: &str = "wharf-";

/// A message as it is sent to a topic.
pub(super) fn pack(names: &Names, replies: &Replies, topic: String, message: Message) -> Publish {
    let mut properties = PublishProperties::default();
    if let Some(reply_to) = &message.reply_to {
        (properties.response_topic, properties.correlation_data) = replies.written(names, reply_to);
    }
    let said = [&message.content_type, &message.key];
    let are_plain = message.headers.iter().all(|(name, value)| is_name(name) && is_plain(value))
        && said.into_iter().flatten().all(|text| is_plain(text));
    let payload = if are_plain {
        properties.content_type = message.content_type;
        properties.user_properties = message.headers;
        if let Some(key) = message.key {
            properties.user_properties.push((KEY.to_owned(), key));
        }
        message.data
    } else {
        let envelope = envelope::seal(&message);
        properties.user_properties = vec![(ENVELOPE.to_owned(), envelope.len().to_string())];
        [envelope.as_bytes(), &message.data].concat().into()
    };
    Publish { topic: topic.into(), payload, properties: Some(properties), ..Publish::default() }
}

/// A message as it was before it was sent, without where replies go. What other programs published
/// is read as it is.
pub(super) fn unpack(properties: PublishProperties, payload: Bytes) -> Message {
    let ours = |name: &str| {
        let mut found = properties.user_properties.iter();
        found.find(|(found, _)| found == name).map(|(_, value)| value.clone())
    };
    let length = ours(ENVELOPE).and_then(|length| length.parse().ok());
    if let Some(length) = length
        && let Some((envelope, _)) = payload.split_at_checked(length)
        && let Some(opened) = envelope::open(envelope)
    {
        return Message { data: payload.slice(length..), ..opened };
    }
    let key = ours(KEY);
    let mut headers = properties.user_properties;
    headers.retain(|(name, _)| is_name(name));
    Message {
        data: payload,
        content_type: properties.content_type,
        headers,
        key,
        id: None,
        reply_to: None,
    }
}

/// Whether servers take a text.
fn is_plain(text: &str) -> bool {
    text.len() <= LONGEST && !text.contains(is_refused)
}

/// Whether a header can have its name in MQTT, and means nothing there.
fn is_name(name: &str) -> bool {
    let is_ours = name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS));
    is_plain(name) && !is_ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn passes(message: Message, in_envelope: bool) -> Publish {
        let names = Names::new("p".to_owned());
        let packed = pack(&names, &Replies::default(), names.topic("a"), message.clone());
        let properties = packed.properties.clone().unwrap();
        let is_sealed = properties.user_properties.iter().any(|(name, _)| name == ENVELOPE);
        assert_eq!(is_sealed, in_envelope, "{properties:?}");
        assert_eq!(unpack(properties, packed.payload.clone()), message);
        packed
    }

    fn with(headers: &[(&str, &str)]) -> Message {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Message { headers: headers.iter().map(header).collect(), ..Message::new("content") }
    }

    #[test]
    fn headers_are_user_properties() {
        let message = Message {
            content_type: Some("text/plain".to_owned()),
            key: Some("ω 7".to_owned()),
            ..with(&[("b", "1"), ("a", " 2 "), ("b", ""), ("é ü", "3")])
        };
        let properties = passes(message, false).properties.unwrap();
        assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
        assert_eq!(properties.user_properties[1], ("a".to_owned(), " 2 ".to_owned()));
    }

    #[test]
    fn what_servers_refuse_is_in_an_envelope() {
        passes(with(&[("a", "\u{ffff}")]), true);
        passes(with(&[("Wharf-Key", "k")]), true);
        passes(with(&[("a", &"x".repeat(70_000)), ("b", "1")]), true);
        passes(Message { key: Some("\u{fdd0}".to_owned()), ..with(&[]) }, true);
    }

    #[test]
    fn what_others_published_is_read_as_it_is() {
        let properties = PublishProperties {
            user_properties: vec![
                (ENVELOPE.to_owned(), "9000".to_owned()),
                ("a".to_owned(), "1".to_owned()),
            ],
            ..PublishProperties::default()
        };
        let found = unpack(properties, Bytes::from_static(b"t1:"));
        assert_eq!((found.headers.len(), found.data), (1, Bytes::from_static(b"t1:")));
    }
}
