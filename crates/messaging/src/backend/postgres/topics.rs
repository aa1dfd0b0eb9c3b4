//! What a group covers, as the database finds it in topics.

use crate::Filter;
use std::fmt::Write as _;

/// What a subscription covers: as it is written; topics; and regular expressions for the others.
pub(super) struct Covered {
    pub(super) topics: Vec<String>,
    pub(super) words: Vec<String>,
    pub(super) patterns: Vec<String>,
}

impl Covered {
    pub(super) fn new(filters: &[Filter]) -> Self {
        let topics = filters.iter().map(|filter| filter.text().to_owned()).collect();
        let (wild, plain): (Vec<&Filter>, Vec<&Filter>) =
            filters.iter().partition(|filter| filter.is_wild());
        let words = plain.into_iter().map(|filter| filter.text().to_owned()).collect();
        let patterns = wild.into_iter().map(|filter| pattern(filter.text())).collect();
        Self { topics, words, patterns }
    }
}

/// The regular expression of PostgreSQL that stands for a filter.
fn pattern(filter: &str) -> String {
    let mut pattern = String::from("^");
    for (at, part) in filter.split('.').enumerate() {
        if at > 0 {
            pattern.push_str("\\.");
        }
        match part {
            "*" => pattern.push_str("[^.]+"),
            ">" => pattern.push_str(".+"),
            word => word.chars().for_each(|letter| escape(letter, &mut pattern)),
        }
    }
    pattern.push('$');
    pattern
}

/// A letter that stands for itself: with `\` before it where it might not.
fn escape(letter: char, pattern: &mut String) {
    if letter.is_ascii() && !letter.is_ascii_alphanumeric() {
        pattern.push('\\');
    }
    // Writing to a string does not fail.
    _ = pattern.write_char(letter);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_themselves() {
        for (filter, wanted) in [
            ("a.*", r"^a\.[^.]+$"),
            (">", r"^.+$"),
            ("*.b.>", r"^[^.]+\.b\..+$"),
            ("a+b.$x.*", r"^a\+b\.\$x\.[^.]+$"),
            (r"a\d.ω_-.*", r"^a\\d\.ω\_\-\.[^.]+$"),
        ] {
            assert_eq!(pattern(filter), wanted);
        }
    }

    #[test]
    fn topics_without_words_of_their_own_are_told_apart() {
        let filters = ["a", "b.*", "c.d"].map(|text| Filter::parse(text).unwrap());
        let covered = Covered::new(&filters);
        assert_eq!(covered.words, ["a", "c.d"]);
        assert_eq!(covered.patterns, [r"^b\.[^.]+$"]);
        assert_eq!(covered.topics, ["a", "b.*", "c.d"]);
    }
}
