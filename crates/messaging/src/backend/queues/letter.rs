//! How messages are written down for a queue, and read: as text, for that is what queues take.

use crate::Message;
use crate::backend::envelope;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::time::Duration;

/// What is left of the largest letter for what is said of a message beside its own bytes: its
/// topic, and the lengths of all that is said.
const ROOM: usize = 6 << 10;
/// Three bytes become so many where they are no text.
const WIDENED: usize = 4;

/// How text begins that stands for bytes; behind the topic it says that the content does.
const MARK: &str = "=";

/// A message as a queue has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::backend) struct Letter {
    /// The content: as it is where it is text.
    pub(in crate::backend) body: String,
    /// What is said of it.
    pub(in crate::backend) said: String,
    /// For how long it is put off, in seconds.
    pub(in crate::backend) delay: u64,
}

impl Letter {
    /// Writes down a message for a service whose texts have the letters that it `takes`.
    pub(super) fn pack(
        topic: &str,
        message: &Message,
        delay: Duration,
        takes: fn(char) -> bool,
    ) -> Self {
        let is_text = |text: &str| text.chars().all(takes);
        let mut said = format!("{}:{topic}", topic.len());
        let body = match str::from_utf8(&message.data) {
            Ok(text) if !text.is_empty() && is_text(text) => text.to_owned(),
            _ => {
                said += MARK;
                coded(&message.data)
            }
        };
        said += &envelope::seal(message);
        if !is_text(&said) {
            said = coded(said.as_bytes());
        }
        Self { body, said, delay: seconds(delay) }
    }

    /// The message, and to which topic it was published. `None`: it is none of ours.
    pub(super) fn unpack(self) -> Option<(String, Message)> {
        let said = match self.said.strip_prefix(MARK) {
            Some(coded) => String::from_utf8(BASE64.decode(coded).ok()?).ok()?,
            None => self.said,
        };
        let (length, rest) = said.split_once(':')?;
        let (topic, rest) = rest.split_at_checked(length.parse().ok()?)?;
        let (data, sealed) = match rest.strip_prefix(MARK) {
            Some(sealed) => (BASE64.decode(self.body.strip_prefix(MARK)?).ok()?, sealed),
            None => (self.body.into_bytes(), rest),
        };
        let opened = envelope::open(sealed.as_bytes())?;
        Some((topic.to_owned(), Message { data: data.into(), ..opened }))
    }

    /// How many bytes it has.
    pub(in crate::backend) fn size(&self) -> usize {
        self.body.len() + self.said.len()
    }
}

/// The largest message that fits into a letter of so many bytes, whatever it has in it.
pub(in crate::backend) fn largest(letter: usize) -> usize {
    letter.saturating_sub(ROOM) / WIDENED * 3
}

/// Whole seconds, and no fewer than asked for.
pub(in crate::backend) fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

fn coded(bytes: &[u8]) -> String {
    let mut text = MARK.to_owned();
    BASE64.encode_string(bytes, &mut text);
    text
}

/// Whether XML has such a letter, to which services hold text.
pub(in crate::backend) fn has_xml(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        || letter >= '\u{1_0000}'
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[track_caller]
    fn passes(message: &Message) -> Letter {
        let letter = Letter::pack("a.b", message, Duration::from_millis(1), has_xml);
        let is_text = |text: &str| text.chars().all(has_xml);
        assert_eq!(letter.delay, 1);
        assert!(is_text(&letter.body) && is_text(&letter.said) && !letter.body.is_empty());
        assert_eq!(letter.clone().unpack(), Some(("a.b".to_owned(), message.clone())));
        letter
    }

    fn message(data: &'static [u8]) -> Message {
        Message {
            data: Bytes::from_static(data),
            content_type: Some("text/plain".to_owned()),
            headers: [("b", "1"), ("b", ""), ("é ü", "o1:x=")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            key: Some("k".to_owned()),
            id: None,
            reply_to: Some("c".to_owned()),
        }
    }

    #[test]
    fn text_stays_as_it_is_and_all_else_arrives() {
        assert_eq!(passes(&message(b"{\"n\": 1}\r\n=")).body, "{\"n\": 1}\r\n=");
        assert!(passes(&message(b"x")).said.starts_with("3:a.b"));
        for data in [&b""[..], b"\0", b"\xff", b"a\x1bb", "\u{ffff}".as_bytes()] {
            assert!(passes(&message(data)).body.starts_with('='));
        }
        let odd = Message { key: Some("\u{fffe}".to_owned()), ..message(b"x") };
        assert!(passes(&odd).said.starts_with('='));
        passes(&Message::default());
    }

    #[test]
    fn the_largest_message_fits() {
        let most = largest(256 << 10);
        let headers: Vec<_> = (0..256).map(|_| ("\u{ffff}".to_owned(), "v".repeat(200))).collect();
        let said: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let all = Message { headers, data: vec![0; most - said].into(), ..Message::default() };
        assert_eq!(all.size(), most);
        let topic = "w".repeat(255);
        let letter = Letter::pack(&topic, &all, Duration::ZERO, has_xml);
        assert!(letter.size() + 100 <= 256 << 10, "{}", letter.size());
    }

    #[test]
    fn what_is_none_of_ours_is_told() {
        for (said, body) in
            [("", "x"), ("9:a", "x"), ("=?", "x"), ("1:a=", "x"), ("n1:a", ""), ("1:ax", "")]
        {
            let letter = Letter { said: said.to_owned(), body: body.to_owned(), delay: 0 };
            assert_eq!(letter.unpack(), None, "{said}");
        }
    }
}
