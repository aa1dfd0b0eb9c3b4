//! What is written down of a group: which topics it covers, and until when it is there.

use crate::Filter;
use std::time::{Duration, SystemTime};

/// For how long the queue of who is alone is there without a word of its subscriber, and how often
/// that says one. Clocks of hosts may differ by less.
const LEASE: Duration = Duration::from_secs(3600);
pub(super) const RENEWED: Duration = Duration::from_secs(600);
/// What stands for no end.
const FOR_EVER: &str = "-";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Covers {
    topics: Vec<Filter>,
    /// In seconds since 1970.
    until: Option<u64>,
}

impl Covers {
    /// Until it is forgotten.
    pub(super) fn of_group(topics: &[Filter]) -> Self {
        Self { topics: topics.to_vec(), until: None }
    }

    /// As long as somebody says so.
    pub(super) fn for_a_while(topics: &[Filter]) -> Self {
        let until = (SystemTime::now() + LEASE).duration_since(SystemTime::UNIX_EPOCH);
        Self { topics: topics.to_vec(), until: Some(until.unwrap_or_default().as_secs()) }
    }

    /// As it is written down.
    pub(super) fn text(&self) -> String {
        let until = self.until.map_or_else(|| FOR_EVER.to_owned(), |until| until.to_string());
        let topics = self.topics.iter().map(Filter::text);
        std::iter::once(until.as_str()).chain(topics).collect::<Vec<_>>().join(" ")
    }

    /// `None`: nobody wrote that.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let until = match words.next()? {
            FOR_EVER => None,
            until => Some(until.parse().ok()?),
        };
        let topics = words.map(|topic| Filter::parse(topic).ok()).collect::<Option<Vec<_>>>()?;
        Some(Self { topics, until })
    }

    pub(super) fn covers(&self, topic: &str) -> bool {
        self.topics.iter().any(|filter| filter.covers(topic))
    }

    /// Whether nobody said for too long that it is there.
    pub(super) fn is_over(&self) -> bool {
        let end = |until| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(until));
        self.until.and_then(end).is_some_and(|end| end < SystemTime::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_again() {
        let topics = ["a.*", "@b.ω", "-", ">"].map(|topic| Filter::parse(topic).unwrap());
        for covers in [Covers::of_group(&topics), Covers::for_a_while(&topics[..1])] {
            assert_eq!(Covers::read(&covers.text()), Some(covers.clone()));
            assert!(covers.covers("a.b") && !covers.is_over());
        }
        assert!(Covers::read("1000 a").unwrap().is_over());
        for wrong in ["", "x a", "- a..b", "-1 a", "99999999999999999999 a"] {
            assert_eq!(Covers::read(wrong), None, "{wrong}");
        }
    }
}
