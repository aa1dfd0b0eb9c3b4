//! A store's changes without end: a subscription that is taken up again when it is lost.

use crate::{Change, Changes, Store, WatchOptions};
use base::offer::Watch;
use base::{Kind, Result};
use engine::retry;
use futures::StreamExt as _;
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};

/// The changes of a store that some options cover.
pub(super) struct Feed {
    store: Arc<dyn Store>,
    binding: Arc<str>,
    /// With the position after what came last, where the store can go on from it.
    options: WatchOptions,
    changes: Option<Changes>,
    failures: u32,
    /// Nothing is asked of the store before.
    pause: Option<Instant>,
}

impl Feed {
    /// Subscribes.
    ///
    /// # Errors
    /// When the store cannot do this at all. One that is away, or that refuses something which
    /// somebody may allow later, is asked again by [`next`](Self::next).
    pub(super) async fn open(
        store: Arc<dyn Store>,
        binding: &str,
        options: WatchOptions,
    ) -> Result<Self> {
        let binding = Arc::from(binding);
        let mut feed = Self { store, binding, options, changes: None, failures: 0, pause: None };
        match feed.store.watch(&feed.options).await {
            Ok(changes) => feed.changes = Some(changes),
            Err(error) if matches!(error.kind(), Kind::Unsupported | Kind::Invalid) => {
                return Err(error.context(format!("binding `{}`", feed.binding)));
            }
            Err(error) => feed.failed(&error),
        }
        Ok(feed)
    }

    /// Waits for the next change of a key. May be dropped and called again; nothing is lost.
    pub(super) async fn next(&mut self) -> Change {
        loop {
            if let Some(until) = self.pause {
                sleep_until(until).await;
                self.pause = None;
            }
            let Some(changes) = &mut self.changes else {
                self.subscribe().await;
                continue;
            };
            match changes.next().await {
                Some(Ok(change)) => {
                    self.failures = 0;
                    if self.store.offer().levels.watch >= Watch::Resumable {
                        self.options.from = Some(change.position());
                    }
                    match change {
                        Change::Missed { .. } => self.missed(),
                        change => return change,
                    }
                }
                Some(Err(error)) => self.failed(&error),
                None => {
                    self.changes = None;
                    self.failures = self.failures.saturating_add(1);
                    self.pause = Some(Instant::now() + retry::pause(self.failures));
                    tracing::warn!(binding = %self.binding, "the store ended the watch");
                }
            }
        }
    }

    async fn subscribe(&mut self) {
        match self.store.watch(&self.options).await {
            Ok(changes) => {
                self.changes = Some(changes);
                tracing::info!(binding = %self.binding, "the store is watched again");
                if self.options.from.is_none() {
                    self.missed();
                }
            }
            Err(error) => {
                // A position that the store no longer takes would be refused for ever.
                if !error.kind().is_temporary() {
                    self.options.from = None;
                }
                self.failed(&error);
            }
        }
    }

    fn failed(&mut self, error: &base::Error) {
        self.failures = self.failures.saturating_add(1);
        self.pause = Some(Instant::now() + retry::pause(self.failures));
        tracing::warn!(binding = %self.binding, %error, "watching the store failed");
    }

    fn missed(&self) {
        tracing::warn!(
            binding = %self.binding,
            prefix = self.options.prefix,
            "changes were missed: the watcher is not told of them"
        );
    }
}
