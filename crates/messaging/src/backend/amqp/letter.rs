//! How messages are written down for AMQP, and read.
//!
//! A table of headers has its names in no order and each of them once, and the server takes some
//! for its own. So what other programs can have as it is stands there so: a name that comes twice
//! has a list of values, and one header more says their order where it is not that of the names.
//! All else is in an envelope in front of the content, and a header says how long it is.

use super::names::{self, Names};
use crate::backend::envelope;
use crate::{Message, check_topic, is_inbox};
use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const KEY: &str = "wharf-key";
const REPLY_TO: &str = "wharf-reply-to";
const ORDER: &str = "wharf-header-order";
const ENVELOPE: &str = "wharf-envelope";
/// Of a copy: its topic, how often it was handed out before, and how many units of time it has to
/// wait yet.
const TOPIC: &str = "wharf-topic";
const ATTEMPTS: &str = "wharf-attempts";
const REST: &str = "wharf-rest";
/// What the server counts: how often it took a message back, and from newer ones how often it gave
/// it away.
const COUNTS: [&str; 2] = ["x-delivery-count", "x-acquired-count"];

/// More headers, or more bytes of them, come in an envelope.
const MOST: usize = 32;
const LARGEST: usize = 2048;
/// The most bytes in the name of a header, as the specification has it.
const LONGEST: usize = 128;
/// It is kept on the disk.
const PERSISTENT: u8 = 2;

/// A message as it comes from a queue.
pub(super) struct Letter {
    /// None where other programs published to what is no topic.
    pub(super) topic: Option<String>,
    pub(super) message: Message,
    /// When it was published, to the second.
    pub(super) time: Option<SystemTime>,
    /// How often it was handed out, this time included.
    pub(super) attempt: u32,
    /// How many units of time it has to wait yet.
    pub(super) rest: u64,
}

/// A text of at most 255 bytes. None of longer ones.
pub(super) fn short(text: &str) -> Option<ShortString> {
    ShortString::try_new(text).ok()
}

fn long(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// A message as it is sent.
pub(super) fn pack(names: &Names, message: &Message) -> (BasicProperties, Bytes) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut properties =
        BasicProperties::default().with_delivery_mode(PERSISTENT).with_timestamp(now.as_secs());
    let mut table = BTreeMap::new();
    let mut put = |name: &str, value: AMQPValue| {
        if let Some(name) = short(name) {
            table.insert(name, value);
        }
    };
    match message.reply_to.as_deref().map(|topic| (topic, names::inbox(topic))) {
        None => {}
        Some((_, Some((host, number)))) => {
            // As other programs know it.
            if let Some((queue, number)) = short(&names.replies(host)).zip(short(number)) {
                properties = properties.with_reply_to(queue).with_correlation_id(number);
            }
        }
        Some((topic, None)) => put(REPLY_TO, long(topic)),
    }
    let content_type = message.content_type.as_deref().map(short);
    if !is_plain(message) || content_type == Some(None) {
        let envelope = envelope::seal(message);
        put(ENVELOPE, long(&envelope.len().to_string()));
        let payload = [envelope.as_bytes(), &message.data].concat().into();
        return (properties.with_headers(table.into()), payload);
    }
    if let Some(content_type) = content_type.flatten() {
        properties = properties.with_content_type(content_type);
    }
    if let Some(id) = message.id.as_deref().and_then(short) {
        properties = properties.with_message_id(id);
    }
    if let Some(key) = &message.key {
        put(KEY, long(key));
    }
    let mut values: BTreeMap<&str, Vec<AMQPValue>> = BTreeMap::new();
    for (name, value) in &message.headers {
        values.entry(name).or_default().push(long(value));
    }
    if !message.headers.is_sorted_by_key(|(name, _)| name) {
        let order: Vec<AMQPValue> = message.headers.iter().map(|(name, _)| long(name)).collect();
        put(ORDER, AMQPValue::FieldArray(order.into()));
    }
    for (name, mut values) in values {
        match values.pop() {
            Some(only) if values.is_empty() => put(name, only),
            last => {
                values.extend(last);
                put(name, AMQPValue::FieldArray(values.into()));
            }
        }
    }
    (properties.with_headers(table.into()), message.data.clone())
}

