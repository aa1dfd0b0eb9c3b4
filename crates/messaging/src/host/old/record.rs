//! Messages as records of the old draft. What those have no field for is in their metadata.

use super::types::{FormatSpec, Message};
use base::{Error, Result};

/// What a message that was received is completed or abandoned by.
const TOKEN: &str = "wharf-delivery";
/// The header that says how the content is laid out, unless it is just bytes.
const FORMAT: &str = "wharf-format";
/// What the content is, as a media type.
const CONTENT_TYPE: &str = "content-type";

const FORMATS: &[(&str, FormatSpec)] = &[
    ("cloudevents", FormatSpec::Cloudevents),
    ("http", FormatSpec::Http),
    ("amqp", FormatSpec::Amqp),
    ("mqtt", FormatSpec::Mqtt),
    ("kafka", FormatSpec::Kafka),
];

/// The message that a guest sends.
pub(super) fn read(record: Message) -> crate::Message {
    let Message { data, format, metadata } = record;
    let mut message = crate::Message::new(data);
    for (name, value) in metadata.into_iter().flatten() {
        match name.as_str() {
            CONTENT_TYPE => message.content_type = Some(value),
            // Those of a message that was received say nothing of one that is sent.
            TOKEN | FORMAT => {}
            _ => message.headers.push((name, value)),
        }
    }
    if let Some((word, _)) = FORMATS.iter().find(|(_, known)| *known == format) {
        message.headers.push((FORMAT.to_owned(), (*word).to_owned()));
    }
    message
}

/// A message as the guest gets it; with a token where that settles it.
pub(super) fn write(message: crate::Message, token: Option<u64>) -> Message {
    let format = match (message.header(FORMAT), message.content_type.as_deref()) {
        (Some(word), _) => FORMATS.iter().find(|(known, _)| *known == word).map(|(_, spec)| *spec),
        (None, Some(kind)) if kind.starts_with("application/cloudevents") => {
            Some(FormatSpec::Cloudevents)
        }
        (None, _) => None,
    };
    let crate::Message { data, content_type, headers, .. } = message;
    let mut metadata = headers;
    metadata.retain(|(name, _)| name != FORMAT && name != TOKEN);
    metadata.extend(content_type.map(|kind| (CONTENT_TYPE.to_owned(), kind)));
    metadata.extend(token.map(|token| (TOKEN.to_owned(), format!("{token:x}"))));
    Message {
        data: data.to_vec(),
        format: format.unwrap_or(FormatSpec::Raw),
        metadata: (!metadata.is_empty()).then_some(metadata),
    }
}

/// What a message that was received is settled by.
pub(super) fn token(message: &Message) -> Result<u64> {
    let metadata = message.metadata.iter().flatten();
    let mut found = metadata.filter(|(name, _)| name == TOKEN).map(|(_, value)| value);
    let (first, second) = (found.next(), found.next());
    let none = || {
        Error::invalid(format!("the message has no `{TOKEN}` in its metadata"))
            .with_hint("what a handler is given is settled by what it returns")
    };
    let text = first.ok_or_else(none)?;
    if second.is_some() {
        return Err(Error::invalid(format!("the message has several `{TOKEN}` in its metadata")));
    }
    let wrong = || Error::invalid(format!("the message's `{TOKEN}` is none that was given"));
    u64::from_str_radix(text, 16).ok().ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(metadata: &[(&str, &str)], format: FormatSpec) -> Message {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let metadata = Some(metadata.iter().map(owned).collect());
        Message { data: b"x".to_vec(), format, metadata }
    }

    #[test]
    fn what_is_sent_arrives_but_for_tokens() {
        let metadata = [("a", "1"), ("content-type", "text/plain"), (TOKEN, "7"), ("a", "2")];
        let message = read(sent(&metadata, FormatSpec::Amqp));
        assert_eq!(message.content_type.as_deref(), Some("text/plain"));
        let back = write(message, None);
        assert_eq!((back.data.as_slice(), back.format), (b"x".as_slice(), FormatSpec::Amqp));
        let expected = sent(&[("a", "1"), ("a", "2"), ("content-type", "text/plain")], back.format);
        assert_eq!(back.metadata, expected.metadata);
    }

    #[test]
    fn a_type_tells_the_format_where_nothing_else_does() {
        let kind = Some("application/cloudevents+json".to_owned());
        let message = crate::Message { content_type: kind, ..crate::Message::new("{}") };
        assert_eq!(write(message, None).format, FormatSpec::Cloudevents);
        assert_eq!(write(crate::Message::new("x"), None).format, FormatSpec::Raw);
    }

    #[test]
    fn a_message_is_settled_by_the_one_token_that_it_has() {
        let received = write(crate::Message::new("x"), Some(u64::MAX));
        assert_eq!(token(&received).unwrap(), u64::MAX);
        for (metadata, said) in [
            (&[][..], "has no"),
            (&[(TOKEN, "1"), (TOKEN, "1")][..], "has several"),
            (&[(TOKEN, "x")][..], "none that was given"),
        ] {
            let error = token(&sent(metadata, FormatSpec::Raw)).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
