//! What a guest can ask of a bucket, once for every draft.

use super::{Bucket, KeyValue};
use crate::{Cursor, Expect, ListOptions, Page, Store, Version, WriteOptions, is_unmet};
use base::{Error, Result as Answer};
use bytes::Bytes;
use engine::{Failure, View};
use std::sync::Arc;
use wasmtime::component::Resource;

pub(super) type Host<'a> = View<'a, KeyValue>;
pub(super) type Result<T> = std::result::Result<T, Failure>;
type Handle = Resource<Bucket>;

/// So many keys are read at once: what many values take is known before more of them are read.
const CHUNK: usize = 32;

/// How often a compare-and-swap of numbers begins again because another write came first.
const ATTEMPTS: usize = 32;

pub(super) fn open(host: &mut Host<'_>, name: &str) -> Result<Handle> {
    let store = Arc::clone(host.state.stores.open(name)?);
    Ok(host.table.push(Bucket(store))?)
}

/// The store behind a bucket.
pub(super) fn store(host: &Host<'_>, bucket: &Handle) -> Result<Arc<dyn Store>> {
    Ok(Arc::clone(&host.table.get(bucket)?.0))
}

pub(super) fn close(host: &mut Host<'_>, bucket: Handle) -> wasmtime::Result<()> {
    host.table.delete(bucket)?;
    Ok(())
}

pub(super) async fn get(host: &mut Host<'_>, bucket: &Handle, key: &str) -> Result<Option<Bytes>> {
    let store = store(host, bucket)?;
    Ok(host.call("get", store.get(key)).await?)
}

pub(super) async fn set(
    host: &mut Host<'_>,
    bucket: &Handle,
    key: &str,
    value: Bytes,
) -> Result<()> {
    let store = store(host, bucket)?;
    let _version = host.call("set", store.set(key, value, &WriteOptions::default())).await?;
    Ok(())
}

pub(super) async fn delete(host: &mut Host<'_>, bucket: &Handle, key: &str) -> Result<()> {
    let store = store(host, bucket)?;
    Ok(host.call("delete", store.delete(key, &WriteOptions::default())).await?)
}

pub(super) async fn exists(host: &mut Host<'_>, bucket: &Handle, key: &str) -> Result<bool> {
    let store = store(host, bucket)?;
    Ok(host.call("exists", store.exists(key)).await?)
}

pub(super) async fn list(
    host: &mut Host<'_>,
    store: &Arc<dyn Store>,
    after: Option<Cursor>,
) -> Result<Page> {
    let options = ListOptions { after, ..ListOptions::default() };
    Ok(host.call("list", store.list(&options)).await?)
}

/// Every key, for the draft that knows no pages.
pub(super) async fn keys(host: &mut Host<'_>, bucket: &Handle) -> Result<Vec<String>> {
    let store = store(host, bucket)?;
    let mut answer = Room::new(host);
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = list(host, &store, after).await?;
        answer.add(page.keys.iter().map(|key| key.len() + size_of::<String>()).sum())?;
        keys.extend(page.keys);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(keys),
        }
    }
}

/// One answer per key, in their order.
pub(super) async fn get_many(
    host: &mut Host<'_>,
    bucket: &Handle,
    keys: &[String],
) -> Result<Vec<Option<Bytes>>> {
    let store = store(host, bucket)?;
    let mut answer = Room::new(host);
    let mut values = Vec::new();
    for keys in keys.chunks(CHUNK) {
        let chunk = host.call("get-many", store.get_many(keys)).await?;
        answer.add(chunk.iter().flatten().map(Bytes::len).sum())?;
        values.extend(chunk);
    }
    Ok(values)
}

pub(super) async fn set_many(
    host: &mut Host<'_>,
    bucket: &Handle,
    entries: Vec<(String, Bytes)>,
) -> Result<()> {
    let store = store(host, bucket)?;
    Ok(host.call("set-many", store.set_many(entries, &WriteOptions::default())).await?)
}

pub(super) async fn delete_many(
    host: &mut Host<'_>,
    bucket: &Handle,
    keys: &[String],
) -> Result<()> {
    let store = store(host, bucket)?;
    Ok(host.call("delete-many", store.delete_many(keys, &WriteOptions::default())).await?)
}

pub(super) async fn increment(
    host: &mut Host<'_>,
    bucket: &Handle,
    key: &str,
    delta: i64,
) -> Result<i64> {
    let store = store(host, bucket)?;
    Ok(host.call("increment", store.increment(key, delta, &WriteOptions::default())).await?)
}

/// [`increment`] for the drafts whose numbers have no sign.
pub(super) async fn count(
    host: &mut Host<'_>,
    bucket: &Handle,
    key: &str,
    delta: u64,
) -> Result<u64> {
    let delta = signed(delta)?;
    let sum = increment(host, bucket, key, delta).await?;
    if let Ok(sum) = u64::try_from(sum) {
        return Ok(sum);
    }
    // Only others can have made it negative. Reading it first would cost every caller a second
    // trip for the sake of this one.
    increment(host, bucket, key, -delta).await?;
    Err(Error::invalid(format!("the sum is {sum}, and this interface has no negative numbers"))
        .into())
}

/// Writes the number `new` if the one at `key` is `old`, and says whether it did.
///
/// An absent key has no number, so it never matches: "if the key does not exist in the store, it
/// returns `Ok(false)`". A value that is no number is an error, as for [`increment`].
pub(super) async fn compare_and_swap(
    host: &mut Host<'_>,
    bucket: &Handle,
    key: &str,
    old: u64,
    new: u64,
) -> Result<bool> {
    let store = store(host, bucket)?;
    let (old, new) = (signed(old)?, signed(new)?);
    for _ in 0..ATTEMPTS {
        let Some(found) = host.call("compare-and-swap", store.versioned(key)).await? else {
            return Ok(false);
        };
        if number(&found.value)? != old {
            return Ok(false);
        }
        match add_if(host, &store, key, new - old, found.version).await {
            Ok(_) => return Ok(true),
            Err(error) if is_unmet(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::conflict("other writes always came first").into())
}

/// Adds to the number that has this version. Unlike a write it keeps the time to live.
async fn add_if(
    host: &mut Host<'_>,
    store: &Arc<dyn Store>,
    key: &str,
    delta: i64,
    version: Version,
) -> Answer<i64> {
    let options = WriteOptions::expecting(Expect::Version(version));
    host.call("compare-and-swap", store.increment(key, delta, &options)).await
}

/// Each key beside its value, as the answer of `get-many` has it.
pub(super) fn pairs(
    keys: Vec<String>,
    values: Vec<Option<Bytes>>,
) -> Vec<Option<(String, Vec<u8>)>> {
    let pair = |(key, value): (String, Option<Bytes>)| Some((key, Vec::from(value?)));
    keys.into_iter().zip(values).map(pair).collect()
}

/// The argument of `set-many` as the contract has it.
pub(super) fn entries(entries: Vec<(String, Vec<u8>)>) -> Vec<(String, Bytes)> {
    entries.into_iter().map(|(key, value)| (key, Bytes::from(value))).collect()
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
struct Room {
    limit: usize,
    used: usize,
}

impl Room {
    fn new(host: &Host<'_>) -> Self {
        Self { limit: host.state.held.limit(), used: 0 }
    }

    fn add(&mut self, bytes: usize) -> Answer<()> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.limit {
            let limit = base::units::Size(self.limit as u64);
            return Err(Error::too_large(format!("the answer takes over {limit}"))
                .with_hint("ask for fewer keys at once"));
        }
        Ok(())
    }
}
