//! What things of a binding are called in NATS: its stream, its subjects, the consumers of groups.
//!
//! A topic is a subject behind the binding's prefix, as it is: what NATS forbids in a subject no
//! topic has. Words that others choose, apps, bindings and groups, are escaped where they have more
//! than letters, digits and `-`.

use crate::backend::word::word;
use base::Place;

/// Whether a stream may be called that.
pub(super) fn is_stream(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.len() <= 200 && name.bytes().all(is_allowed)
}

/// `wharf_<app>_<binding>`, each of them escaped.
pub(super) fn stream(place: &Place) -> String {
    format!("wharf_{}_{}", word(&place.app), word(&place.binding))
}

/// `wharf.<app>.<binding>.`, each of them escaped.
pub(super) fn prefix(place: &Place) -> String {
    format!("wharf.{}.{}.", word(&place.app), word(&place.binding))
}

/// The durable consumer of a group.
pub(super) fn consumer(group: &str) -> String {
    word(group)
}

/// The same with a `*` for its last word, if it has neither `*` nor `>`.
pub(super) fn widened(filter: String) -> String {
    if filter.contains(['*', '>']) {
        return filter;
    }
    match filter.rsplit_once('.') {
        Some((words, _)) => format!("{words}.*"),
        None => "*".to_owned(),
    }
}

/// Whether a stream with this subject hears everything behind the prefix.
pub(super) fn hears(subject: &str, prefix: &str) -> bool {
    let mut wanted = prefix.split('.').filter(|word| !word.is_empty());
    for part in subject.split('.') {
        match (part, wanted.next()) {
            (">", _) => return true,
            (part, Some(word)) if part == "*" || part == word => {}
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_bindings_share_a_stream() {
        let place = |app: &str, binding: &str| Place {
            base: "/".into(),
            data: "/".into(),
            app: app.to_owned(),
            capability: "messaging",
            binding: binding.to_owned(),
        };
        assert_eq!(stream(&place("shop", "default")), "wharf_shop_default");
        assert_eq!(prefix(&place("shop", "default")), "wharf.shop.default.");
        let long = "x".repeat(300);
        let pairs = [("a", "b"), ("a_b", "c"), ("a", "b_c"), ("ä", "b"), ("ö", "b"), ("", "")];
        let pairs = pairs.into_iter().chain([(long.as_str(), "b"), (long.as_str(), "c")]);
        let mut seen = HashSet::new();
        for (app, binding) in pairs {
            let name = stream(&place(app, binding));
            assert!(is_stream(&name), "{name}");
            let prefix = prefix(&place(app, binding));
            assert_eq!(prefix.split('.').count(), 4, "{prefix}");
            assert!(seen.insert(name) && seen.insert(prefix), "{app} {binding}");
        }
    }

    #[test]
    fn groups_become_consumers() {
        assert_eq!(consumer("mailers-2"), "mailers-2");
        let long = "x".repeat(255);
        let names = ["a.b", "a b", "a_b", "a*", "ä", "ö", ">", "A", "a--1", &long];
        let consumers: HashSet<String> = names.iter().map(|name| consumer(name)).collect();
        assert_eq!(consumers.len(), names.len());
        assert!(consumers.iter().all(|name| is_stream(name)), "{consumers:?}");
    }

    #[test]
    fn a_last_word_is_widened() {
        for (filter, wanted) in [("a", "*"), ("a.b", "a.*"), ("*.b", "*.b"), ("a.>", "a.>")] {
            assert_eq!(widened(filter.to_owned()), wanted);
        }
    }

    #[test]
    fn a_stream_hears_what_its_subjects_cover() {
        for subject in [">", "a.>", "a.b.>", "*.b.>", "a.*.>"] {
            assert!(hears(subject, "a.b."), "{subject}");
        }
        for subject in ["a", "a.b", "a.b.*", "b.>", "a.b.c.>", "a.c.>"] {
            assert!(!hears(subject, "a.b."), "{subject}");
        }
    }
}
