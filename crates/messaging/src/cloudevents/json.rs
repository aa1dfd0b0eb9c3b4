//! The members of a JSON object, each as the text that it is, so that data stays as it was written.

use super::malformed;
use base::{Error, Result};
use serde::de::IgnoredAny;
use serde_json::Deserializer;

/// Names and texts of an object's members, in their order.
///
/// # Errors
/// Where that is no object.
pub(super) fn members(document: &str) -> Result<Vec<(String, &str)>> {
    let mut rest = token(document, '{')?;
    let mut members = Vec::new();
    if let Ok(end) = token(rest, '}') {
        return nothing(end).map(|()| members);
    }
    loop {
        let (name, after) = value(rest.trim_start_matches(is_space))?;
        let name = serde_json::from_str(name).map_err(wrong)?;
        let (text, after) = value(token(after, ':')?.trim_start_matches(is_space))?;
        members.push((name, text));
        match token(after, ',') {
            Ok(after) => rest = after,
            Err(_) => return nothing(token(after, '}')?).map(|()| members),
        }
    }
}

/// Whether bytes are one JSON value, as the text that it is.
pub(super) fn whole(data: &[u8]) -> Result<&str> {
    serde_json::from_slice::<IgnoredAny>(data).map_err(wrong)?;
    std::str::from_utf8(data).map_err(|error| malformed("it is no UTF-8").with_source(error))
}

/// A value at the beginning, and what is behind it.
fn value(text: &str) -> Result<(&str, &str)> {
    let mut values = Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => text
            .split_at_checked(values.byte_offset())
            .ok_or_else(|| malformed("its document ends too early")),
        Some(Err(error)) => Err(wrong(error)),
        None => Err(malformed("its document ends too early")),
    }
}

/// What is behind a character, before which may be space.
fn token(text: &str, expected: char) -> Result<&str> {
    let rest = text.trim_start_matches(is_space).strip_prefix(expected);
    rest.ok_or_else(|| malformed(format!("its document is no JSON object: no `{expected}`")))
}

fn nothing(text: &str) -> Result<()> {
    match text.trim_start_matches(is_space).is_empty() {
        true => Ok(()),
        false => Err(malformed("there is something behind its document")),
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn wrong(error: serde_json::Error) -> Error {
    malformed(format!("its document is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_as_they_are_written() {
        let found = members(
            " { \"a\" : { \"x\" : 1.50 } , \"b\":[1, 2 ],\"c\":\"}\\u0022\",\n\
             \"d\" : 1e400,\"e\":true}\n",
        );
        let found = found.unwrap();
        let expected = [
            ("a", "{ \"x\" : 1.50 }"),
            ("b", "[1, 2 ]"),
            ("c", "\"}\\u0022\""),
            ("d", "1e400"),
            ("e", "true"),
        ];
        let found: Vec<_> = found.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        assert_eq!(found, expected);
        assert!(members("{}").unwrap().is_empty() && members(" { } ").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1,}",
            "{,}",
            "{a:1}",
            "{\"a\":1}x",
            "{\"a\":1 2}",
            "{1:1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":tru}",
            "nul",
        ] {
            assert!(members(text).is_err(), "{text}");
        }
        assert!(members(&format!("{{\"a\":{}}}", "[".repeat(100_000))).is_err());
    }
}
