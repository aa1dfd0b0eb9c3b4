//! How messages are written down for NATS, and read.
//!
//! Headers of NATS have their names in no order, lose the spaces at the ends of their values, and
//! mean something to the server when they begin with `Nats-`. So a message whose headers other
//! programs can have as they are gets them so, with one header more that says their order. All else
//! is in an envelope in front of the content, and a header says how long it is.

use crate::Message;
use crate::backend::envelope;
use async_nats::{HeaderMap, HeaderName};
use bytes::Bytes;
use std::collections::HashMap;
use std::fmt::Write as _;

/// What is left of the largest payload for what is said of a message: more than a message needs
/// that has its headers as NATS does, and ten bytes for each of the headers in an envelope.
pub(super) const ROOM: usize = 4096;

const CONTENT_TYPE: &str = "Content-Type";
const ID: &str = "Nats-Msg-Id";
const KEY: &str = "Wharf-Key";
pub(super) const REPLY_TO: &str = "Wharf-Reply-To";
const ORDER: &str = "Wharf-Header-Order";
const ENVELOPE: &str = "Wharf-Envelope";

/// More headers, or more bytes of them, come in an envelope.
const MOST: usize = 32;
const LARGEST: usize = 2048;

/// A message as it is sent.
pub(super) fn pack(message: Message) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    if let Some(id) = &message.id {
        headers.insert(ID, id_word(id));
    }
    let size: usize = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let is_small = message.headers.len() <= MOST && size <= LARGEST;
    let said = [&message.content_type, &message.key, &message.id];
    let are_plain = message.headers.iter().all(|(name, value)| is_name(name) && is_plain(value))
        && said.into_iter().flatten().all(|text| is_plain(text));
    if !is_small || !are_plain {
        let envelope = envelope::seal(&message);
        headers.insert(ENVELOPE, envelope.len().to_string());
        return (headers, [envelope.as_bytes(), &message.data].concat().into());
    }
    if let Some(content_type) = message.content_type {
        headers.insert(CONTENT_TYPE, content_type);
    }
    if let Some(key) = message.key {
        headers.insert(KEY, key);
    }
    if message.headers.len() > 1 {
        let names: Vec<&str> = message.headers.iter().map(|(name, _)| name.as_str()).collect();
        headers.insert(ORDER, names.join(","));
    }
    for (name, value) in message.headers {
        headers.append(name, value);
    }
    (headers, message.data)
}

/// A message as it was before it was sent. What other programs published is read as it is.
pub(super) fn unpack(headers: &HeaderMap, payload: Bytes) -> Message {
    let text = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
    let length = text(ENVELOPE).and_then(|length| length.parse().ok());
    if let Some(length) = length
        && let Some((envelope, _)) = payload.split_at_checked(length)
        && let Some(opened) = envelope::open(envelope)
    {
        return Message { data: payload.slice(length..), ..opened };
    }
    Message {
        content_type: text(CONTENT_TYPE),
        headers: in_order(headers, text(ORDER).as_deref().unwrap_or_default()),
        key: text(KEY),
        id: text(ID),
        reply_to: None,
        data: payload,
    }
}

/// What stands for an id in the header by which the server tells messages.
fn id_word(id: &str) -> String {
    if is_plain(id) && !id.starts_with('=') {
        return id.to_owned();
    }
    let mut word = String::from("=");
    for byte in id.bytes() {
        // Writing to a string does not fail.
        _ = write!(word, "{byte:02x}");
    }
    word
}

/// Whether a value stays as it is in a header of NATS.
fn is_plain(value: &str) -> bool {
    value.trim() == value
}

/// Whether a header can have its name in NATS, and means nothing there.
fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let means = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    name.bytes().all(is_allowed) && !["nats-", "wharf-", CONTENT_TYPE].into_iter().any(means)
}

/// The headers of a message in the order in which these names come, and the others behind them.
fn in_order(headers: &HeaderMap, order: &str) -> Vec<(String, String)> {
    let mut values: HashMap<&str, std::vec::IntoIter<String>> = HashMap::new();
    for (name, all) in headers.iter() {
        let name: &HeaderName = name;
        if is_name(name.as_ref()) {
            let all: Vec<String> = all.iter().map(|value| value.as_str().to_owned()).collect();
            values.insert(name.as_ref(), all.into_iter());
        }
    }
    let mut found = Vec::new();
    for name in order.split(',') {
        if let Some(value) = values.get_mut(name).and_then(Iterator::next) {
            found.push((name.to_owned(), value));
        }
    }
    let mut rest: Vec<_> = values.into_iter().collect();
    rest.sort_by_key(|(name, _)| *name);
    let rest = rest
        .into_iter()
        .flat_map(|(name, values)| values.map(move |value| (name.to_owned(), value)));
    found.extend(rest);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &[(&str, &str)]) -> Message {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Message { headers: headers.iter().map(header).collect(), ..Message::new("content") }
    }

    #[track_caller]
    fn passes(message: Message, in_envelope: bool) -> HeaderMap {
        let (headers, payload) = pack(message.clone());
        assert_eq!(headers.get(ENVELOPE).is_some(), in_envelope, "{headers:?}");
        assert_eq!(unpack(&headers, payload), message);
        headers
    }

    #[test]
    fn plain_headers_are_those_of_nats() {
        let headers = [("b", "1"), ("a", "Zoë, \"q\" = 1: 2%3"), ("b", ""), ("B", "4")];
        let all = passes(message(&headers), false);
        assert_eq!(all.get("a").map(|value| value.as_str()), Some("Zoë, \"q\" = 1: 2%3"));
        let all = Message {
            content_type: Some("text/plain".to_owned()),
            key: Some("ω 7".to_owned()),
            id: Some("order 7".to_owned()),
            ..message(&[])
        };
        assert_eq!(passes(all, false).get(ID).map(|id| id.as_str()), Some("order 7"));
    }

    #[test]
    fn all_others_are_in_an_envelope() {
        for header in [("é ü", "1"), ("a", " 1"), ("Nats-Rollup", "all"), ("wharf-key", "k")] {
            passes(message(&[header, ("b", "v1:2")]), true);
        }
        let many: Vec<_> = (0..100).map(|_| ("a", "b")).collect();
        passes(message(&many), true);
        passes(message(&[("a", &"x".repeat(5000)), ("content-type", "x")]), true);
        let all = Message { id: Some(" 1".to_owned()), key: Some("k ".to_owned()), ..message(&[]) };
        assert_eq!(passes(all, true).get(ID).map(|id| id.as_str()), Some("=2031"));
    }

    #[test]
    fn what_others_published_is_read_as_it_is() {
        let mut headers = HeaderMap::new();
        headers.insert(ENVELOPE, "9000");
        headers.insert(ORDER, "c,x");
        headers.append("c", "1");
        headers.append("c", "2");
        headers.append("a", "3");
        headers.insert("Nats-Expected-Stream", "s");
        let found = unpack(&headers, Bytes::from_static(b"t1:"));
        let wanted = Message {
            data: Bytes::from_static(b"t1:"),
            ..message(&[("c", "1"), ("a", "3"), ("c", "2")])
        };
        assert_eq!(found, wanted);
        for wrong in ["x1:a", "t9:a", "t", "v1:a", "t-1:a", "é1:a"] {
            headers.insert(ENVELOPE, wrong.len().to_string());
            let payload = Bytes::copy_from_slice(wrong.as_bytes());
            assert_eq!(unpack(&headers, payload.clone()).data, payload, "{wrong}");
        }
    }
}
