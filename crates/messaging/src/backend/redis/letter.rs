//! How messages are written down in the stream, and read.
//!
//! An entry has the fields `topic`, `due`, which is the millisecond before which nobody gets it,
//! `key`, `head` and `data`. The head is an envelope; entries of other programs need none.

use super::binding::{Place, number, strange, text};
use crate::backend::envelope;
use crate::{Message, check_topic, is_inbox};
use base::{Error, Result};
use bytes::Bytes;
use redis::Value;
use std::time::Duration;

/// A message as it is published.
#[derive(Clone)]
pub(super) struct Parcel {
    pub(super) topic: String,
    /// For how many milliseconds it is put off.
    pub(super) delay: Option<u64>,
    pub(super) id: String,
    pub(super) key: String,
    pub(super) head: String,
    pub(super) data: Bytes,
}

impl Parcel {
    pub(super) fn new(topic: String, mut message: Message, delay: Option<Duration>) -> Self {
        let key = message.key.take().unwrap_or_default();
        Self {
            topic,
            delay: delay.filter(|delay| !delay.is_zero()).map(super::binding::count),
            key,
            head: envelope::seal(&message),
            id: message.id.unwrap_or_default(),
            data: message.data,
        }
    }

    /// How many bytes it takes on its way.
    pub(super) fn size(&self) -> usize {
        let Self { topic, id, key, head, data, .. } = self;
        160 + topic.len() + id.len() + key.len() + head.len() + data.len()
    }
}

/// A message that was handed out.
pub(super) struct Taken {
    pub(super) place: Place,
    pub(super) attempt: u32,
    /// With its topic; what nobody can read is none.
    pub(super) message: Option<(String, Message)>,
}

impl Taken {
    /// Reads its place, its attempt and its fields.
    pub(super) fn read(taken: Value) -> Result<Self> {
        let parts = match taken {
            Value::Array(parts) => <[Value; 3]>::try_from(parts),
            other => return Err(strange(&other)),
        };
        let [id, attempt, Value::Array(fields)] = parts.map_err(|it| strange(&Value::Array(it)))?
        else {
            return Err(Error::internal("the script answered without fields"));
        };
        let id = text(id)?;
        let place = Place::read(&id).ok_or_else(|| Error::corrupt("the id of a message"))?;
        let attempt = u32::try_from(number(&attempt)?).unwrap_or(u32::MAX).max(1);
        Ok(Self { place, attempt, message: message(fields) })
    }
}

fn message(fields: Vec<Value>) -> Option<(String, Message)> {
    let mut fields = fields.into_iter();
    let (mut topic, mut key, mut head, mut data) = Default::default();
    while let (Some(Value::BulkString(name)), Some(Value::BulkString(value))) =
        (fields.next(), fields.next())
    {
        match name.as_slice() {
            b"topic" => topic = value,
            b"key" => key = value,
            b"head" => head = value,
            b"data" => data = value,
            _ => {}
        }
    }
    let (topic, key) = (String::from_utf8(topic).ok()?, String::from_utf8(key).ok()?);
    if check_topic(&topic).is_err() || is_inbox(&topic) {
        return None;
    }
    let key = (!key.is_empty()).then_some(key);
    Some((topic, Message { key, data: data.into(), ..envelope::open(&head)? }))
}

/// A reply to a topic as it goes over a channel.
pub(super) fn pack_reply(topic: &str, message: &Message) -> Vec<u8> {
    let head = envelope::seal(message);
    let lines = format!("{topic}\n{}\n{head}", head.len());
    [lines.as_bytes(), &message.data].concat()
}

/// The topic and the message of a reply.
pub(super) fn unpack_reply(packed: &[u8]) -> Option<(&str, Message)> {
    let line = |rest: &'_ [u8]| rest.iter().position(|byte| *byte == b'\n');
    let (topic, rest) = packed.split_at_checked(line(packed)?)?;
    let rest = rest.get(1..)?;
    let (length, rest) = rest.split_at_checked(line(rest)?)?;
    let length = str::from_utf8(length).ok()?.parse().ok()?;
    let (head, data) = rest.get(1..)?.split_at_checked(length)?;
    let message = Message { data: Bytes::copy_from_slice(data), ..envelope::open(head)? };
    Some((str::from_utf8(topic).ok()?, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            data: Bytes::from_static(b"\n\0content"),
            content_type: Some("text/plain".to_owned()),
            headers: vec![("a".to_owned(), " 1\u{e9}".to_owned()), ("a".to_owned(), String::new())],
            key: Some("k 7".to_owned()),
            id: Some("i:1".to_owned()),
            reply_to: Some("_inbox.1-1".to_owned()),
        }
    }

    fn stored(fields: &[(&str, &[u8])]) -> Option<(String, Message)> {
        let value = |bytes: &[u8]| Value::BulkString(bytes.to_vec());
        let fields = fields.iter().flat_map(|(name, bytes)| [value(name.as_bytes()), value(bytes)]);
        super::message(fields.collect())
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let parcel = Parcel::new("a.b".to_owned(), message(), None);
        let fields = [
            ("topic", parcel.topic.as_bytes()),
            ("due", b""),
            ("key", parcel.key.as_bytes()),
            ("head", parcel.head.as_bytes()),
            ("data", &parcel.data),
        ];
        assert_eq!(stored(&fields), Some(("a.b".to_owned(), message())));
        let packed = pack_reply("_inbox.1-1", &message());
        assert_eq!(unpack_reply(&packed), Some(("_inbox.1-1", message())));
        for length in 0..packed.len() - message().data.len() {
            assert_eq!(unpack_reply(&packed[..length]), None, "{length}");
        }
    }

    #[test]
    fn what_others_wrote_is_read_as_far_as_it_is_a_message() {
        let theirs = stored(&[("more", b"1"), ("data", b"x"), ("topic", b"a")]);
        assert_eq!(theirs, Some(("a".to_owned(), Message::new("x"))));
        for topic in [&b"a b"[..], b"", b"\xff", b"_inbox.1"] {
            assert_eq!(stored(&[("topic", topic)]), None);
        }
        assert_eq!(stored(&[("topic", b"a"), ("head", b"t9:x")]), None);
    }
}
