//! What queues of a binding are called: `<prefix>-<group>`. Names have small letters, digits and
//! single `-`, 63 at most. A name that people chose stands there as it is if it has small letters
//! and digits alone, and is short; for any other there is a number, which is longer than those.

use crate::backend::word::digest;
use base::Place;

/// The most bytes in a prefix, and in the name of an app, a binding or a group that stands as it
/// is.
const PREFIX: usize = 28;
const SHORT: usize = 11;

/// Whether names of queues can begin with it, and no others do.
pub(super) fn is_prefix(text: &str) -> bool {
    (1..=PREFIX).contains(&text.len()) && is_plain(text) && text != "wharf"
}

/// `wharf-<app>-<binding>`, or with a number for both.
pub(super) fn usual(place: &Place) -> String {
    let Place { app, binding, .. } = place;
    match is_short(app) && is_short(binding) {
        true => format!("wharf-{app}-{binding}"),
        // Of no one else: neither has a `\0`.
        false => {
            let number = digest(format!("{app}\0{binding}").as_bytes()) >> 40;
            format!("wharf-{number:022x}")
        }
    }
}

/// The word of a group's queue.
pub(super) fn word(group: &str) -> String {
    match is_short(group) {
        true => group.to_owned(),
        false => format!("{:032x}", digest(group.as_bytes())),
    }
}

fn is_short(name: &str) -> bool {
    (1..=SHORT).contains(&name.len()) && is_plain(name)
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn of(app: &str, binding: &str) -> String {
        usual(&Place {
            base: "/".into(),
            data: "/".into(),
            app: app.to_owned(),
            capability: "messaging",
            binding: binding.to_owned(),
        })
    }

    #[test]
    fn no_two_bindings_or_groups_share_a_name() {
        assert_eq!(of("shop", "default"), "wharf-shop-default");
        let long = "x".repeat(300);
        let pairs = [("a", "b"), ("a-b", "c"), ("a", "b-c"), ("A", "b"), ("", ""), ("ä", "b")];
        let pairs = pairs.into_iter().chain([(long.as_str(), "b"), (&long[1..], "b")]);
        let mut seen = HashSet::new();
        for (app, binding) in pairs {
            let prefix = of(app, binding);
            assert!(prefix.len() + 1 + 32 <= 63, "{prefix}");
            assert!(seen.insert(prefix), "{app} {binding}");
        }
        let groups = ["a", "A", "a-b", "a.b", "", &long];
        let words: HashSet<String> = groups.iter().map(|group| word(group)).collect();
        assert_eq!(words.len(), groups.len());
        assert!(is_prefix("orders2") && !is_prefix("orders-2") && !is_prefix("wharf"));
    }
}
