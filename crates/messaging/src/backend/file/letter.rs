//! How a message is written in a file: lines `Name: value`, an empty one, and the content.

use crate::Message;
use crate::local::Entry;
use bytes::Bytes;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

const TOPIC: &str = "Topic";
const PUBLISHED: &str = "Published";
const NOT_BEFORE: &str = "Not-Before";
const CONTENT_TYPE: &str = "Content-Type";
const KEY: &str = "Key";
const ID: &str = "Id";
const REPLY_TO: &str = "Reply-To";
/// What is said of a message by itself. A header with such a name has it escaped.
const OWN: [&str; 7] = [TOPIC, PUBLISHED, NOT_BEFORE, CONTENT_TYPE, KEY, ID, REPLY_TO];

/// The last moment that is written as a date: later ones are milliseconds since 1970.
const LAST_DATE: u64 = 253_402_300_799_999;

/// A message as it is read from a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) topic: String,
    pub(super) message: Message,
    /// When it was published, in milliseconds since 1970.
    pub(super) published: Option<u64>,
    /// Nobody gets it before then, in milliseconds since 1970.
    pub(super) not_before: Option<u64>,
}

/// A message as it lies in its file.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let Message { data, content_type, headers, key, id, reply_to } = &entry.message;
    let mut head = String::new();
    let mut put = |name: &str, value: &str| {
        // Writing to a string does not fail.
        _ = writeln!(head, "{name}: {value}");
    };
    put(TOPIC, &entry.topic);
    put(PUBLISHED, &date(entry.time));
    if entry.not_before > 0 {
        put(NOT_BEFORE, &date(entry.not_before));
    }
    let said = [(CONTENT_TYPE, content_type), (KEY, key), (ID, id), (REPLY_TO, reply_to)];
    for (name, value) in said {
        if let Some(value) = value {
            put(name, value);
        }
    }
    for (name, value) in headers {
        put(&escaped(name), value);
    }
    head.push('\n');
    let mut file = head.into_bytes();
    file.extend_from_slice(data);
    file
}

/// The message in a file; or what is wrong with it, as the end of a sentence.
pub(super) fn decode(file: Vec<u8>) -> Result<Letter, String> {
    let file = Bytes::from(file);
    let (mut letter, mut at, mut line) = (Letter::default(), 0, 0);
    let mut seen = Vec::new();
    loop {
        line += 1;
        let rest = file.get(at..).unwrap_or_default();
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err("has no empty line between its head and its content".to_owned());
        };
        at += length + 1;
        let text = rest.get(..length).unwrap_or_default();
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            break;
        }
        let text =
            str::from_utf8(text).map_err(|_wrong| format!("has a line {line} that is no text"))?;
        let (name, value) =
            text.split_once(':').ok_or_else(|| format!("has a line {line} without a colon"))?;
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        let own = OWN.into_iter().find(|own| own.eq_ignore_ascii_case(name));
        let Some(own) = own else {
            letter.message.headers.push((unescaped(name), value));
            continue;
        };
        if seen.contains(&own) {
            return Err(format!("says `{own}` twice"));
        }
        seen.push(own);
        letter.take(own, value)?;
    }
    if letter.topic.is_empty() {
        return Err(format!("says no `{TOPIC}`"));
    }
    letter.message.data = file.slice(at..);
    Ok(letter)
}

impl Letter {
    fn take(&mut self, own: &str, value: String) -> Result<(), String> {
        let message = &mut self.message;
        match own {
            TOPIC => self.topic = value,
            PUBLISHED => self.published = Some(moment(own, &value)?),
            NOT_BEFORE => self.not_before = Some(moment(own, &value)?),
            CONTENT_TYPE => message.content_type = Some(value),
            KEY => message.key = Some(value),
            ID => message.id = Some(value),
            _ => message.reply_to = Some(value),
        }
        Ok(())
    }

    /// The message in the log.
    pub(super) fn into_entry(self) -> Entry {
        Entry {
            topic: self.topic.into(),
            message: self.message,
            time: self.published.unwrap_or_default(),
            not_before: self.not_before.unwrap_or_default(),
        }
    }
}

