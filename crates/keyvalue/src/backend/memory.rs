//! Entries in this process's memory, gone when it ends.

use crate::Best;
use crate::local::{Alarm, Clock, Hub, Openings, Stored, Table, incarnation, page, rules};
use crate::{
    Changes, Checked, Fence, Levels, ListOptions, Offer, Page, Store, Version, Versioned,
    WatchOptions, WriteOptions,
};
use async_trait::async_trait;
use base::offer::{self, Atomicity, Consistency, Durability, List, Ttl, Watch};
use base::units::Size;
use base::{Backend, Error, Place, Result};
use bytes::Bytes;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

/// What an entry costs besides its key and its value, about.
const OVERHEAD: usize = 128;
/// So many entries that are over leave with each write.
const SWEPT: usize = 4;

/// `memory:` — entries in this process's memory.
///
/// They survive a reload of the deployment file, not the end of the process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Memory {
    /// `memory:`
    pub url: String,
    /// The most that keys and values may take. Default `"256MiB"`.
    #[serde(default = "Memory::max_size")]
    pub max_size: Size,
}

impl Memory {
    fn max_size() -> Size {
        Size(256 << 20)
    }

    /// An empty store of its own that takes the time from `clock`.
    pub fn store(&self, clock: Clock) -> Checked<Map> {
        let incarnation = incarnation();
        let state = State {
            clock,
            incarnation,
            sequence: 0,
            limit: self.max_size.bytes(),
            size: 0,
            entries: BTreeMap::new(),
            ends: BTreeSet::new(),
            tokens: HashMap::new(),
            hub: Hub::new(incarnation, true),
        };
        Checked::new(Map(Arc::new(RwLock::new(state))))
    }
}

impl Backend for Memory {
    type Contract = dyn Store;
    const NAME: &'static str = "memory";
    const SCHEMES: &'static [&'static str] = &["memory"];
    const EXAMPLE: &'static str = "memory:";

    fn check(&self) -> Result<(), String> {
        match self.url.as_str() {
            "memory:" => Ok(()),
            _ => Err("nothing comes after `memory:`".to_owned()),
        }
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Store>> {
        static OPEN: Openings<[String; 3], Checked<Map>> = Openings::new();
        let data = place.data.to_string_lossy().into_owned();
        let key = [data, place.app, place.binding];
        let open = |_| Ok::<_, Infallible>(Arc::new(self.store(Clock::System)));
        let Ok(store) = OPEN.find_or(key, open);
        store.inner().write().limit = self.max_size.bytes();
        Ok(store)
    }
}

/// The store behind `memory:`.
pub struct Map(Arc<RwLock<State>>);

/// What it offers, always.
pub(super) const BEST: Best = Best {
    backend: Memory::NAME,
    levels: Levels {
        durability: Durability::None,
        atomicity: Atomicity::Binding,
        ttl: Ttl::Milliseconds,
        list: List::Ordered,
        watch: Watch::Resumable,
        fence: offer::Fence::SingleNode,
        consistency: Consistency::Linearizable,
    },
    lowered: &[],
    emulated: &[],
};

static OFFER: Offer = Offer {
    backend: std::borrow::Cow::Borrowed("memory"),
    levels: BEST.levels,
    max_key: Offer::MAX_KEY,
    max_value: Offer::MAX_VALUE,
    emulated: Vec::new(),
};

struct State {
    clock: Clock,
    incarnation: u64,
    sequence: u64,
    limit: usize,
    size: usize,
    entries: BTreeMap<Arc<str>, Stored>,
    /// When entries end, of those that do.
    ends: BTreeSet<(u64, Arc<str>)>,
    tokens: HashMap<String, u64>,
    hub: Arc<Hub>,
}

impl Map {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.sweep(SWEPT);
        state
    }
}

#[async_trait]
impl Store for Map {
    fn offer(&self) -> &Offer {
        &OFFER
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.read().live(key).map(|stored| stored.value.clone()))
    }

    async fn versioned(&self, key: &str) -> Result<Option<Versioned>> {
        Ok(self.read().live(key).map(|stored| Versioned {
            value: stored.value.clone(),
            version: Version::from(stored.version),
        }))
    }

    async fn get_many(&self, keys: &[String], _most: usize) -> Result<Vec<Option<Bytes>>> {
        // They are all held already.
        let state = self.read();
        let value = |key: &String| state.live(key).map(|stored| stored.value.clone());
        Ok(keys.iter().map(value).collect())
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.read().live(key).is_some())
    }

    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version> {
        rules::set(&mut *self.write(), key, value, options)
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>, options: &WriteOptions) -> Result<()> {
        rules::set_many(&mut *self.write(), entries, options)
    }

    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()> {
        rules::delete(&mut *self.write(), key, options)
    }

    async fn delete_many(&self, keys: &[String], options: &WriteOptions) -> Result<()> {
        rules::delete_many(&mut *self.write(), keys, options)
    }

    async fn increment(&self, key: &str, delta: i64, options: &WriteOptions) -> Result<i64> {
        rules::increment(&mut *self.write(), key, delta, options)
    }

    async fn list(&self, options: &ListOptions) -> Result<Page> {
        let Some(bounds) = options.bounds() else { return Ok(Page::default()) };
        let state = self.read();
        let now = state.clock.now();
        let keys = state
            .entries
            .range::<str, _>(bounds)
            .take_while(|(key, _)| key.starts_with(&options.prefix))
            .filter(|(_, stored)| stored.expires > now)
            .map(|(key, _)| Ok(key.as_ref().to_owned()));
        page(keys, options)
    }

    async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        let alarm: Weak<dyn Alarm> = Arc::downgrade(&(Arc::clone(&self.0) as Arc<dyn Alarm>));
        // Under the lock, so that no write falls between.
        let state = self.write();
        Ok(state.hub.watch(options, Some(alarm)))
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        self.read().hub.close();
    }
}

