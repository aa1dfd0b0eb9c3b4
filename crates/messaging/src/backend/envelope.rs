//! What is said of a message, as bytes in front of its content: for brokers whose headers cannot
//! have it as it is.

use crate::Message;
use std::fmt::Write as _;

/// What is said of a message, each text with its length and with what it is before it.
pub(super) fn seal(message: &Message) -> String {
    let mut envelope = String::new();
    let mut put = |what: char, text: &str| {
        // Writing to a string does not fail.
        _ = write!(envelope, "{what}{}:{text}", text.len());
    };
    let Message { content_type, key, id, reply_to, .. } = message;
    for (what, text) in [('t', content_type), ('k', key), ('i', id), ('r', reply_to)] {
        if let Some(text) = text {
            put(what, text);
        }
    }
    for (name, value) in &message.headers {
        put('n', name);
        put('v', value);
    }
    envelope
}

/// What an envelope says, as a message without content.
pub(super) fn open(envelope: &[u8]) -> Option<Message> {
    let mut rest = str::from_utf8(envelope).ok()?;
    let mut message = Message::default();
    while let Some(what) = rest.chars().next() {
        let (length, after) = rest.get(1..)?.split_once(':')?;
        let (text, after) = after.split_at_checked(length.parse().ok()?)?;
        let text = text.to_owned();
        match what {
            't' => message.content_type = Some(text),
            'k' => message.key = Some(text),
            'i' => message.id = Some(text),
            'r' => message.reply_to = Some(text),
            'n' => message.headers.push((text, String::new())),
            'v' => message.headers.last_mut()?.1 = text,
            _ => return None,
        }
        rest = after;
    }
    Some(message)
}
