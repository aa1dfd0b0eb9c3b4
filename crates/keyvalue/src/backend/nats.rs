//! Entries in NATS: a bucket is a stream of JetStream, and the last message of a subject the entry
//! of a key, as other clients of NATS have it.

mod bucket;
mod index;
mod names;
mod reader;
mod settings;
mod sweep;
mod watch;

use crate::joined::{Joined, Together};
use crate::room::Room;
use crate::{
    Changes, Checked, Expect, ListOptions, Offer, Page, Store, Version, Versioned, WatchOptions,
    WriteOptions, counter, unmet,
};
use async_trait::async_trait;
use base::{Backend, Error, Place, Result};
use bucket::{Bucket, Last};
use bytes::Bytes;
use connect::tls::Trust;
use futures::stream::FuturesOrdered;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use index::Index;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use watch::Watching;

pub(super) use settings::BEST;
pub use settings::Nats;

/// So many keys of a batch are on their way at once.
const BATCH: usize = 64;

impl Backend for Nats {
    type Contract = dyn Store;
    const NAME: &'static str = "nats";
    const SCHEMES: &'static [&'static str] = &["nats", "tls"];
    const EXAMPLE: &'static str = "nats://127.0.0.1:4222";

    fn check(&self) -> Result<(), String> {
        self.connection(Trust::default(), None).map(drop).map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Store>> {
        let (bucket, offer) = self.open_bucket(&place).await?;
        let bucket = Arc::new(bucket);
        let mut tasks = JoinSet::new();
        tasks.spawn(sweep::sweep(Arc::clone(&bucket)));
        let index = Index::new(Arc::clone(&bucket));
        let watching = Watching::new(Arc::clone(&bucket));
        let keys = Keys { bucket, offer, index, watching, _tasks: tasks };
        Ok(Arc::new(Checked::new(Joined::new(keys, self.timeout))))
    }
}

/// The store behind `nats:`.
pub struct Keys {
    bucket: Arc<Bucket>,
    offer: Offer,
    index: Index,
    watching: Watching,
    /// Ends with the store.
    _tasks: JoinSet<()>,
}

/// Writers of one key that hinder each other take turns at random.
struct Contest {
    end: Instant,
    pause: Duration,
}

impl Contest {
    fn new(bucket: &Bucket) -> Self {
        Self { end: Instant::now() + bucket.server.timeout(), pause: Duration::from_millis(1) }
    }

    /// Waits for the next try.
    async fn again(&mut self) -> Result<()> {
        if Instant::now() > self.end {
            return Err(Error::exhausted("too many others write the same key"));
        }
        sleep(self.pause.mul_f64(fastrand::f64())).await;
        self.pause = (self.pause * 2).min(Duration::from_millis(64));
        Ok(())
    }
}

/// Whether what a key has now is what a write expects.
fn check(expect: Option<Expect>, last: Option<&Last>, bucket: &Bucket) -> Result<()> {
    let current = last.filter(|last| last.value.is_some()).map(|last| last.sequence);
    let holds = match expect {
        None => true,
        Some(Expect::Absent) => current.is_none(),
        Some(Expect::Version(version)) => current.is_some() && current == bucket.sequence(&version),
    };
    if holds { Ok(()) } else { Err(unmet()) }
}

impl Keys {
    /// Writes whatever is there.
    async fn replace(&self, key: &str, value: Bytes) -> Result<u64> {
        if !self.bucket.is_replicated
            && let Some(written) = self.bucket.publish(key, Some(value.clone()), None).await?
        {
            return Ok(written);
        }
        // With replicas only what names the message that it replaces has its place among the
        // other writes.
        self.write_after(self.bucket.guess(key), None, key, value).await
    }

    /// Writes after the message with this number; or after the last one, if that is another and
    /// still is as expected.
    async fn write_after(
        &self,
        mut number: u64,
        expect: Option<Expect>,
        key: &str,
        value: Bytes,
    ) -> Result<u64> {
        let mut contest = Contest::new(&self.bucket);
        let mut is_guess = true;
        loop {
            let written = self.bucket.publish(key, Some(value.clone()), Some(number)).await?;
            if let Some(written) = written {
                return Ok(written);
            }
            if !std::mem::take(&mut is_guess) {
                contest.again().await?;
            }
            let last = self.bucket.last(key).await?;
            // The mark of a deletion is no value.
            check(expect, last.as_ref(), &self.bucket)?;
            number = last.map_or(0, |last| last.sequence);
        }
    }
}