/// A moment as people read it.
fn date(milliseconds: u64) -> String {
    if milliseconds > LAST_DATE {
        return milliseconds.to_string();
    }
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(milliseconds)).to_string()
}

fn moment(name: &str, text: &str) -> Result<u64, String> {
    if let Ok(milliseconds) = text.parse() {
        return Ok(milliseconds);
    }
    let wrong = || format!("says `{name}` with what is no date such as 2026-01-31T12:00:00.000Z");
    let time = humantime::parse_rfc3339_weak(text).map_err(|_wrong| wrong())?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_wrong| wrong())?;
    Ok(base::units::milliseconds(since))
}

/// The name of a header as it is written: what would be misread is `%` and two digits.
fn escaped(name: &str) -> String {
    let is_own = OWN.iter().any(|own| own.eq_ignore_ascii_case(name));
    let last = name.len().saturating_sub(1);
    let mut escaped = String::with_capacity(name.len());
    for (at, letter) in name.char_indices() {
        let is_edge = at == 0 || at == last;
        let is_misread = matches!(letter, '%' | ':') || letter.is_control();
        if is_misread || (letter == ' ' && is_edge) || (is_own && at == 0) {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                // Writing to a string does not fail.
                _ = write!(escaped, "%{byte:02x}");
            }
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// The name of a header as it was before. What is no escape stays as it is.
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut parts = name.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
            }
            None => {
                bytes.push(b'%');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said() -> impl Strategy<Value = Option<String>> {
        prop::option::of("[^\\p{Cc}]{1,12}")
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(
            data in prop::collection::vec(any::<u8>(), 0..40),
            (content_type, key, id) in (said(), said(), said()),
            headers in prop::collection::vec(
                ("[^\\p{Cc}]{1,8}|topic|ID|Key", "[^\\p{Cc}]{0,8}"),
                0..5,
            ),
            (time, not_before) in (any::<u64>(), any::<u64>()),
        ) {
            let message =
                Message { data: data.into(), content_type, headers, key, id, reply_to: None };
            let entry = Entry { topic: "a.b".into(), message, time, not_before };
            prop_assert_eq!(decode(encode(&entry)).map(Letter::into_entry), Ok(entry));
        }

        #[test]
        fn no_file_panics(file in prop::collection::vec(any::<u8>(), 0..80)) {
            drop(decode(file));
        }
    }

    #[test]
    fn a_file_can_be_read_and_written_by_people() {
        let message = Message {
            content_type: Some("text/plain".to_owned()),
            headers: vec![("topic".to_owned(), "x".to_owned()), ("a:b".to_owned(), String::new())],
            ..Message::new("hello\n\n")
        };
        let entry = Entry { topic: "a.b".into(), message, time: 1000, not_before: 0 };
        let text = String::from_utf8(encode(&entry)).unwrap();
        let wanted = "Topic: a.b\nPublished: 1970-01-01T00:00:01.000Z\nContent-Type: text/plain\n\
                      %74opic: x\na%3ab: \n\nhello\n\n";
        assert_eq!(text, wanted);
        let found = decode(b"topic:orders.new\r\n100%: sure\r\n\r\n{}".to_vec()).unwrap();
        assert_eq!((found.topic.as_str(), found.published), ("orders.new", None));
        assert_eq!(found.message.headers, [("100%".to_owned(), "sure".to_owned())]);
        assert_eq!(found.message.data, "{}");
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (file, words) in [
            ("", "no empty line"),
            ("Topic: a\n", "no empty line"),
            ("Topic a\n\n", "line 1 without a colon"),
            ("a: b\n\n", "no `Topic`"),
            ("Topic: a\ntopic: b\n\n", "`Topic` twice"),
            ("Topic: a\nPublished: now\n\n", "no date"),
        ] {
            let why = decode(file.as_bytes().to_vec()).unwrap_err();
            assert!(why.contains(words), "{file:?}: {why}");
        }
    }
}
