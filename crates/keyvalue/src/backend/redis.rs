//! Entries in Redis: one string for each, written by scripts that keep version, index and fences
//! with it in one step.

mod plain;
mod scripts;
mod settings;
mod together;
mod watch;

use crate::joined::Joined;
use crate::room::{Room, too_large};
use crate::{
    Changes, Checked, Cursor, Expect, ListOptions, Offer, Page, Store, Version, Versioned,
    WatchOptions, WriteOptions, counter, stale_fence, unmet,
};
use async_trait::async_trait;
use base::{Backend, Error, Place, Result};
use bytes::Bytes;
use connect::redis::{Call, Redis as Server};
use connect::tls::Trust;
use plain::Shard;
use redis::{Value, cmd};
use scripts::Script;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

pub(super) use settings::BEST;
pub use settings::Redis;
use watch::Watching;

/// Before each value: the version of the write that stored it.
const VERSION: usize = 16;

/// Longer than this is for ever: the server counts milliseconds since 1970 in 64 bits.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Backend for Redis {
    type Contract = dyn Store;
    const NAME: &'static str = "redis";
    const SCHEMES: &'static [&'static str] = &["redis", "rediss"];
    const EXAMPLE: &'static str = "redis://127.0.0.1:6379";

    fn check(&self) -> Result<(), String> {
        self.connection(Trust::default()).map(drop).map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Store>> {
        let (timeout, is_cluster) = (self.timeout, self.cluster);
        let server = Arc::new(self.connection(self.trust(&place)?)?);
        let shards = self.shards(&place);
        let offer = self.probe(&server, &shards).await?;
        let watching = Watching::new(Arc::clone(&server), Arc::clone(&shards));
        let known = shards.iter().map(|_| Shard::new()).collect();
        let keys = Keys { server, shards, known, offer, watching };
        match is_cluster {
            false => Ok(Arc::new(Checked::new(Joined::new(keys, timeout)))),
            // Batches would go to several servers, and some of them twice: where a slot moves, the
            // client sends all of a batch again.
            true => Ok(Arc::new(Checked::new(keys))),
        }
    }
}

/// The store behind `redis:`.
pub struct Keys {
    server: Arc<Server>,
    /// The hash tags that entries are spread over.
    shards: Arc<[String]>,
    /// What is known of each of them.
    known: Box<[Shard]>,
    offer: Offer,
    watching: Watching,
}

impl Keys {
    /// The number of a key's shard. Which one it is must never change.
    fn index(&self, key: &str) -> usize {
        match self.shards.len() {
            0 | 1 => 0,
            number => {
                let hash = connect::names::digest(key.bytes());
                usize::try_from(hash % number as u64).unwrap_or_default()
            }
        }
    }

    /// The shard of a key.
    fn shard(&self, key: &str) -> &str {
        self.shards.get(self.index(key)).map_or("", String::as_str)
    }

    fn name(&self, key: &str) -> String {
        name_in(self.shard(key), key)
    }

