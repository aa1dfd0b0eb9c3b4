//! How messages are written down for Kafka, and read.
//!
//! Headers of Kafka come several times and in their order, as ours do. What is said of a message
//! besides them are headers in front: the topic first. A message of other programs has no such
//! header, and is read as it is.

use crate::{Message, check_topic, is_inbox};
use bytes::Bytes;
use connect::kafka::rdkafka::Message as _;
use connect::kafka::rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is left of the largest record for what is said of a message: its topic, the names of what
/// is said, and what Kafka itself writes around the record and each header.
pub(super) const ROOM: usize = 8192;

const TOPIC: &str = "wharf-topic";
const CONTENT_TYPE: &str = "content-type";
const REPLY_TO: &str = "wharf-reply-to";
/// What a group covers from here on. Nobody is handed it.
const GROUP: &str = "wharf-group";
/// Comes before the name of a header that would be taken for one of ours.
const PLAIN: &str = "wharf-plain-";
/// Comes, with a number, before the name of a header that has come before: not all that speak as
/// Kafka keep two of one name.
const AGAIN: &str = "wharf-again-";

/// A record as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Message {
        topic: String,
        message: Message,
    },
    /// What is said of a group, and the number that tells it from others of its name.
    Control {
        group: String,
        said: Control,
    },
    /// Nobody can be handed it.
    Nothing,
}

/// What is said of a group to all that take part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// It covers these topics.
    Covers { incarnation: u64, topics: String },
    /// It is forgotten.
    Forgotten { incarnation: u64 },
}

/// The headers of a message, and its content.
pub(super) fn pack(topic: &str, message: &Message) -> OwnedHeaders {
    let most = message.headers.len() + 3;
    let mut headers = OwnedHeaders::new_with_capacity(most);
    let mut put = |name: &str, value: &str| {
        let grown = std::mem::replace(&mut headers, OwnedHeaders::new_with_capacity(0));
        headers = grown.insert(Header { key: name, value: Some(value) });
    };
    put(TOPIC, topic);
    if let Some(content_type) = &message.content_type {
        put(CONTENT_TYPE, content_type);
    }
    if let Some(reply_to) = &message.reply_to {
        put(REPLY_TO, reply_to);
    }
    let mut times: HashMap<&str, u32> = HashMap::new();
    for (name, value) in &message.headers {
        let times = times.entry(name).or_default();
        *times += 1;
        match *times {
            1 if is_ours(name) => put(&format!("{PLAIN}{name}"), value),
            1 => put(name, value),
            times => put(&format!("{AGAIN}{times}-{name}"), value),
        }
    }
    headers
}

/// The headers of a record that says something of a group, and its content.
pub(super) fn pack_control(group: &str, said: &Control) -> (OwnedHeaders, String) {
    let text = match said {
        Control::Covers { incarnation, topics } => format!("{incarnation:x} {topics}"),
        Control::Forgotten { incarnation } => format!("{incarnation:x}"),
    };
    let headers = OwnedHeaders::new_with_capacity(1);
    (headers.insert(Header { key: GROUP, value: Some(group) }), text)
}

fn is_ours(name: &str) -> bool {
    let is_marked = [PLAIN, AGAIN].into_iter().any(|mark| name.starts_with(mark));
    is_marked || [TOPIC, CONTENT_TYPE, REPLY_TO, GROUP].contains(&name)
}

/// The name that a header had.
fn unmarked(name: &str) -> &str {
    let again = || Some(name.strip_prefix(AGAIN)?.split_once('-')?.1);
    name.strip_prefix(PLAIN).or_else(again).unwrap_or(name)
}

