//! Reads and writes of many at the same time, made together on a server.

use crate::{
    Changes, ListOptions, Offer, Page, Store, Version, Versioned, WatchOptions, WriteOptions,
};
use async_trait::async_trait;
use base::{Kind, Result};
use bytes::Bytes;
use connect::batcher::{Batch, Batcher, Limits};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// So many reads, and so many writes, are on their way before others join.
const LANES: usize = 4;
/// The most of them in a batch, and the most bytes of those that are written.
const CALLS: usize = 64;
const BYTES: usize = 256 << 10;
/// How long they wait for those.
const PATIENCE: Duration = Duration::from_millis(5);
/// The most bytes that a batch reads, or as many as the first does that finds out.
const ROOM: usize = 1 << 20;
/// So many reads are made alone after values that had no room in a batch.
const LARGE: u32 = 1024;

/// A backend's store, as those who are served together ask it.
#[async_trait]
pub(crate) trait Together: Store {
    /// The server, as errors name it.
    fn server(&self) -> &str;

    /// The most entries that it writes in one step.
    fn step(&self) -> usize {
        CALLS
    }

    /// The value of each key, of `most` bytes together if that can be told before they are here.
    ///
    /// # Errors
    /// As [`Store::get_many`].
    async fn get_each(&self, keys: &[String], most: usize) -> Result<Vec<Option<Bytes>>> {
        self.get_many(keys, most).await
    }

    /// Writes entries that have nothing to do with each other, of keys that may come twice.
    ///
    /// # Errors
    /// `Unavailable` and `Timeout` where nobody knows what became of them; any other only where
    /// none was written.
    async fn put_each(&self, entries: &[(String, Bytes)]) -> Result<Vec<Result<()>>> {
        self.set_many(entries.to_vec(), &WriteOptions::default()).await?;
        Ok(entries.iter().map(|_| Ok(())).collect())
    }
}

/// A store whose plain reads and writes are made together where they would have to wait.
pub(crate) struct Joined<S: Together> {
    store: Arc<S>,
    gets: Batcher<Gets<S>>,
    puts: Batcher<Puts<S>>,
    /// So many of the next reads are made alone.
    large: Arc<AtomicU32>,
}

struct Gets<S> {
    store: Arc<S>,
    large: Arc<AtomicU32>,
}

struct Puts<S>(Arc<S>);

impl<S: Together> Joined<S> {
    /// Joins what is asked of `store`, where a call may take `timeout`.
    pub(crate) fn new(store: S, timeout: Duration) -> Self {
        let (store, large) = (Arc::new(store), Arc::<AtomicU32>::default());
        let calls = store.step().min(CALLS);
        let limits = Limits { lanes: LANES, calls, bytes: BYTES, patience: PATIENCE, timeout };
        let gets = Gets { store: Arc::clone(&store), large: Arc::clone(&large) };
        Self {
            gets: Batcher::new(store.server(), gets, limits),
            puts: Batcher::new(store.server(), Puts(Arc::clone(&store)), limits),
            store,
            large,
        }
    }

    /// Whether a read is better made alone.
    fn is_large(&self) -> bool {
        let left = self.large.load(Relaxed);
        if left > 0 {
            // A guess, which need not count what happens at the same time.
            self.large.store(left - 1, Relaxed);
        }
        left > 0
    }
}

impl<S: Together> Batch for Gets<S> {
    type Call = String;
    type Answer = Option<Bytes>;

    fn size(key: &String) -> usize {
        key.len()
    }

    async fn one(&self, key: &String) -> Result<Option<Bytes>> {
        self.store.get(key).await
    }

    async fn many(&self, keys: &[String]) -> Result<Vec<Result<Option<Bytes>>>> {
        let found = self.store.get_each(keys, ROOM).await;
        let is_large = match &found {
            Ok(found) => found.iter().flatten().map(Bytes::len).sum::<usize>() > ROOM,
            Err(error) => error.kind() == Kind::TooLarge,
        };
        if is_large {
            self.large.store(LARGE, Relaxed);
        }
        Ok(found?.into_iter().map(Ok).collect())
    }
}

impl<S: Together> Batch for Puts<S> {
    type Call = (String, Bytes);
    type Answer = ();

    fn size((key, value): &(String, Bytes)) -> usize {
        key.len() + value.len()
    }

    async fn one(&self, (key, value): &(String, Bytes)) -> Result<()> {
        self.0.put(key, value.clone()).await
    }

    async fn many(&self, entries: &[(String, Bytes)]) -> Result<Vec<Result<()>>> {
        self.0.put_each(entries).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "what is not forwarded loses a backend's own way")]
impl<S: Together> Store for Joined<S> {
    fn offer(&self) -> &Offer {
        self.store.offer()
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        if self.is_large() {
            return self.store.get(key).await;
        }
        self.gets.call(|| key.to_owned(), || self.store.get(key)).await
    }

    async fn versioned(&self, key: &str) -> Result<Option<Versioned>> {
        self.store.versioned(key).await
    }

    async fn get_many(&self, keys: &[String], most: usize) -> Result<Vec<Option<Bytes>>> {
        self.store.get_many(keys, most).await
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        self.store.exists(key).await
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<()> {
        let entry = || (key.to_owned(), value.clone());
        self.puts.call(entry, || self.store.put(key, value.clone())).await
    }

    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version> {
        self.store.set(key, value, options).await
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>, options: &WriteOptions) -> Result<()> {
        self.store.set_many(entries, options).await
    }

    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()> {
        self.store.delete(key, options).await
    }

    async fn delete_many(&self, keys: &[String], options: &WriteOptions) -> Result<()> {
        self.store.delete_many(keys, options).await
    }

    async fn increment(&self, key: &str, delta: i64, options: &WriteOptions) -> Result<i64> {
        self.store.increment(key, delta, options).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Page> {
        self.store.list(options).await
    }

    async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        self.store.watch(options).await
    }

    async fn destroy(&self) -> Result<()> {
        self.store.destroy().await
    }
}