    /// Entries of one shard as of one moment, in the order of the keys. `None`: their values take
    /// more than `most` bytes.
    async fn entries<'a>(
        &self,
        shard: &str,
        keys: impl ExactSizeIterator<Item = &'a str>,
        most: usize,
    ) -> Result<Option<Vec<Option<Vec<u8>>>>> {
        if keys.len().saturating_mul(self.offer.max_value) <= most {
            let mut command = cmd("MGET");
            for key in keys {
                command.arg(name_in(shard, key));
            }
            return self.server.read(&command).await.map(Some);
        }
        let call = Script::GET_MANY.call(&format!("{shard}:i"), shard);
        let call = keys.fold(call.arg(most), Call::arg);
        match call.run(&self.server).await? {
            Value::Int(0) => Ok(None),
            found => redis::from_redis_value(found)
                .map(Some)
                .map_err(|error| Error::corrupt("the entries of the store").with_source(error)),
        }
    }

    /// Writes an entry that need not be told of; whether it was there, or else was not written.
    async fn replace(&self, key: &str, payload: &[u8]) -> Result<bool> {
        let mut command = cmd("SET");
        command.arg(self.name(key)).arg(payload).arg("XX");
        self.server.query(&command).await
    }

    /// Writes what a plain command did not, if it was not there; whether one did.
    async fn finish(
        &self,
        (key, payload): (&str, &[u8]),
        is_there: bool,
        known: &Shard,
    ) -> Result<bool> {
        let is_new = match is_there {
            true => false,
            false => self.write(key, payload.to_vec(), &WriteOptions::default()).await?,
        };
        known.has_written(is_new);
        Ok(is_there)
    }

    /// Tells watchers of an entry that was written plainly, if that took longer than it is known
    /// that there are none.
    async fn tell(&self, key: &str, payload: &[u8], known: &Shard) -> Result<()> {
        if known.is_unwatched() {
            return Ok(());
        }
        let version = payload.get(..VERSION).unwrap_or_default();
        let call = Script::TELL.call(&self.name(key), self.shard(key)).arg(key).arg(version);
        let told = call.run(&self.server).await.map(drop);
        // It was written, whatever keeps watchers from being told.
        told.map_err(|error| match error.kind().leaves_open() {
            true => error,
            false => Error::unavailable("telling watchers of what was written").with_source(error),
        })
    }

    /// Asks whether somebody watches a shard, if that is due.
    async fn ask(&self, shard: &str, known: &Shard) {
        if let Some(question) = known.question()
            && let Ok(answer) = self.server.read(cmd("EXISTS").arg(format!("{shard}:w"))).await
        {
            question.answer(answer);
        }
    }

    /// Writes an entry; whether it was surely not there before.
    async fn write(&self, key: &str, payload: Vec<u8>, options: &WriteOptions) -> Result<bool> {
        let (lock, token) = fence(options);
        let call = Script::SET.call(&self.name(key), self.shard(key));
        let call = call.arg(key).arg(payload).arg(ttl(options)).arg(expectation(options));
        let answer = call.arg(lock).arg(token).run(&self.server).await?;
        outcome(&answer, options)?;
        Ok(answer == Value::Int(2))
    }

    /// Removes keys of one shard in one step.
    async fn remove(&self, shard: &str, keys: &[&str], options: &WriteOptions) -> Result<()> {
        let Some(first) = keys.first() else { return Ok(()) };
        let (lock, token) = fence(options);
        let call = Script::DELETE.call(&self.name(first), shard);
        let call = call.arg(expectation(options)).arg(lock).arg(token).arg(keys);
        outcome(&call.run(&self.server).await?, options)
    }

    /// The keys of each shard that has some of them, in their order.
    fn by_shard<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> &str,
    ) -> Vec<(&str, Vec<T>)> {
        let mut parts: Vec<(&str, Vec<T>)> = Vec::new();
        for item in items {
            let shard = self.shard(key(&item));
            match parts.iter_mut().find(|(other, _)| *other == shard) {
                Some((_, part)) => part.push(item),
                None => parts.push((shard, vec![item])),
            }
        }
        parts
    }
}

/// The name of an entry in its shard.
fn name_in(shard: &str, key: &str) -> String {
    format!("{shard}:k:{key}")
}

/// What a write made of its conditions.
fn outcome(answer: &Value, options: &WriteOptions) -> Result<()> {
    match answer {
        Value::Int(1 | 2) => Ok(()),
        Value::Int(0) => Err(unmet()),
        Value::BulkString(highest) => Err(stale(highest, options)),
        other => Err(strange(other)),
    }
}

fn stale(highest: &[u8], options: &WriteOptions) -> Error {
    let highest = str::from_utf8(highest).ok().and_then(|text| text.parse().ok());
    let token = options.fence.as_ref().map_or(0, |fence| fence.token);
    stale_fence(token, highest.unwrap_or(u64::MAX))
}

fn strange(answer: &Value) -> Error {
    Error::internal(format!("the script answered {answer:?}"))
}

