//! Changes that wait for their turn: those of one key after each other, of different keys at once.

use crate::Change;
use std::collections::{HashMap, VecDeque};

/// The changes that were not told yet, and which keys may not be told of now.
#[derive(Default)]
pub(super) struct Lanes {
    /// For each key that is waiting or running, the changes that wait.
    lanes: HashMap<String, VecDeque<Change>>,
    /// The keys that wait and are not running, in the order in which they came.
    ready: VecDeque<String>,
    waiting: usize,
}

impl Lanes {
    /// Queues a change behind those of its key.
    pub(super) fn push(&mut self, change: Change) {
        // What has no key is nobody's news.
        let Some(key) = change.key() else { return };
        self.waiting += 1;
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.push_back(change);
        } else {
            self.ready.push_back(key.to_owned());
            self.lanes.insert(key.to_owned(), VecDeque::from([change]));
        }
    }

    /// The next change whose key is not running; its key runs from now on.
    pub(super) fn start(&mut self) -> Option<Change> {
        let key = self.ready.pop_front()?;
        let change = self.lanes.get_mut(&key)?.pop_front()?;
        self.waiting -= 1;
        Some(change)
    }

    /// The change of `key` that was started is done.
    pub(super) fn finish(&mut self, key: &str) {
        match self.lanes.get(key) {
            Some(lane) if lane.is_empty() => {
                self.lanes.remove(key);
            }
            Some(_) => self.ready.push_back(key.to_owned()),
            None => {}
        }
    }

    /// How many changes wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}

impl Change {
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Set { key, .. } | Self::Delete { key, .. } => Some(key),
            Self::Missed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Position;

    fn change(key: &str, number: u64) -> Change {
        Change::Delete { key: key.to_owned(), position: Position::from(number) }
    }

    #[test]
    fn the_changes_of_one_key_wait_for_each_other() {
        let mut lanes = Lanes::default();
        for (key, number) in [("a", 1), ("a", 2), ("b", 3), ("a", 4)] {
            lanes.push(change(key, number));
        }
        assert_eq!(lanes.waiting(), 4);
        assert_eq!(lanes.start(), Some(change("a", 1)));
        assert_eq!(lanes.start(), Some(change("b", 3)));
        assert_eq!(lanes.start(), None, "both keys are running");
        lanes.finish("b");
        assert_eq!(lanes.start(), None);
        lanes.finish("a");
        assert_eq!(lanes.start(), Some(change("a", 2)));
        lanes.finish("a");
        assert_eq!(lanes.start(), Some(change("a", 4)));
        lanes.finish("a");
        assert_eq!((lanes.waiting(), lanes.lanes.len(), lanes.ready.len()), (0, 0, 0));
    }
}