/// The record as it was before it was sent. `kafka_topic` is that of messages which say no other.
pub(super) fn read(record: &BorrowedMessage<'_>, kafka_topic: &str) -> Read {
    let headers = record.headers().map_or_else(Vec::new, |headers| {
        // The client panics at a name that is no text: such headers are left out, all of them.
        let all = || headers.iter().map(|header| owned(&header)).collect();
        catch_unwind(AssertUnwindSafe(all)).unwrap_or_default()
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let data = record.payload().unwrap_or_default();
    if let Some((_, group)) = headers.first().filter(|(name, _)| name == GROUP) {
        return control(&text(data))
            .map_or(Read::Nothing, |said| Read::Control { group: group.clone(), said });
    }
    let key = record.key().map(text).filter(|key| !key.is_empty());
    let message = Message { data: Bytes::copy_from_slice(data), key, ..Message::default() };
    unpack(headers, message, kafka_topic)
}

fn owned(header: &Header<'_, &[u8]>) -> (String, String) {
    let value = header.value.unwrap_or_default();
    (header.key.to_owned(), String::from_utf8_lossy(value).into_owned())
}

fn control(text: &str) -> Option<Control> {
    let (incarnation, topics) = match text.split_once(' ') {
        Some((incarnation, topics)) => (incarnation, Some(topics)),
        None => (text, None),
    };
    let incarnation = u64::from_str_radix(incarnation, 16).ok()?;
    Some(match topics {
        Some(topics) => Control::Covers { incarnation, topics: topics.to_owned() },
        None => Control::Forgotten { incarnation },
    })
}

/// Takes what is said of a message out of its headers.
fn unpack(headers: Vec<(String, String)>, mut message: Message, kafka_topic: &str) -> Read {
    let mut topic = kafka_topic.to_owned();
    // Of other programs the type of the content is where it is usual, and the rest is theirs.
    let is_of_wharf = headers.first().is_some_and(|(name, _)| name == TOPIC);
    for (at, (name, value)) in headers.into_iter().enumerate() {
        match name.as_str() {
            TOPIC if at == 0 => topic = value,
            CONTENT_TYPE if message.content_type.is_none() => message.content_type = Some(value),
            REPLY_TO if is_of_wharf && message.reply_to.is_none() => {
                message.reply_to = Some(value);
            }
            _ => {
                let name = if is_of_wharf { unmarked(&name).to_owned() } else { name };
                message.headers.push((name, value));
            }
        }
    }
    match check_topic(&topic).is_ok() && !is_inbox(&topic) {
        true => Read::Message { topic, message },
        false => Read::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(headers: &OwnedHeaders, data: &'static [u8]) -> Read {
        let headers = headers.iter().map(|header| owned(&header)).collect();
        unpack(headers, Message::new(data), "theirs")
    }

    #[test]
    fn a_message_is_read_as_it_was() {
        let headers = [
            "b",
            TOPIC,
            CONTENT_TYPE,
            "b",
            "wharf-dead-topic",
            "wharf-plain-x",
            "é",
            "b",
            TOPIC,
            "wharf-again-2-b",
        ];
        let message = Message {
            content_type: Some("text/plain".to_owned()),
            reply_to: Some("answers".to_owned()),
            headers: headers.map(|name| (name.to_owned(), format!("of {name}"))).to_vec(),
            ..Message::new(&b"1"[..])
        };
        for message in [message.clone(), Message { content_type: None, ..message }] {
            let packed = pack("a.b", &message);
            let topic = "a.b".to_owned();
            assert_eq!(unpacked(&packed, b"1"), Read::Message { topic, message });
        }
    }

    #[test]
    fn what_other_programs_published_is_read_as_it_is() {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "x", value: Some(&b"\xff"[..]) })
            .insert(Header { key: "wharf-plain-y", value: None::<&[u8]> })
            .insert(Header { key: CONTENT_TYPE, value: Some(&b"a/b"[..]) });
        let Read::Message { topic, message } = unpacked(&headers, b"1") else { unreachable!() };
        assert_eq!(topic, "theirs");
        assert_eq!(message.content_type.as_deref(), Some("a/b"));
        let names: Vec<&str> = message.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x", "wharf-plain-y"]);
        let inbox = OwnedHeaders::new().insert(Header { key: TOPIC, value: Some("_inbox.1") });
        assert_eq!(unpacked(&inbox, b"1"), Read::Nothing);
    }

    #[test]
    fn what_is_said_of_a_group_is_read() {
        let covers = Control::Covers { incarnation: 7, topics: "a b.*".to_owned() };
        for said in [covers, Control::Forgotten { incarnation: u64::MAX }] {
            assert_eq!(control(&pack_control("g", &said).1), Some(said));
        }
        assert_eq!(control("x y"), None);
    }
}
