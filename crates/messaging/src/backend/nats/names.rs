//! What things of a binding are called in NATS: its stream, its subjects, the consumers of groups.
//!
//! A topic is a subject behind the binding's prefix, as it is: what NATS forbids in a subject no
//! topic has. Words that others choose, apps, bindings and groups, are escaped where they have more
//! than letters, digits and `-`.

use crate::Filter;
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

/// As few of the filters as cover the same, if no two of them cover a topic both: servers from 2.10
/// on know several for each consumer then.
pub(super) fn apart(filters: &[Filter]) -> Option<Vec<&Filter>> {
    let mut least: Vec<&Filter> = Vec::new();
    for filter in filters {
        if !least.iter().any(|other| includes(other.text(), filter.text())) {
            least.retain(|other| !includes(filter.text(), other.text()));
            least.push(filter);
        }
    }
    let meet = |(at, one): (usize, &&Filter)| {
        least.iter().skip(at + 1).any(|other| meet(one.text(), other.text()))
    };
    (!least.iter().enumerate().any(meet)).then_some(least)
}

/// Whether a filter covers all that the other covers.
fn includes(wide: &str, narrow: &str) -> bool {
    let mut narrow = narrow.split('.');
    for part in wide.split('.') {
        match (part, narrow.next()) {
            (">", Some(_)) => return true,
            ("*", Some(word)) if word != ">" => {}
            (part, Some(word)) if part == word => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

/// Whether there is a topic that both cover.
fn meet(one: &str, other: &str) -> bool {
    let mut other = other.split('.');
    for part in one.split('.') {
        match (part, other.next()) {
            (_, None) => return false,
            (">", Some(_)) | (_, Some(">")) => return true,
            (part, Some(word)) if part == "*" || word == "*" || part == word => {}
            _ => return false,
        }
    }
    other.next().is_none()
}

/// One filter that covers all that these cover, and perhaps more: servers older than 2.10 know one
/// for each consumer.
pub(super) fn covering(filters: &[Filter]) -> String {
    let texts = filters.iter().map(|filter| filter.text().to_owned());
    texts.reduce(|one, other| both(&one, &other)).unwrap_or_else(|| ">".to_owned())
}

fn both(one: &str, other: &str) -> String {
    let (one, other): (Vec<&str>, Vec<&str>) =
        (one.split('.').collect(), other.split('.').collect());
    let is_open = [&one, &other].iter().any(|words| words.last() == Some(&">"));
    let is_open = is_open || one.len() != other.len();
    let shortest = one.len().min(other.len());
    let alike = if is_open { shortest - 1 } else { shortest };
    let words = one.iter().zip(&other).take(alike);
    let mut words: Vec<&str> =
        words.map(|(one, other)| if one == other { *one } else { "*" }).collect();
    if is_open {
        words.push(">");
    }
    words.join(".")
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
    fn one_filter_covers_several() {
        for (filters, wanted) in [
            (&["a.b"][..], "a.b"),
            (&["a", "b"], "*"),
            (&["a.b", "a.c"], "a.*"),
            (&["a.b", "c.b"], "*.b"),
            (&["a", "b.c"], ">"),
            (&["a.b", "a.b.c"], "a.>"),
            (&["a.>", "a.b.c"], "a.>"),
            (&["a.b.>", "a.c"], "a.>"),
            (&["a.b", "a.*", ">"], ">"),
            (&["a.b.c", "a.x.c", "a.x.d"], "a.*.*"),
        ] {
            let filters: Vec<Filter> =
                filters.iter().map(|filter| Filter::parse(filter).unwrap()).collect();
            assert_eq!(covering(&filters), wanted, "{filters:?}");
        }
        for (filter, wanted) in [("a", "*"), ("a.b", "a.*"), ("*.b", "*.b"), ("a.>", "a.>")] {
            assert_eq!(widened(filter.to_owned()), wanted);
        }
    }

    #[test]
    fn filters_that_do_not_meet_stand_apart() {
        for (filters, wanted) in [
            (&["a", "b.c"][..], Some(&["a", "b.c"][..])),
            (&["a", "a"], Some(&["a"])),
            (&["a.b", "a.*", ">"], Some(&[">"])),
            (&["a.>", "a", "a.b"], Some(&["a.>", "a"])),
            (&["a.*.c", "a.b.d"], Some(&["a.*.c", "a.b.d"])),
            (&["a.*", "*.b"], None),
            (&["a.>", "*.b"], None),
            (&["*.*", "a.>"], None),
        ] {
            let filters: Vec<Filter> =
                filters.iter().map(|filter| Filter::parse(filter).unwrap()).collect();
            let found: Option<Vec<&str>> =
                apart(&filters).map(|filters| filters.into_iter().map(Filter::text).collect());
            assert_eq!(found.as_deref(), wanted, "{filters:?}");
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
