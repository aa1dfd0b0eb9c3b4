//! The list of groups as this host knows it.
//!
//! Nobody publishes by a list that was asked for longer than `refresh` ago. So whoever waits for
//! that long, once what it wrote down is there for all to see, is known to all who publish then.

use super::covers::Covers;
use super::{Ages, Service};
use base::{Error, Result, lock, within};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Mutex as Turns;
use tokio::time::Instant;

/// A group that is there.
pub(super) struct Group {
    pub(super) queue: Arc<str>,
    pub(super) covers: Covers,
    /// Since when at the latest.
    pub(super) since: Instant,
}

pub(super) struct Directory {
    ages: Ages,
    /// One asks at a time, and the others take what it finds.
    turns: Turns<()>,
    known: Mutex<Known>,
}

#[derive(Clone, Default)]
struct Known {
    /// When it was asked for.
    asked: Option<Instant>,
    groups: Arc<Vec<Group>>,
}

/// Since when a queue covers that, if it does.
pub(super) fn since(groups: &[Group], queue: &str, covers: &Covers) -> Option<Instant> {
    let found = groups.iter().find(|group| *group.queue == *queue && group.covers == *covers);
    found.map(|group| group.since)
}

impl Directory {
    pub(super) fn new(ages: Ages) -> Self {
        Self { ages, turns: Turns::default(), known: Mutex::default() }
    }

    /// After so long what was written down is what every host goes by.
    pub(super) fn age(&self) -> Duration {
        self.ages.refresh.saturating_add(self.ages.settle)
    }

    /// The list, no older than it may be.
    pub(super) async fn groups<S: Service>(&self, service: &S) -> Result<Arc<Vec<Group>>> {
        if let Some(groups) = self.fresh() {
            return Ok(groups);
        }
        // Who comes behind others that nobody answers does not wait for each of them.
        let Ok(_turn) = within(service.timeout(), self.turns.lock()).await else {
            return Err(Error::timeout(format!("{} did not answer others", service.server())));
        };
        match self.fresh() {
            Some(groups) => Ok(groups),
            None => self.ask(service).await,
        }
    }

    /// The list as it is now.
    pub(super) async fn read<S: Service>(&self, service: &S) -> Result<Arc<Vec<Group>>> {
        let _turn = self.turns.lock().await;
        self.ask(service).await
    }

    fn fresh(&self) -> Option<Arc<Vec<Group>>> {
        let known = lock(&self.known);
        let is_fresh = known.asked.is_some_and(|asked| asked.elapsed() < self.ages.refresh);
        is_fresh.then(|| Arc::clone(&known.groups))
    }

    async fn ask<S: Service>(&self, service: &S) -> Result<Arc<Vec<Group>>> {
        let asked = Instant::now();
        let found = service.groups().await?;
        let (before, now) = (lock(&self.known).clone(), Instant::now());
        let groups = found.into_iter().filter_map(|(queue, text)| {
            let Some(covers) = Covers::read(&text) else {
                tracing::warn!(queue, text, "what is written down of a group cannot be read");
                return None;
            };
            let since = since(&before.groups, &queue, &covers).unwrap_or(now);
            Some(Group { queue: queue.into(), covers, since })
        });
        let groups: Arc<Vec<Group>> = Arc::new(groups.collect());
        *lock(&self.known) = Known { asked: Some(asked), groups: Arc::clone(&groups) };
        Ok(groups)
    }
}
