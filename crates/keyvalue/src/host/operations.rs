//! What a guest can ask of a bucket, once for every draft.

use super::{Bucket, KeyValue};
use crate::room::Room;
use crate::{Cursor, Expect, ListOptions, Page, Store, Version, Versioned, WriteOptions, is_unmet};
use base::{Error, Result as Answer};
use bytes::Bytes;
use engine::{Calls, Capability as _, Failure, View};
use engine::{Charge, Held};
use std::sync::Arc;
use wasmtime::component::Resource;

pub(super) type Host<'a> = View<'a, KeyValue>;
pub(super) type Result<T> = std::result::Result<T, Failure>;
type Handle = Resource<Bucket>;

/// So many keys are read at once.
const CHUNK: usize = 1024;

/// How often a compare-and-swap begins again because another write came first.
pub(super) const ATTEMPTS: usize = 32;

pub(super) fn open(host: &mut Host<'_>, name: &str) -> Result<Handle> {
    let store = Arc::clone(host.state.stores.open(name)?);
    Ok(host.table.push(Bucket::new(store, name))?)
}

pub(super) fn close(host: &mut Host<'_>, bucket: Handle) -> wasmtime::Result<()> {
    host.table.delete(bucket)?;
    Ok(())
}

/// A bucket as calls reach it. It borrows nothing of the instance, so an instance that can wait for
/// several calls has several of them.
pub(super) struct Client {
    store: Arc<dyn Store>,
    name: Arc<str>,
    calls: Calls,
    held: Held,
}

impl Client {
    pub(super) fn of(host: &Host<'_>, bucket: &Handle) -> wasmtime::Result<Self> {
        let Bucket { store, name } = host.table.get(bucket)?;
        let (store, name) = (Arc::clone(store), Arc::clone(name));
        Ok(Self { store, name, calls: host.calls().clone(), held: host.state.held.clone() })
    }

    /// The store itself.
    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Draws on what the host may keep for the instance.
    pub(super) fn hold(&self, bytes: usize) -> Answer<Charge> {
        self.held.take(bytes)
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Answer<T>>,
    ) -> Answer<T> {
        let outcome = self.calls.run(KeyValue::NAME, operation, call).await;
        outcome.map_err(|error| error.of_binding(&self.name))
    }

    pub(super) async fn get(&self, key: &str) -> Answer<Option<Bytes>> {
        self.call("get", self.store.get(key)).await
    }

    pub(super) async fn versioned(&self, key: &str) -> Answer<Option<Versioned>> {
        self.call("versioned", self.store.versioned(key)).await
    }

    pub(super) async fn put(&self, key: &str, value: Bytes) -> Answer<()> {
        self.call("set", self.store.put(key, value)).await
    }

    pub(super) async fn set(
        &self,
        key: &str,
        value: Bytes,
        options: &WriteOptions,
    ) -> Answer<Version> {
        self.call("set", self.store.set(key, value, options)).await
    }

    pub(super) async fn delete(&self, key: &str) -> Answer<()> {
        self.call("delete", self.store.delete(key, &WriteOptions::default())).await
    }

    pub(super) async fn exists(&self, key: &str) -> Answer<bool> {
        self.call("exists", self.store.exists(key)).await
    }

    /// A page of the keys that begin with `prefix`.
    pub(super) async fn list(&self, prefix: String, after: Option<Cursor>) -> Answer<Page> {
        let options = ListOptions { prefix, after, ..ListOptions::default() };
        self.call("list", self.store.list(&options)).await
    }

