//! What things of a binding are called in Kafka: its topic, and the groups.

use crate::backend::word::{digest, word};
use base::Place;

/// Whether a topic of Kafka may be called that.
pub(super) fn is_topic(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=249).contains(&name.len()) && name.bytes().all(is_allowed) && name != "." && name != ".."
}

/// `wharf.<app>.<binding>`, each of them escaped.
pub(super) fn topic(place: &Place) -> String {
    format!("wharf.{}.{}", word(&place.app), word(&place.binding))
}

/// The group of Kafka: no topic has a `/` in its name, so that no other binding has one that begins
/// like this.
pub(super) fn group(topic: &str, group: &str) -> String {
    format!("{topic}/{group}")
}

/// What a client that is in no group says that its group is: nobody ever joins it.
pub(super) fn alone(topic: &str) -> String {
    format!("{topic}//{:016x}", fastrand::u64(..))
}

/// Which part of a topic of Kafka has the messages of a topic that have no key.
pub(super) fn partition(topic: &str, partitions: i32) -> i32 {
    let partitions = u128::try_from(partitions.max(1)).unwrap_or(1);
    i32::try_from(digest(topic.as_bytes()) % partitions).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_binding_are_its_own() {
        let place = |app: &str, binding: &str| Place {
            base: "/".into(),
            data: "/".into(),
            app: app.to_owned(),
            capability: "messaging",
            binding: binding.to_owned(),
        };
        assert_eq!(topic(&place("app", "default")), "wharf.app.default");
        let (one, other) = (topic(&place("a.b", "c")), topic(&place("a", "b.c")));
        assert_ne!(one, other);
        assert!(is_topic(&one) && is_topic(&topic(&place(&"ä".repeat(200), "x y"))));
        assert_eq!(group("t", "g"), "t/g");
        for partitions in [1, 3, 8] {
            assert!((0..partitions).contains(&partition("orders.new", partitions)));
        }
    }
}