impl State {
    fn live(&self, key: &str) -> Option<&Stored> {
        let stored = self.entries.get(key)?;
        (stored.expires == Stored::NEVER || stored.expires > self.clock.now()).then_some(stored)
    }

    /// Removes at most `most` entries that are over.
    fn sweep(&mut self, most: usize) {
        if self.ends.is_empty() {
            return;
        }
        let now = self.clock.now();
        for _ in 0..most {
            match self.ends.first() {
                Some((end, key)) if *end <= now => {
                    let key = Arc::clone(key);
                    self.remove(&key);
                }
                _ => break,
            }
        }
    }

    /// Takes an entry out of everything that counts it.
    fn forget(&mut self, key: &str) -> Option<Arc<str>> {
        let (key, stored) = self.entries.remove_entry(key)?;
        self.size -= cost(&key, stored.value.len());
        if stored.expires != Stored::NEVER {
            self.ends.remove(&(stored.expires, Arc::clone(&key)));
        }
        Some(key)
    }

    fn publish(&mut self, key: Arc<str>, value: Option<(Bytes, u128)>) {
        self.hub.publish(self.hub.record(self.sequence, key, value));
    }

    /// What the table takes once `entries` are in it.
    fn size_with(&self, entries: &[(&str, usize)]) -> usize {
        entries.iter().fold(self.size, |size, (key, length)| {
            let before = self.entries.get(*key).map_or(0, |stored| cost(key, stored.value.len()));
            size + cost(key, *length) - before
        })
    }
}

impl Table for State {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn deadline(&self, options: &WriteOptions) -> u64 {
        options.ttl.map_or(Stored::NEVER, |ttl| self.clock.deadline(ttl))
    }

    fn find(&self, key: &str) -> Result<Option<Stored>> {
        Ok(self.entries.get(key).cloned())
    }

    fn admit(&mut self, entries: &[(&str, usize)]) -> Result<()> {
        if self.size_with(entries) > self.limit {
            self.sweep(usize::MAX);
        }
        if self.size_with(entries) > self.limit {
            let limit = Size(self.limit as u64);
            return Err(Error::exhausted(format!("the store is full: it may take {limit}")));
        }
        Ok(())
    }

    fn put(&mut self, key: &str, value: Bytes, expires: u64) -> Version {
        let key = self.forget(key).unwrap_or_else(|| Arc::from(key));
        self.sequence += 1;
        let version = u128::from(self.incarnation) << 64 | u128::from(self.sequence);
        self.size += cost(&key, value.len());
        if expires != Stored::NEVER {
            self.ends.insert((expires, Arc::clone(&key)));
        }
        self.publish(Arc::clone(&key), Some((value.clone(), version)));
        self.entries.insert(key, Stored { value, version, expires });
        Version::from(version)
    }

    fn remove(&mut self, key: &str) {
        if let Some(key) = self.forget(key) {
            self.sequence += 1;
            self.publish(key, None);
        }
    }

    fn token(&self, lock: &str) -> Result<Option<u64>> {
        Ok(self.tokens.get(lock).copied())
    }

    fn keep_token(&mut self, fence: &Fence) {
        if self.tokens.insert(fence.lock.clone(), fence.token).is_none() {
            self.size += cost(&fence.lock, 0);
        }
    }
}

impl Alarm for RwLock<State> {
    fn next(&self) -> Option<Duration> {
        let state = self.read().unwrap_or_else(PoisonError::into_inner);
        let (end, _) = state.ends.first()?;
        Some(Duration::from_millis(end.saturating_sub(state.clock.now())))
    }

    fn ring(&self) {
        self.write().unwrap_or_else(PoisonError::into_inner).sweep(usize::MAX);
    }
}

fn cost(key: &str, value: usize) -> usize {
    OVERHEAD + key.len() + value
}
