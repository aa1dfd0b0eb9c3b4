//! Who of this host waits for messages, and is told when there may be some.

use crate::Filter;
use base::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::Notify;

/// The groups in which somebody of this host takes part.
#[derive(Default)]
pub(super) struct Bells(Mutex<HashMap<i64, Weak<Bell>>>);

/// What wakes one of a group up.
pub(super) struct Bell {
    topics: Vec<Filter>,
    wake: Arc<Notify>,
}

impl Bells {
    /// The bell of a group that covers these topics.
    pub(super) fn of(&self, group: i64, topics: &[Filter]) -> Arc<Bell> {
        let mut bells = lock(&self.0);
        bells.retain(|_, bell| bell.strong_count() > 0);
        let before = bells.get(&group).and_then(Weak::upgrade);
        if let Some(bell) = &before
            && bell.topics == topics
        {
            return Arc::clone(bell);
        }
        // Those who were there before hear it as well.
        let wake = before.map_or_else(Arc::default, |bell| Arc::clone(&bell.wake));
        let bell = Arc::new(Bell { topics: topics.to_vec(), wake });
        bells.insert(group, Arc::downgrade(&bell));
        bell
    }

    /// Something was published here.
    pub(super) fn published<'a>(&self, topics: impl Iterator<Item = &'a str> + Clone) {
        for bell in lock(&self.0).values().filter_map(Weak::upgrade) {
            let mut topics = topics.clone();
            if topics.any(|topic| bell.topics.iter().any(|filter| filter.covers(topic))) {
                bell.ring();
            }
        }
    }

    /// A group has something that it had not.
    pub(super) fn ring(&self, group: i64) {
        let bell = lock(&self.0).get(&group).and_then(Weak::upgrade);
        if let Some(bell) = bell {
            bell.ring();
        }
    }
}

impl Bell {
    /// Wakes one up that waits, or who waits next.
    pub(super) fn ring(&self) {
        self.wake.notify_one();
    }

    pub(super) async fn rung(&self) {
        self.wake.notified().await;
    }
}
