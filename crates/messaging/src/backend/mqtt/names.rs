//! What things of a binding are called in MQTT: topics, the sessions of groups, where replies go.
//!
//! The words of a topic are the levels behind the binding's prefix, as they are unless they have
//! what means something in MQTT: that is `%` and two digits.

use crate::backend::word::{digest, word};
use crate::{Filter, INBOX};
use base::{Error, Place, Result};
use std::fmt::Write as _;

/// The most bytes of a prefix.
const LONGEST: usize = 200;

/// The names of one binding.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Without a slash at its end.
    prefix: String,
}

/// What is known of a group, by the topic under which the server keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// Its name and its topics.
    Group,
    /// Which host has it.
    Holder,
    /// Which host had it last.
    User,
}

impl Names {
    /// Those behind a prefix.
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix }
    }

    /// Those of a binding where nothing else is said.
    pub(super) fn usual(place: &Place) -> Self {
        Self::new(format!("wharf/{}/{}", word(&place.app), word(&place.binding)))
    }

    /// The topic of MQTT.
    pub(super) fn topic(&self, topic: &str) -> String {
        let mut name = self.prefix.clone();
        for word in topic.split('.') {
            name.push('/');
            level(&mut name, word);
        }
        name
    }

    /// The filter of MQTT.
    pub(super) fn filter(&self, filter: &Filter) -> String {
        let mut name = self.prefix.clone();
        for word in filter.text().split('.') {
            name.push('/');
            match word {
                "*" => name.push('+'),
                // One word at least.
                ">" => name.push_str("+/#"),
                word => level(&mut name, word),
            }
        }
        name
    }

    /// The topic that one of MQTT stands for, if it is of this binding.
    pub(super) fn read(&self, name: &str) -> Option<String> {
        let levels = name.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        Some(levels.split('/').map(word_of).collect::<Vec<_>>().join("."))
    }

    /// Where replies to a host go, by its number.
    pub(super) fn replies(&self, host: u64) -> String {
        format!("{INBOX}/{}/{host:x}", self.prefix)
    }

    /// Which host gets what is published there.
    pub(super) fn host(&self, name: &str) -> Option<u64> {
        let rest = name.strip_prefix(INBOX)?.strip_prefix('/')?;
        let host = rest.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        u64::from_str_radix(host, 16).ok()
    }

    /// Where the server keeps what is known of a group.
    pub(super) fn note(&self, note: Note, session: &str) -> String {
        let kind = match note {
            Note::Group => "group",
            Note::Holder => "holder",
            Note::User => "user",
        };
        format!("_groups/{}/{kind}/{session}", self.prefix)
    }

    /// What covers all of that.
    pub(super) fn notes(&self) -> String {
        format!("_groups/{}/+/+", self.prefix)
    }

    /// Of which session something is known there.
    pub(super) fn noted<'a>(&self, name: &'a str) -> Option<(Note, &'a str)> {
        let rest = name.strip_prefix("_groups/")?.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        match rest.split_once('/')? {
            ("group", session) => Some((Note::Group, session)),
            ("holder", session) => Some((Note::Holder, session)),
            ("user", session) => Some((Note::User, session)),
            _ => None,
        }
    }

    /// The id of a group's session: of letters and digits, as short as every server takes it.
    pub(super) fn session(&self, group: &str) -> String {
        let number = digest(format!("{}\0{group}", self.prefix).as_bytes());
        format!("wharf{:018x}", number & 0xff_ffff_ffff_ffff_ffff)
    }
}

/// Holds a prefix to its rules.
pub(super) fn check(prefix: &str) -> Result<()> {
    let wrong = |why: &str| Err(Error::invalid(format!("`prefix` {why}")));
    if prefix.is_empty() || prefix.len() > LONGEST {
        return wrong("has 1 to 200 bytes");
    }
    if prefix.starts_with(['/', '$', '_']) || prefix.ends_with('/') {
        return wrong("begins with a letter or a digit, and has no `/` at its end");
    }
    if prefix.contains(|c: char| matches!(c, '+' | '#') || c.is_control() || is_refused(c)) {
        return wrong("has no wildcards and no control characters");
    }
    Ok(())
}

/// Whether servers refuse text with this character.
pub(super) fn is_refused(letter: char) -> bool {
    let number = u32::from(letter);
    letter.is_control() || number & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&number)
}

/// Adds a word as a level.
fn level(name: &mut String, word: &str) {
    for letter in word.chars() {
        match letter {
            '%' | '/' | '+' | '#' => escape(name, letter),
            letter if is_refused(letter) => escape(name, letter),
            letter => name.push(letter),
        }
    }
}

fn escape(name: &mut String, letter: char) {
    for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
        // Writing to a string does not fail.
        _ = write!(name, "%{byte:02X}");
    }
}

/// The word that a level stands for. Those of other programs may have what no word has.
fn word_of(level: &str) -> String {
    let is_misread = |c: char| matches!(c, '.' | '*' | '>') || c.is_whitespace() || c.is_control();
    match unescaped(level) {
        Some(word) if !word.is_empty() && !word.contains(is_misread) => word,
        _ if level.is_empty() => "%".to_owned(),
        _ => {
            let mut word = String::new();
            for letter in level.chars() {
                match is_misread(letter) {
                    true => escape(&mut word, letter),
                    false => word.push(letter),
                }
            }
            word
        }
    }
}

fn unescaped(level: &str) -> Option<String> {
    let mut parts = level.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names() -> Names {
        Names::new("p/q".to_owned())
    }

    fn filter(text: &str) -> String {
        names().filter(&Filter::parse(text).unwrap())
    }

    proptest! {
        #[test]
        fn every_topic_comes_back(
            topic in "([^\\p{C}\\p{Z}.*>]|[/+#%$]){1,9}(\\.[a-z/%]{1,3}){0,3}",
        ) {
            prop_assume!(crate::check_topic(&topic).is_ok());
            let name = names().topic(&topic);
            prop_assert!(!name.contains(['+', '#']), "{}", name);
            prop_assert_eq!(names().read(&name), Some(topic));
        }
    }

    #[test]
    fn words_are_levels() {
        assert_eq!(names().topic("a.b/c.d+"), "p/q/a/b%2Fc/d%2B");
        assert_eq!(filter("a.*.c"), "p/q/a/+/c");
        assert_eq!(filter("a.>"), "p/q/a/+/#");
        assert_eq!(filter(">"), "p/q/+/#");
        assert_eq!(names().read("p/q/a/b"), Some("a.b".to_owned()));
        assert_eq!(names().read("p/qa/b"), None);
        assert_eq!(names().read("p/q"), None);
        // As others may have them.
        assert_eq!(names().read("p/q/a//1.5 V/%zz"), Some("a.%.1%2E5%20V.%zz".to_owned()));
    }

    #[test]
    fn places_are_read_as_they_are_written() {
        assert_eq!(names().host(&names().replies(0xab)), Some(0xab));
        assert_eq!(names().host("_inbox/p/ab"), None);
        let session = names().session("g");
        assert_eq!(session.len(), 23);
        for note in [Note::Group, Note::Holder, Note::User] {
            let name = names().note(note, &session);
            assert_eq!(names().noted(&name), Some((note, session.as_str())));
        }
        for wrong in ["", "/a", "a/", "a/+", "$SYS", "a\u{ffff}"] {
            assert_eq!(check(wrong).unwrap_err().kind(), base::Kind::Invalid, "{wrong}");
        }
        check("factory/line 1").unwrap();
    }
}