#[async_trait]
impl Store for Keys {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.bucket.last(key).await?.and_then(|last| last.value))
    }

    async fn versioned(&self, key: &str) -> Result<Option<Versioned>> {
        let Some(Last { sequence, value: Some(value) }) = self.bucket.last(key).await? else {
            return Ok(None);
        };
        Ok(Some(Versioned { value, version: self.bucket.version(sequence) }))
    }

    async fn get_many(&self, keys: &[String], most: usize) -> Result<Vec<Option<Bytes>>> {
        let (mut values, mut room) = (Vec::with_capacity(keys.len()), Room::new(most));
        for keys in keys.chunks(BATCH) {
            for last in self.bucket.last_of_each(keys).await? {
                let value = last.and_then(|last| last.value);
                room.add(value.as_ref())?;
                values.push(value);
            }
        }
        Ok(values)
    }

    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version> {
        let written = match options.expect {
            None => Some(self.replace(key, value).await?),
            Some(Expect::Absent) => Some(self.write_after(0, options.expect, key, value).await?),
            Some(Expect::Version(version)) => {
                let expected = self.bucket.sequence(&version).ok_or_else(unmet)?;
                self.bucket.publish(key, Some(value), Some(expected)).await?
            }
        };
        written.map(|sequence| self.bucket.version(sequence)).ok_or_else(unmet)
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>, options: &WriteOptions) -> Result<()> {
        let entries: HashMap<String, Bytes> = entries.into_iter().collect();
        let sets: Vec<_> =
            entries.iter().map(|(key, value)| self.set(key, value.clone(), options)).collect();
        stream::iter(sets).buffer_unordered(BATCH).try_for_each(async |_| Ok(())).await
    }

    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()> {
        let mut contest = Contest::new(&self.bucket);
        loop {
            let last = self.bucket.last(key).await?;
            check(options.expect, last.as_ref(), &self.bucket)?;
            let Some(Last { sequence, value: Some(_) }) = last else { return Ok(()) };
            if self.bucket.publish(key, None, Some(sequence)).await?.is_some() {
                return Ok(());
            }
            contest.again().await?;
        }
    }

    async fn delete_many(&self, keys: &[String], options: &WriteOptions) -> Result<()> {
        let deletes: Vec<_> = keys.iter().map(|key| self.delete(key, options)).collect();
        stream::iter(deletes).buffer_unordered(BATCH).try_collect().await
    }

    async fn increment(&self, key: &str, delta: i64, options: &WriteOptions) -> Result<i64> {
        let mut contest = Contest::new(&self.bucket);
        loop {
            let last = self.bucket.last(key).await?;
            check(options.expect, last.as_ref(), &self.bucket)?;
            let before = match last.as_ref().and_then(|last| last.value.as_ref()) {
                Some(value) => counter::read(value)?,
                None => 0,
            };
            let sum = counter::add(before, delta)?;
            let expected = last.map_or(0, |last| last.sequence);
            let value = Bytes::from(sum.to_string());
            if self.bucket.publish(key, Some(value), Some(expected)).await?.is_some() {
                return Ok(sum);
            }
            contest.again().await?;
        }
    }

    async fn list(&self, options: &ListOptions) -> Result<Page> {
        self.index.page(options).await
    }

    async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        self.watching.watch(options).await
    }

    async fn destroy(&self) -> Result<()> {
        self.bucket.destroy().await
    }
}

#[async_trait]
impl Together for Keys {
    fn server(&self) -> &str {
        self.bucket.server.server()
    }

    async fn put_each(&self, entries: &[(String, Bytes)]) -> Result<Vec<Result<()>>> {
        if !self.bucket.is_replicated {
            return self.bucket.publish_each(entries).await;
        }
        let put = async |(key, value): &(String, Bytes)| self.put(key, value.clone()).await;
        Ok(entries.iter().map(put).collect::<FuturesOrdered<_>>().collect().await)
    }
}
