//! A store in front of another that fails on purpose.

use async_trait::async_trait;
use base::{Error, Result};
use bytes::Bytes;
use futures::StreamExt as _;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wharf_keyvalue::{
    Changes, ListOptions, Offer, Page, Position, Store, Version, Versioned, WatchOptions,
    WriteOptions,
};

/// How one subscription goes.
pub(crate) enum Watching {
    Refused(Error),
    /// It ends after so many changes.
    Ends(usize),
    /// It fails once, after so many changes, and goes on.
    Stumbles(usize),
}

/// The store in front.
pub(crate) struct Faulty {
    store: Arc<dyn Store>,
    /// What happens to subscriptions, one after the other; then nothing.
    watching: Mutex<VecDeque<Watching>>,
    /// From where they were asked for.
    pub(crate) from: Mutex<Vec<Option<Position>>>,
    /// How often a value was written that may not be.
    pub(crate) refused: AtomicUsize,
    /// How many writes run, and how many ever ran, at once.
    running: AtomicUsize,
    pub(crate) most: AtomicUsize,
}

impl Faulty {
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        watching: impl IntoIterator<Item = Watching>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::clone(store),
            watching: Mutex::new(watching.into_iter().collect()),
            from: Mutex::default(),
            refused: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Store for Faulty {
    fn offer(&self) -> &Offer {
        self.store.offer()
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.store.get(key).await
    }

    async fn versioned(&self, key: &str) -> Result<Option<Versioned>> {
        self.store.versioned(key).await
    }

    /// The value says what becomes of it: "refuse", "hang", "slow" or anything.
    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version> {
        let running = self.running.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(running, SeqCst);
        match value.as_ref() {
            b"refuse" => {
                self.refused.fetch_add(1, SeqCst);
                self.running.fetch_sub(1, SeqCst);
                return Err(Error::unavailable("on purpose"));
            }
            b"hang" => {
                self.refused.fetch_add(1, SeqCst);
                self.running.fetch_sub(1, SeqCst);
                std::future::pending::<()>().await;
            }
            b"slow" => tokio::time::sleep(Duration::from_millis(200)).await,
            _ => {}
        }
        self.running.fetch_sub(1, SeqCst);
        self.store.set(key, value, options).await
    }

    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()> {
        self.store.delete(key, options).await
    }

    async fn increment(&self, key: &str, delta: i64, options: &WriteOptions) -> Result<i64> {
        self.store.increment(key, delta, options).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Page> {
        self.store.list(options).await
    }

    async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        self.from.lock().unwrap().push(options.from);
        let next = self.watching.lock().unwrap().pop_front();
        let changes = self.store.watch(options).await?;
        Ok(match next {
            None => changes,
            Some(Watching::Refused(error)) => return Err(error),
            Some(Watching::Ends(after)) => changes.take(after).boxed(),
            Some(Watching::Stumbles(after)) => {
                let failure = futures::stream::iter([Err(Error::unavailable("on purpose"))]);
                // What comes after the failure waits in the store's own queue.
                let rest = self.store.watch(options).await?.skip(after);
                changes.take(after).chain(failure).chain(rest).boxed()
            }
        })
    }
}