/// A message that is sent once more, to one queue and not through the exchange, as one that was
/// handed out so often.
pub(super) fn pack_again(
    names: &Names,
    letter: &Letter,
    attempts: u32,
    rest: u64,
) -> (BasicProperties, Bytes) {
    let (properties, payload) = pack(names, &letter.message);
    let mut table = properties.headers().clone().unwrap_or_default();
    let topic = letter.topic.as_deref().unwrap_or_default();
    table.insert(TOPIC.into(), long(topic)).insert(ATTEMPTS.into(), long(&attempts.to_string()));
    if rest > 0 {
        table.insert(REST.into(), long(&rest.to_string()));
    }
    let mut properties = properties.with_headers(table);
    if let Some(time) = letter.time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()) {
        properties = properties.with_timestamp(time.as_secs());
    }
    (properties, payload)
}

/// A message as it was before it was sent. What other programs published is read as it is.
pub(super) fn unpack(names: &Names, delivery: &mut Delivery) -> Letter {
    let data = Bytes::from(std::mem::take(&mut delivery.data));
    let properties = &delivery.properties;
    let empty = FieldTable::default();
    let table = properties.headers().as_ref().unwrap_or(&empty);
    let said = |name: &str| table.inner().get(name).and_then(text);
    let number = |name: &str| said(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let attempt = number(ATTEMPTS).saturating_add(returns(properties)).saturating_add(1);
    let topic = said(TOPIC).unwrap_or_else(|| names::topic(delivery.routing_key.as_str()));
    let time =
        properties.timestamp().map(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    Letter {
        topic: (check_topic(&topic).is_ok() && !is_inbox(&topic)).then_some(topic),
        message: message(names, properties, table, data),
        time: time.flatten(),
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        rest: number(REST),
    }
}

/// How often the server took a message back.
pub(super) fn returns(properties: &BasicProperties) -> u64 {
    let Some(table) = properties.headers() else { return 0 };
    let counts = COUNTS.into_iter().filter_map(|name| text(table.inner().get(name)?)?.parse().ok());
    counts.max().unwrap_or_default()
}

/// What a message says, wherever it goes.
pub(super) fn message(
    names: &Names,
    properties: &BasicProperties,
    table: &FieldTable,
    data: Bytes,
) -> Message {
    let said = |name: &str| table.inner().get(name).and_then(text);
    let short = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    let reply_to = said(REPLY_TO).filter(|topic| check_topic(topic).is_ok());
    let reply_to = reply_to.or_else(|| asker(names, properties));
    let length = said(ENVELOPE).and_then(|length| length.parse().ok());
    if let Some(length) = length
        && let Some((envelope, _)) = data.split_at_checked(length)
        && let Some(opened) = envelope::open(envelope)
    {
        return Message { data: data.slice(length..), reply_to, ..opened };
    }
    Message {
        content_type: short(properties.content_type()),
        headers: in_order(table),
        key: said(KEY),
        id: short(properties.message_id()),
        reply_to,
        data,
    }
}

/// Where a host of this binding waits for replies.
fn asker(names: &Names, properties: &BasicProperties) -> Option<String> {
    let (queue, number) = (properties.reply_to().as_ref()?, properties.correlation_id().as_ref()?);
    let (_, host) = queue.as_str().rsplit_once('.')?;
    let topic = names::inbox_of(host, number.as_str());
    let (host, _) = names::inbox(&topic)?;
    (names.replies(host) == queue.as_str()).then_some(topic)
}

/// Whether other programs can have the headers of a message as they are.
fn is_plain(message: &Message) -> bool {
    let headers = &message.headers;
    let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    headers.len() <= MOST && size <= LARGEST && headers.iter().all(|(name, _)| is_name(name))
}

/// Whether a header can have its name, and means nothing to the server.
fn is_name(name: &str) -> bool {
    let means = |prefix: &str| name.starts_with(prefix);
    name.len() <= LONGEST
        && !["x-", "wharf-"].into_iter().any(means)
        && !["CC", "BCC"].contains(&name)
}

/// The headers of a message in the order that it says, and the others behind them.
fn in_order(table: &FieldTable) -> Vec<(String, String)> {
    let mut values: BTreeMap<&str, std::vec::IntoIter<String>> = BTreeMap::new();
    for (name, value) in table {
        if is_name(name.as_str()) {
            let all: Vec<String> = match value {
                AMQPValue::FieldArray(all) => all.as_slice().iter().filter_map(text).collect(),
                one => text(one).into_iter().collect(),
            };
            values.insert(name.as_str(), all.into_iter());
        }
    }
    let mut found = Vec::new();
    if let Some(AMQPValue::FieldArray(order)) = table.inner().get(ORDER) {
        for name in order.as_slice().iter().filter_map(text) {
            if let Some(value) = values.get_mut(name.as_str()).and_then(Iterator::next) {
                found.push((name, value));
            }
        }
    }
    let rest = values.into_iter();
    found.extend(rest.flat_map(|(name, values)| values.map(move |it| (name.to_owned(), it))));
    found
}

/// A value of a table as text, where it is one.
fn text(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(value) => value.to_string(),
        AMQPValue::ShortShortUInt(value) => value.to_string(),
        AMQPValue::ShortInt(value) => value.to_string(),
        AMQPValue::ShortUInt(value) => value.to_string(),
        AMQPValue::LongInt(value) => value.to_string(),
        AMQPValue::LongUInt(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::Float(value) => value.to_string(),
        AMQPValue::Double(value) => value.to_string(),
        AMQPValue::Timestamp(value) => value.to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { exchange: "x".to_owned() }
    }

    fn message(headers: &[(&str, &str)]) -> Message {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Message { headers: headers.iter().map(header).collect(), ..Message::new("content") }
    }

    fn received(properties: BasicProperties, payload: &Bytes, key: &str) -> Letter {
        let mut delivery = Delivery::mock(1, "x".into(), key.into(), false, payload.to_vec());
        delivery.properties = properties;
        unpack(&names(), &mut delivery)
    }

    #[track_caller]
    fn passes(message: &Message, in_envelope: bool) -> FieldTable {
        let (properties, payload) = pack(&names(), message);
        let table = properties.headers().clone().unwrap();
        assert_eq!(table.contains_key(ENVELOPE), in_envelope, "{table:?}");
        let letter = received(properties, &payload, "a.\u{1}");
        assert_eq!(letter.message, *message);
        assert_eq!((letter.topic.as_deref(), letter.attempt, letter.rest), (Some("a.#"), 1, 0));
        // And a second time.
        let (properties, payload) = pack_again(&names(), &letter, 3, 7);
        let again = received(properties, &payload, "x.group.g");
        assert_eq!(again.message, *message);
        assert_eq!((again.topic.as_deref(), again.attempt, again.rest), (Some("a.#"), 4, 7));
        table
    }

    #[test]
    fn plain_headers_are_those_of_amqp() {
        let headers =
            [("b", "1"), ("a", "Zoë, \"q\" = 1: 2%3"), ("b", ""), ("B", " 4"), ("é ü", "")];
        let table = passes(&message(&headers), false);
        assert_eq!(table.inner().get("a").and_then(text).unwrap(), "Zoë, \"q\" = 1: 2%3");
        assert!(table.contains_key(ORDER));
        let all = Message {
            content_type: Some("text/plain".to_owned()),
            key: Some("ω 7".to_owned()),
            reply_to: Some("answers".to_owned()),
            ..message(&[("a", "1"), ("b", "2"), ("b", "3")])
        };
        assert!(!passes(&all, false).contains_key(ORDER));
        passes(&Message { reply_to: Some("_inbox.1f-7".to_owned()), ..message(&[]) }, false);
    }

    #[test]
    fn all_others_are_in_an_envelope() {
        for header in [("x-death", "1"), ("CC", "a"), ("wharf-key", "k"), (&"n".repeat(200), "")] {
            passes(&message(&[header, ("b", "v1:2")]), true);
        }
        let many: Vec<_> = (0..100).map(|_| ("a", "b")).collect();
        passes(&message(&many), true);
        let all = Message { key: Some("k ".to_owned()), ..message(&[("a", &"x".repeat(5000))]) };
        passes(&all, true);
    }

    #[test]
    fn what_others_published_is_read_as_it_is() {
        let mut table = FieldTable::default();
        table.insert("number".into(), AMQPValue::LongInt(-3));
        table.insert("x-delivery-count".into(), AMQPValue::LongLongInt(2));
        table.insert("wharf-envelope".into(), long("9000"));
        table.insert("void".into(), AMQPValue::Void);
        let properties = BasicProperties::default()
            .with_headers(table)
            .with_reply_to("amq.rabbitmq.reply-to.1".into())
            .with_correlation_id("1".into());
        let letter = received(properties, &Bytes::from_static(b"t1:"), "not a topic");
        assert_eq!(letter.topic, None);
        assert_eq!(letter.attempt, 3);
        assert_eq!(letter.message.headers, [("number".to_owned(), "-3".to_owned())]);
        assert_eq!((letter.message.reply_to, letter.message.data), (None, "t1:".into()));
    }
}
