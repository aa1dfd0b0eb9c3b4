//! Topics, and what covers several of them.

use crate::{Error, Result};
use std::fmt;

/// The most bytes in a topic or a filter.
pub const MAX_TOPIC: usize = 255;

/// The first word of topics that brokers make for replies. Subscriptions do not cover them.
pub const INBOX: &str = "_inbox";

/// Whether a topic is one that a broker made for replies.
pub fn is_inbox(topic: &str) -> bool {
    topic.split('.').next() == Some(INBOX)
}

/// Holds a topic to its rules: 1 to 255 bytes of UTF-8, words between dots, none of them empty,
/// without spaces, control characters, `*` and `>`.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind), with what is wrong.
pub fn check_topic(topic: &str) -> Result<()> {
    words(topic, "topic", |word| !word.contains(['*', '>']))
}

fn words(text: &str, what: &str, is_word: impl Fn(&str) -> bool) -> Result<()> {
    let wrong = |why: &str| Err(Error::invalid(format!("`{}` is no {what}: {why}", shown(text))));
    if text.len() > MAX_TOPIC {
        return wrong("it has more than 255 bytes");
    }
    if text.split('.').any(str::is_empty) {
        return wrong("it needs words between its dots");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return wrong("it has a space or a control character");
    }
    match text.split('.').all(is_word) {
        true => Ok(()),
        false if what == "topic" => wrong("`*` and `>` stand in subscriptions alone"),
        false => wrong("`*` stands for one whole word, and `>` for all that come last"),
    }
}

/// As much of it as fits into a message.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// What a subscription covers: a topic, or one with `*` for a word and `>` for one and more words
/// at its end.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Filter(String);

impl Filter {
    /// The filter that is written so.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind), with what is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let is_word = |word: &str| matches!(word, "*" | ">") || !word.contains(['*', '>']);
        words(text, "topic of a subscription", is_word)?;
        let is_last = text.strip_suffix('>').unwrap_or(text);
        if is_inbox(text) {
            return Err(Error::invalid(format!(
                "`{}` is no topic of a subscription: replies come to who asked",
                shown(text)
            )));
        }
        match is_last.split('.').any(|word| word == ">") {
            true => Err(Error::invalid(format!(
                "`{}` is no topic of a subscription: `>` stands last alone",
                shown(text)
            ))),
            false => Ok(Self(text.to_owned())),
        }
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether it may cover several topics.
    pub fn is_wild(&self) -> bool {
        self.0.contains(['*', '>'])
    }

    /// Whether it covers a topic.
    pub fn covers(&self, topic: &str) -> bool {
        if is_inbox(topic) {
            return false;
        }
        let mut words = topic.split('.');
        for part in self.0.split('.') {
            match (part, words.next()) {
                (">", Some(_)) => return true,
                (_, None) => return false,
                (part, Some(word)) if part == "*" || part == word => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(filter: &str, topic: &str) -> bool {
        check_topic(topic).unwrap();
        Filter::parse(filter).unwrap().covers(topic)
    }

    #[test]
    fn a_star_is_one_word_and_an_angle_all_that_come_last() {
        for (filter, topic) in [
            ("a", "a"),
            ("a.b", "a.b"),
            ("*", "a"),
            ("a.*", "a.b"),
            ("*.b", "a.b"),
            ("a.*.c", "a.b.c"),
            ("a.>", "a.b"),
            ("a.>", "a.b.c"),
            (">", "a.b.c"),
            ("*.>", "a.b"),
        ] {
            assert!(covers(filter, topic), "{filter} covers {topic}");
        }
        for (filter, topic) in [
            ("a", "b"),
            ("a", "a.b"),
            ("a.b", "a"),
            ("*", "a.b"),
            ("a.*", "a"),
            ("a.*", "a.b.c"),
            ("a.>", "a"),
            ("a.>", "ab.c"),
            ("*.>", "a"),
            (">", "_inbox.a"),
            ("*.a", "_inbox.a"),
        ] {
            assert!(!covers(filter, topic), "{filter} does not cover {topic}");
        }
    }

    #[test]
    fn what_is_no_topic_is_told_why() {
        let long = "a".repeat(256);
        for topic in ["", ".", "a.", ".a", "a..b", "a b", "a\n", "a.*", ">", "a*", "\u{7f}", &long]
        {
            assert_eq!(check_topic(topic).unwrap_err().kind(), crate::Kind::Invalid, "{topic}");
        }
        for filter in ["", "a.", "a*", "a.>.b", ">.>", "*.>x", "a b", "_inbox.>"] {
            assert_eq!(Filter::parse(filter).unwrap_err().kind(), crate::Kind::Invalid, "{filter}");
        }
        check_topic("häfen.ω-1_/:$").unwrap();
        check_topic(&long[1..]).unwrap();
    }
}
