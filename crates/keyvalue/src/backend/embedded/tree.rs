//! The store behind `embedded:`.

use super::Embedded;
use super::core::Core;
use super::writer::Writer;
use crate::Best;
use crate::local::{Clock, Held, Stored, lock, page, rules};
use crate::room::Room;
use crate::{
    Changes, Levels, ListOptions, Offer, Page, Store, Version, Versioned, WatchOptions,
    WriteOptions,
};
use async_trait::async_trait;
use base::embedded::Opener;
use base::offer::{self, Atomicity, Consistency, Fence, List, Ttl, Watch};
use base::{Backend as _, Error, Result};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// With strict writes.
pub(in crate::backend) const BEST: Best = Best {
    backend: Embedded::NAME,
    levels: Levels {
        durability: offer::Durability::Fsync,
        atomicity: Atomicity::Binding,
        ttl: Ttl::Milliseconds,
        list: List::Ordered,
        watch: Watch::BestEffort,
        fence: Fence::SingleNode,
        consistency: Consistency::Linearizable,
    },
    lowered: &[("durability", "none with `durability = \"relaxed\"`")],
    emulated: &[],
};

const fn offer(durability: offer::Durability) -> Offer {
    Offer {
        backend: Cow::Borrowed("embedded"),
        levels: Levels { durability, ..BEST.levels },
        max_key: Offer::MAX_KEY,
        max_value: Offer::MAX_VALUE,
        emulated: Vec::new(),
    }
}

static STRICT: Offer = offer(offer::Durability::Fsync);
/// A crash takes the last writes along, so nothing can be promised.
static RELAXED: Offer = offer(offer::Durability::None);

/// The store behind `embedded:`. Closes its file when dropped, with everything written.
pub struct Tree {
    core: Arc<Core>,
    settings: Embedded,
    writer: Option<JoinHandle<()>>,
    /// Let go after the file is closed.
    _held: Option<Held>,
}

impl Tree {
    pub(super) fn open(
        settings: &Embedded,
        name: String,
        opener: Opener,
        clock: Clock,
        held: Option<Held>,
    ) -> Result<Self> {
        let core = Arc::new(Core::new(name, clock, settings.durability));
        let interval = settings.flush_interval;
        let writer = Writer::open(Arc::clone(&core), opener, settings.cache, interval)?;
        let writer = std::thread::Builder::new()
            .name("keyvalue writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::unavailable("starting a thread").with_source(error))?;
        Ok(Self { core, settings: settings.clone(), writer: Some(writer), _held: held })
    }

    /// Whether it was opened with these settings, as far as callers can tell.
    pub(super) fn is_like(&self, settings: &Embedded) -> bool {
        let told = |s: &Embedded| (s.durability, s.flush_interval);
        told(&self.settings) == told(settings)
    }

    /// How many commits there were. Writes that come together share one.
    pub fn commits(&self) -> u64 {
        self.core.commits.load(Ordering::Relaxed)
    }

    fn live(&self, key: &str) -> Result<Option<Stored>> {
        let over = |stored: &Stored| {
            stored.expires != Stored::NEVER && stored.expires <= self.core.clock.now()
        };
        Ok(self.core.find(key)?.filter(|stored| !over(stored)))
    }
}

#[async_trait]
impl Store for Tree {
    fn offer(&self) -> &Offer {
        if self.core.is_strict() { &STRICT } else { &RELAXED }
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.live(key)?.map(|stored| stored.value))
    }

    async fn versioned(&self, key: &str) -> Result<Option<Versioned>> {
        Ok(self.live(key)?.map(|stored| Versioned {
            value: stored.value,
            version: Version::from(stored.version),
        }))
    }

    async fn get_many(&self, keys: &[String], most: usize) -> Result<Vec<Option<Bytes>>> {
        let now = self.core.clock.now();
        // Values from the layers and a snapshot of the same moment.
        let front = lock(&self.core.front);
        let layered: Vec<Option<Option<Stored>>> = match self.core.is_strict() {
            true => Vec::new(),
            false => keys.iter().map(|key| front.find(key).cloned()).collect(),
        };
        let snapshot = self.core.committed()?;
        drop(front);
        let layered = layered.into_iter().chain(std::iter::repeat(None));
        let mut room = Room::new(most);
        keys.iter()
            .zip(layered)
            .map(|(key, layered)| {
                let found = layered.map_or_else(|| snapshot.find(key), Ok)?;
                let value = found.filter(|stored| stored.expires > now).map(|stored| stored.value);
                room.add(value.as_ref())?;
                Ok(value)
            })
            .collect()
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.live(key)?.is_some())
    }

    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version> {
        self.core.write(|table| rules::set(table, key, value, options)).await
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>, options: &WriteOptions) -> Result<()> {
        self.core.write(|table| rules::set_many(table, entries, options)).await
    }

    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()> {
        self.core.write(|table| rules::delete(table, key, options)).await
    }

    async fn delete_many(&self, keys: &[String], options: &WriteOptions) -> Result<()> {
        self.core.write(|table| rules::delete_many(table, keys, options)).await
    }

    async fn increment(&self, key: &str, delta: i64, options: &WriteOptions) -> Result<i64> {
        self.core.write(|table| rules::increment(table, key, delta, options)).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Page> {
        let Some(bounds) = options.bounds() else { return Ok(Page::default()) };
        let now = self.core.clock.now();
        let prefix = options.prefix.as_str();
        if self.core.is_strict() {
            return page(self.core.committed()?.keys(bounds, prefix, now)?, options);
        }
        // Held over the page, because the three have to be of one moment.
        let front = lock(&self.core.front);
        let committed = self.core.committed()?;
        let unlayered = |key: &Result<String>| match key {
            Ok(key) => front.find(key).is_none(),
            Err(_) => true,
        };
        let committed = committed.keys(bounds, prefix, now)?.filter(unlayered);
        let active = front.active.keys(bounds, prefix, now);
        let inactive = |key: &Result<String>| match key {
            Ok(key) => !front.active.entries.contains_key(key.as_str()),
            Err(_) => true,
        };
        let flushing = front.flushing.iter().flat_map(|layer| layer.keys(bounds, prefix, now));
        let flushing = flushing.filter(inactive);
        page(merge(committed, merge(flushing, active)), options)
    }

    async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        Ok(self.core.hub.watch(options, None))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        lock(&self.core.front).closing = true;
        self.core.work.notify_one();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(store = self.core.name, "the writer panicked");
        }
    }
}

/// Two orders of keys as one. No key is in both.
fn merge(
    one: impl Iterator<Item = Result<String>>,
    other: impl Iterator<Item = Result<String>>,
) -> impl Iterator<Item = Result<String>> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(Ok(key)), Some(Ok(before))) if key > before => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}