fn split(key: &str, stored: Vec<u8>) -> Result<Versioned> {
    let stored = Bytes::from(stored);
    let Some(version) = stored.get(..VERSION) else {
        return Err(Error::corrupt(format!("the entry of `{key}` was written by somebody else")));
    };
    Ok(Versioned { version: Version::new(version)?, value: stored.slice(VERSION..) })
}

/// A version that no other write has, and the value behind it.
fn payload(value: &[u8]) -> (Version, Vec<u8>) {
    let version = fastrand::u128(..).to_be_bytes();
    let mut payload = Vec::with_capacity(VERSION + value.len());
    payload.extend_from_slice(&version);
    payload.extend_from_slice(value);
    (Version::from(u128::from_be_bytes(version)), payload)
}

fn ttl(options: &WriteOptions) -> String {
    match options.ttl {
        Some(ttl) if ttl < LONGEST => ttl.as_nanos().div_ceil(1_000_000).to_string(),
        _ => String::new(),
    }
}

fn expectation(options: &WriteOptions) -> Vec<u8> {
    match &options.expect {
        None => Vec::new(),
        Some(Expect::Absent) => b"absent".to_vec(),
        // A version of another backend has another length and meets nothing.
        Some(Expect::Version(version)) => version.bytes().to_vec(),
    }
}

/// A lock and its token, as text that compares as the numbers do.
fn fence(options: &WriteOptions) -> (&str, String) {
    options
        .fence
        .as_ref()
        .map_or(("", String::new()), |fence| (fence.lock.as_str(), format!("{:020}", fence.token)))
}

