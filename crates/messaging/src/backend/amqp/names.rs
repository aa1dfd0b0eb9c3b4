//! What things of a binding are called on the server: its exchange, its queues, the keys by which
//! messages find them.
//!
//! A topic is a routing key as it is, except for words that mean something to the server.

use crate::backend::word::{digest, word};
use crate::{Filter, INBOX};
use base::Place;

/// Longer names of queues end with a number instead: with what may come behind it, 255 bytes are
/// the most.
const LONGEST: usize = 220;
/// The word that stands for `#` alone, which in a binding's key is any words. No topic has it.
const HASH: &str = "\u{1}";

/// The names of one binding.
pub(super) struct Names {
    /// The exchange that is published to.
    pub(super) exchange: String,
}

/// Whether an exchange may be called that.
pub(super) fn is_exchange(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    !name.is_empty()
        && name.len() <= LONGEST
        && name.bytes().all(is_allowed)
        && !name.starts_with("amq.")
}

impl Names {
    /// `wharf.<app>.<binding>`, each of them escaped.
    pub(super) fn of(place: &Place) -> Self {
        Self { exchange: format!("wharf.{}.{}", word(&place.app), word(&place.binding)) }
    }

    /// The queue in which it is written which groups there are.
    pub(super) fn groups(&self) -> String {
        self.fitted("groups")
    }

    /// The queue of a group.
    pub(super) fn group(&self, group: &str) -> String {
        self.fitted(&format!("group.{}", word(group)))
    }

    /// The queue of a subscription without a group.
    pub(super) fn alone(&self, number: u64) -> String {
        self.fitted(&format!("alone.{number:016x}"))
    }

    /// The queue for the replies to a host, by what stands for it in topics.
    pub(super) fn replies(&self, host: &str) -> String {
        self.fitted(&format!("replies.{host}"))
    }

    fn fitted(&self, rest: &str) -> String {
        let whole = format!("{}.{rest}", self.exchange);
        if whole.len() <= LONGEST {
            return whole;
        }
        let start: String = whole.chars().take(LONGEST / 2).collect();
        format!("{start}--{:032x}", digest(whole.as_bytes()))
    }
}

/// The queue in which messages of another queue wait for a step of time.
pub(super) fn wait(queue: &str, step: u32) -> String {
    format!("{queue}.wait-{step}")
}

/// The routing key of what is published to a topic.
pub(super) fn key(topic: &str) -> String {
    words(topic, |word| if word == "#" { HASH } else { word })
}

/// The topic of a routing key.
pub(super) fn topic(key: &str) -> String {
    words(key, |word| if word == HASH { "#" } else { word })
}

/// The key of the bindings that bring what a filter covers.
pub(super) fn binding(filter: &Filter) -> String {
    // For the server `#` is no words as well as any.
    words(filter.text(), |word| match word {
        ">" => "*.#",
        "#" => HASH,
        word => word,
    })
}

fn words<'a>(text: &'a str, mapped: impl Fn(&'a str) -> &'a str) -> String {
    text.split('.').map(mapped).collect::<Vec<_>>().join(".")
}

/// The host and the number of its request in a topic for replies.
pub(super) fn inbox(topic: &str) -> Option<(&str, &str)> {
    let (host, number) = topic.strip_prefix(INBOX)?.strip_prefix('.')?.split_once('-')?;
    let is_host = (1..=16).contains(&host.len()) && host.bytes().all(|it| it.is_ascii_hexdigit());
    (is_host && number.parse::<u64>().is_ok()).then_some((host, number))
}

/// The topic for replies to a request of a host.
pub(super) fn inbox_of(host: &str, number: &str) -> String {
    format!("{INBOX}.{host}-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_things_share_a_name() {
        let place = |app: &str, binding: &str| Place {
            base: "/".into(),
            data: "/".into(),
            app: app.to_owned(),
            capability: "messaging",
            binding: binding.to_owned(),
        };
        assert_eq!(Names::of(&place("shop", "default")).exchange, "wharf.shop.default");
        let long = "x".repeat(255);
        let pairs = [("a", "b"), ("a.b", "c"), ("a", "b.c"), ("ä", "b"), ("", ""), (&long, &long)];
        let mut seen = HashSet::new();
        for (app, binding) in pairs {
            let names = Names::of(&place(app, binding));
            assert!(is_exchange(&names.exchange), "{}", names.exchange);
            let groups = ["g", "groups", "a.wait-1", "a", "", &long, &format!("{long}x")];
            let mut all: Vec<String> = groups.iter().map(|group| names.group(group)).collect();
            all.extend([names.groups(), names.alone(1), names.replies("1")]);
            all.extend((0..24).map(|step| wait(&names.group(&long), step)));
            for name in all {
                assert!(name.len() <= 255, "{name}");
                assert!(seen.insert(name.clone()), "{name}");
            }
        }
    }

    #[test]
    fn topics_are_keys() {
        for (topic, wanted) in [("a.b", "a.b"), ("#", "\u{1}"), ("a.#.##", "a.\u{1}.##")] {
            assert_eq!(key(topic), wanted);
            assert_eq!(super::topic(wanted), topic);
        }
        for (filter, wanted) in [
            ("a.b", "a.b"),
            ("a.*", "a.*"),
            (">", "*.#"),
            ("a.>", "a.*.#"),
            ("*.>", "*.*.#"),
            ("#.a", "\u{1}.a"),
        ] {
            assert_eq!(binding(&Filter::parse(filter).unwrap()), wanted);
        }
    }

    #[test]
    fn topics_for_replies_are_told() {
        assert_eq!(inbox(&inbox_of("1f", "7")), Some(("1f", "7")));
        for other in ["_inbox", "_inbox.x-1", "_inbox.1f", "_inbox.-1", "_inbox.1-x", "a.1f-7"] {
            assert_eq!(inbox(other), None, "{other}");
        }
        assert_eq!(inbox("_inbox.00000000000000001-1"), None);
    }
}
