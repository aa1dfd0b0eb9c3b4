//! What queues of a binding are called: `<prefix>_<group>`, and the one whose tags are the list of
//! groups `<prefix>`. No prefix has a `_` that another could end with.

use crate::backend::word::short_word;
use base::Place;

/// The most bytes in the name of a queue, and in what it begins with.
const LONGEST: usize = 80;
const PREFIX: usize = 40;
/// Apps and bindings with longer names have a number instead.
const SHORT: usize = 16;

/// Whether names of queues can begin with it, with room for a group, and no others do.
pub(super) fn is_prefix(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=PREFIX).contains(&text.len()) && text.bytes().all(is_allowed) && text != "wharf"
}

/// `wharf_<app>_<binding>`, or with a number for both.
pub(super) fn usual(place: &Place) -> String {
    let Place { app, binding, .. } = place;
    let is_plain = |name: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=SHORT).contains(&name.len()) && name.bytes().all(is_allowed) && !name.contains("--")
    };
    match is_plain(app) && is_plain(binding) {
        true => format!("wharf_{app}_{binding}"),
        // Of no one else: neither has a `\0`.
        false => {
            format!("wharf_{}", short_word(&format!("{app}\0{binding}"), PREFIX - "wharf_".len()))
        }
    }
}

/// The most bytes in the word of a group behind a prefix.
pub(super) fn room(prefix: &str) -> usize {
    LONGEST.saturating_sub(prefix.len() + 1)
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
    fn no_two_bindings_share_a_prefix() {
        assert_eq!(of("shop", "default"), "wharf_shop_default");
        let long = "x".repeat(300);
        let pairs = [("a", "b"), ("a_b", "c"), ("a", "b_c"), ("a-b", "c"), ("a", "b-c"), ("", "")];
        let pairs = pairs.into_iter().chain([(long.as_str(), "b"), (&long[1..], "b"), ("ä", "b")]);
        let mut seen = HashSet::new();
        for (app, binding) in pairs {
            let prefix = of(app, binding);
            assert!(prefix.len() <= PREFIX && room(&prefix) > 34, "{prefix}");
            assert!(seen.insert(prefix), "{app} {binding}");
        }
        assert!(is_prefix("orders-2") && !is_prefix("orders_2") && !is_prefix("wharf"));
        assert!(!is_prefix("") && !is_prefix(&long));
    }
}