#[async_trait]
impl Store for Keys {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.versioned(key).await?.map(|stored| stored.value))
    }

    async fn versioned(&self, key: &str) -> Result<Option<Versioned>> {
        let stored: Option<Vec<u8>> = self.server.read(cmd("GET").arg(self.name(key))).await?;
        stored.map(|stored| split(key, stored)).transpose()
    }

    async fn get_many(&self, keys: &[String], most: usize) -> Result<Vec<Option<Bytes>>> {
        let (mut values, mut room) = (vec![None; keys.len()], Room::new(most));
        for (shard, part) in self.by_shard(keys.iter().enumerate(), |(_, key)| key.as_str()) {
            let asked = part.iter().map(|(_, key)| key.as_str());
            let Some(found) = self.entries(shard, asked, room.rest()).await? else {
                return Err(too_large(most));
            };
            for ((index, key), found) in part.into_iter().zip(found) {
                let value = found.map(|stored| split(key, stored)).transpose()?;
                let value = value.map(|stored| stored.value);
                room.add(value.as_ref())?;
                if let Some(slot) = values.get_mut(index) {
                    *slot = value;
                }
            }
        }
        Ok(values)
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        self.server.read(cmd("EXISTS").arg(self.name(key))).await
    }

    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version> {
        let (version, payload) = payload(&value);
        let known = self.known.get(self.index(key)).filter(|_| options.asks_for_nothing());
        let Some(known) = known else {
            return self.write(key, payload, options).await.map(|_is_new| version);
        };
        let write = async {
            let is_there = known.is_plain() && self.replace(key, &payload).await?;
            self.finish((key, &payload), is_there, known).await
        };
        // Most of the time there is nothing to ask.
        let (written, ()) = tokio::join!(write, self.ask(self.shard(key), known));
        if written? {
            self.tell(key, &payload, known).await?;
        }
        Ok(version)
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>, options: &WriteOptions) -> Result<()> {
        for (shard, part) in self.by_shard(entries, |(key, _)| key.as_str()) {
            let Some((first, _)) = part.first() else { continue };
            let (lock, token) = fence(options);
            let call = Script::SET_MANY.call(&self.name(first), shard);
            let mut call = call.arg(ttl(options)).arg(lock).arg(token);
            for (key, value) in &part {
                call = call.arg(key).arg(payload(value).1);
            }
            outcome(&call.run(&self.server).await?, options)?;
        }
        Ok(())
    }

    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()> {
        self.remove(self.shard(key), &[key], options).await
    }

    async fn delete_many(&self, keys: &[String], options: &WriteOptions) -> Result<()> {
        for (shard, part) in self.by_shard(keys.iter().map(String::as_str), |key| key) {
            self.remove(shard, &part, options).await?;
        }
        Ok(())
    }

    async fn increment(&self, key: &str, delta: i64, options: &WriteOptions) -> Result<i64> {
        let (_, version) = payload(b"");
        let (lock, token) = fence(options);
        let call = Script::INCREMENT.call(&self.name(key), self.shard(key));
        let call = call.arg(key).arg(version).arg(delta.to_string()).arg(ttl(options));
        let call = call.arg(expectation(options)).arg(lock).arg(token);
        let answer = call.run(&self.server).await?;
        let words = match &answer {
            Value::Array(words) => words.as_slice(),
            _ => &[],
        };
        let (word, rest) = match words {
            [Value::BulkString(word)] => (word.as_slice(), &b""[..]),
            [Value::BulkString(word), Value::BulkString(rest)] => (word.as_slice(), &rest[..]),
            _ => return Err(strange(&answer)),
        };
        let text = String::from_utf8_lossy(rest);
        match word {
            b"sum" => text.parse().ok().ok_or_else(|| strange(&answer)),
            b"unmet" => Err(unmet()),
            b"stale" => Err(stale(rest, options)),
            b"text" => Err(counter::none()),
            b"overflow" => Err(counter::overflow(text, delta)),
            _ => Err(strange(&answer)),
        }
    }

    async fn list(&self, options: &ListOptions) -> Result<Page> {
        let Some((first, last)) = bounds(options) else { return Ok(Page::default()) };
        let limit = options.limit.min(ListOptions::LIMIT);
        let mut keys = Vec::new();
        // Beyond the least of these not every shard was looked at.
        let mut seen: Option<String> = None;
        for shard in &*self.shards {
            let call = Script::LIST.call(&format!("{shard}:i"), shard);
            let answer = call.arg(&first).arg(&last).arg(limit).run(&self.server).await?;
            let found: Vec<String> = redis::from_redis_value(answer)
                .map_err(|error| Error::corrupt("the keys of the store").with_source(error))?;
            let mut found = found.into_iter();
            let more = found.next().filter(|last| !last.is_empty());
            keys.extend(found);
            seen = match (seen, more) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        keys.sort_unstable();
        if let Some(seen) = &seen {
            keys.retain(|key| key <= seen);
        }
        let next = match keys.len() > limit {
            true => {
                keys.truncate(limit);
                keys.last().cloned()
            }
            false => seen,
        };
        Ok(Page { keys, next: next.map(Cursor) })
    }

    async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        self.watching.watch(options).await
    }

    async fn destroy(&self) -> Result<()> {
        for shard in &*self.shards {
            loop {
                let call = Script::DESTROY.call(&format!("{shard}:i"), shard);
                match call.arg(ListOptions::LIMIT).run(&self.server).await? {
                    Value::Int(0) => break,
                    _ => tokio::task::yield_now().await,
                }
            }
        }
        self.server.query(cmd("DEL").arg(settings::shards_name(&self.shards))).await
    }
}

/// The bounds of a listing, as `ZRANGE … BYLEX` takes them.
fn bounds(options: &ListOptions) -> Option<(Vec<u8>, Vec<u8>)> {
    let (first, last) = options.bounds()?;
    let first = match first {
        Bound::Included(key) => [b"[", key.as_bytes()].concat(),
        Bound::Excluded(key) => [b"(", key.as_bytes()].concat(),
        Bound::Unbounded => b"-".to_vec(),
    };
    // No UTF-8 has this byte, so it stands behind everything that begins with the prefix.
    let prefix = [options.prefix.as_bytes(), b"\xff"].concat();
    let last = match last {
        Bound::Included(key) | Bound::Excluded(key) => prefix.min(key.as_bytes().to_vec()),
        Bound::Unbounded => prefix,
    };
    Some((first, [b"(", last.as_slice()].concat()))
}
