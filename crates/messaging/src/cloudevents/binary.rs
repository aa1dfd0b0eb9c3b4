//! Events whose attributes are headers.

use super::{CONTENT_TYPE, Event, REQUIRED, SPECVERSION, Style, attribute, malformed, shown};
use crate::Message;
use base::Result;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// In which style a message has attributes in its headers, if it has any.
pub(super) fn style(message: &Message) -> Option<Style> {
    let has = |style: Style, wanted: &str| {
        message.headers.iter().any(|(name, _)| named(name, style).as_deref() == Some(wanted))
    };
    let is_whole = |style: &Style| match style {
        // Without a prefix only all of them together say what they are.
        Style::Plain => REQUIRED.iter().all(|name| has(*style, name)),
        _ => has(*style, SPECVERSION),
    };
    let begun = |style: &Style| {
        *style != Style::Plain
            && message.headers.iter().any(|(name, _)| named(name, *style).is_some())
    };
    Style::ALL.into_iter().find(is_whole).or_else(|| Style::ALL.into_iter().find(begun))
}

/// The attribute that a header of this style has.
fn named(header: &str, style: Style) -> Option<String> {
    let prefixes: &[&str] = match style {
        Style::Dash => &["ce-"],
        Style::Underscore => &["ce_"],
        Style::Colon => &["cloudevents:", "cloudevents_"],
        Style::Plain => {
            // What cannot be an attribute is a header of another kind.
            return attribute::check_name(header).ok().map(|()| header.to_owned());
        }
    };
    let header = header.to_ascii_lowercase();
    prefixes.iter().find_map(|prefix| header.strip_prefix(prefix)).map(str::to_owned)
}

/// The event of a message that has attributes in this style.
pub(super) fn read(message: &Message, style: Style) -> Result<Event> {
    let mut attributes = BTreeMap::new();
    for (header, value) in &message.headers {
        let Some(name) = named(header, style) else { continue };
        let value = match style {
            Style::Dash => unescaped(value).ok_or_else(|| {
                malformed(format!("what is escaped in `{name}` is no text of UTF-8"))
            })?,
            _ => value.clone(),
        };
        if attributes.insert(name.clone(), value).is_some() {
            return Err(malformed(format!("`{name}` comes twice")));
        }
    }
    // The type of the data is the message's own; some say it again.
    if let Some(kind) = &message.content_type {
        let other = attributes.insert(CONTENT_TYPE.to_owned(), kind.clone());
        if let Some(other) = other.filter(|other| other != kind) {
            return Err(malformed(format!("its data is both `{kind}` and `{}`", shown(&other))));
        }
    }
    let data = (!message.data.is_empty()).then(|| message.data.clone());
    Event::new(attributes, data)
}

/// The message without attributes, content and type.
pub(super) fn without_attributes(mut message: Message) -> Message {
    if let Some(style) = style(&message) {
        message.headers.retain(|(name, _)| named(name, style).is_none());
    }
    message.content_type = None;
    message.data = bytes::Bytes::new();
    message
}

/// The event in a message that has none.
pub(super) fn write(event: Event, mut message: Message, style: Style) -> Message {
    let Event { mut attributes, data } = event;
    message.content_type = attributes.remove(CONTENT_TYPE);
    for (name, value) in attributes {
        let (name, value) = match style {
            Style::Dash => (format!("ce-{name}"), escaped(&value)),
            Style::Underscore => (format!("ce_{name}"), value),
            Style::Colon => (format!("cloudEvents:{name}"), value),
            Style::Plain => (name, value),
        };
        message.headers.push((name, value));
    }
    message.data = data.unwrap_or_default();
    message
}

/// "Percent-encode […] Space (U+0020), Double-quote (U+0022), Percent (U+0025), any characters
/// outside the printable ASCII range of U+0021-U+007E inclusive."
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'"' | b'%' | ..=0x20 | 0x7f.. => {
                // Writing to a string cannot fail.
                _ = write!(escaped, "%{byte:02X}");
            }
            byte => escaped.push(char::from(byte)),
        }
    }
    escaped
}

/// The text that was escaped; `None` where it is no UTF-8. What is not escaped may be anything,
/// also between quotes, as in HTTP.
fn unescaped(value: &str) -> Option<String> {
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let (value, is_quoted) = quoted.map_or((value, false), |value| (value, true));
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'\\', [next, after @ ..]) if is_quoted => {
                bytes.push(*next);
                rest = after;
            }
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_as_the_specification_says() {
        assert_eq!(escaped("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(unescaped("Euro%20%E2%82%AC%20%F0%9F%98%80").unwrap(), "Euro € 😀");
        assert_eq!(unescaped("%e2%82%ac").unwrap(), "€");
        assert_eq!(unescaped("\"a \\\" b\"").unwrap(), "a \" b");
        assert_eq!(unescaped("100% %2 %zz").unwrap(), "100% %2 %zz");
        assert_eq!(unescaped("%ff"), None);
    }
}