    /// Every key, for the draft that knows no pages.
    pub(super) async fn keys(&self) -> Answer<Vec<String>> {
        let mut answer = Parts::new(&self.held)?;
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = self.list(String::new(), after).await?;
            answer.add(page.keys.iter().map(|key| key.len() + size_of::<String>()).sum())?;
            keys.extend(page.keys);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(keys),
            }
        }
    }

    /// One answer per key, in their order.
    pub(super) async fn get_many(&self, keys: &[String]) -> Answer<Vec<Option<Bytes>>> {
        let mut answer = Parts::new(&self.held)?;
        let mut values = Vec::new();
        for keys in keys.chunks(CHUNK) {
            let chunk =
                self.call("get-many", self.store.get_many(keys, answer.room.rest())).await?;
            answer.add(chunk.iter().flatten().map(Bytes::len).sum())?;
            values.extend(chunk);
        }
        Ok(values)
    }

    /// [`get_many`](Self::get_many) with each key beside its value.
    pub(super) async fn get_pairs(
        &self,
        keys: Vec<String>,
    ) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        let values = self.get_many(&keys).await?;
        let pair = |(key, value): (String, Option<Bytes>)| Some((key, Vec::from(value?)));
        Ok(keys.into_iter().zip(values).map(pair).collect())
    }

    pub(super) async fn set_many(&self, entries: Vec<(String, Bytes)>) -> Answer<()> {
        self.call("set-many", self.store.set_many(entries, &WriteOptions::default())).await
    }

    /// [`set_many`](Self::set_many) as the interfaces hand it over.
    pub(super) async fn set_pairs(&self, entries: Vec<(String, Vec<u8>)>) -> Answer<()> {
        let entries = entries.into_iter().map(|(key, value)| (key, Bytes::from(value)));
        self.set_many(entries.collect()).await
    }

    pub(super) async fn delete_many(&self, keys: &[String]) -> Answer<()> {
        self.call("delete-many", self.store.delete_many(keys, &WriteOptions::default())).await
    }

    pub(super) async fn increment(&self, key: &str, delta: i64) -> Answer<i64> {
        let options = WriteOptions::default();
        self.call("increment", self.store.increment(key, delta, &options)).await
    }

    /// [`increment`](Self::increment) for the drafts whose numbers have no sign.
    pub(super) async fn count(&self, key: &str, delta: u64) -> Answer<u64> {
        let delta = signed(delta)?;
        let sum = self.increment(key, delta).await?;
        if let Ok(sum) = u64::try_from(sum) {
            return Ok(sum);
        }
        // Only others can have made it negative. Reading it first would cost every caller a second
        // trip for the sake of this one.
        self.increment(key, -delta).await?;
        Err(Error::invalid(format!("the sum is {sum}, and this interface has no negative numbers")))
    }

    /// Writes the number `new` if the one at `key` is `old`, and says whether it did.
    ///
    /// An absent key has no number, so it never matches: "if the key does not exist in the store,
    /// it returns `Ok(false)`". A value that is no number is an error, as for
    /// [`increment`](Self::increment).
    pub(super) async fn compare_and_swap(&self, key: &str, old: u64, new: u64) -> Answer<bool> {
        let (old, new) = (signed(old)?, signed(new)?);
        for _ in 0..ATTEMPTS {
            let Some(found) = self.versioned(key).await? else { return Ok(false) };
            if number(&found.value)? != old {
                return Ok(false);
            }
            match self.add_if(key, new - old, found.version).await {
                Ok(_) => return Ok(true),
                Err(error) if is_unmet(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(outrun())
    }

    /// Adds to the number that has this version. Unlike a write it keeps the time to live.
    async fn add_if(&self, key: &str, delta: i64, version: Version) -> Answer<i64> {
        let options = WriteOptions::expecting(Expect::Version(version));
        self.call("compare-and-swap", self.store.increment(key, delta, &options)).await
    }
}

/// The error of a compare-and-swap that began again too often.
pub(super) fn outrun() -> Error {
    Error::conflict("other writes always came first")
}

fn number(value: &[u8]) -> Answer<i64> {
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::invalid("the value is no number"))
}

fn signed(number: u64) -> Answer<i64> {
    let too_large =
        || Error::invalid(format!("{number} is too large: counters end at {}", i64::MAX));
    i64::try_from(number).ok().ok_or_else(too_large)
}

/// The room that one answer with many parts has.
struct Parts {
    room: Room,
    /// Answers that grow at the same time share what the instance has.
    charge: Charge,
}

impl Parts {
    fn new(held: &Held) -> Answer<Self> {
        Ok(Self { room: Room::new(held.limit()), charge: held.take(0)? })
    }

    fn add(&mut self, bytes: usize) -> Answer<()> {
        self.room.take(bytes)?;
        self.charge.grow(bytes)
    }
}
