//! Entries in etcd: one key for each, written by transactions that check versions and fences.

mod leases;
mod settings;
mod transaction;
mod watch;

use crate::joined::{Joined, Together};
use crate::room::Room;
use crate::{
    Changes, Checked, Cursor, Expect, ListOptions, Offer, Page, Store, Version, Versioned,
    WatchOptions, WriteOptions, counter, stale_fence, unmet,
};
use async_trait::async_trait;
use base::{Backend, Error, Kind, Place, Result};
use bytes::Bytes;
use connect::etcd::Etcd as Server;
use connect::tls::Trust;
use etcd_client::{
    Compare, CompareOp, DeleteOptions, GetOptions, KeyValue, PutOptions, ResponseHeader, Txn,
    TxnOp, TxnOpResponse,
};
use leases::Leases;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};
use transaction::{Outcome, answers, chunks, version};
use watch::Watching;

pub(super) use settings::BEST;
pub use settings::Etcd;

/// How often a read of several steps begins anew because the server threw its moment away.
const ATTEMPTS: usize = 3;

impl Backend for Etcd {
    type Contract = dyn Store;
    const NAME: &'static str = "etcd";
    const SCHEMES: &'static [&'static str] = &["etcd", "etcds"];
    const EXAMPLE: &'static str = "etcd://127.0.0.1:2379";

    fn check(&self) -> Result<(), String> {
        self.connection(Trust::default()).map(drop).map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Store>> {
        let server = Arc::new(self.connection(self.trust(&place)?)?);
        let prefix: Arc<str> = self.prefix(&place).into();
        let found = self.probe(&server, &prefix).await?;
        let watching = Watching::new(Arc::clone(&server), &format!("{prefix}k/"));
        let keys = Keys {
            leases: Leases::new(Arc::clone(&server), found.shortest),
            server,
            prefix,
            cluster: found.cluster,
            operations: found.operations,
            patience: self.timeout,
            counting: std::array::from_fn(|_| Mutex::default()),
            offer: found.offer,
            watching,
        };
        Ok(Arc::new(Checked::new(Joined::new(keys, self.timeout))))
    }
}

/// The store behind `etcd:`.
pub struct Keys {
    server: Arc<Server>,
    /// What all keys of the binding begin with.
    prefix: Arc<str>,
    /// The cluster's number, a part of all versions.
    cluster: u64,
    /// As many operations as fit in one transaction.
    operations: usize,
    /// How long a counter is fought for.
    patience: Duration,
    /// Who counts waits for its turn here, so that only hosts fight for a counter.
    counting: [Mutex<()>; 64],
    offer: Offer,
    leases: Leases,
    watching: Watching,
}

impl Keys {
    fn name(&self, key: &str) -> Vec<u8> {
        format!("{}k/{key}", self.prefix).into_bytes()
    }

    fn fence_name(&self, lock: &str) -> Vec<u8> {
        format!("{}f/{lock}", self.prefix).into_bytes()
    }

    fn entry(&self, key: KeyValue) -> Versioned {
        let version = version(self.cluster, key.mod_revision());
        Versioned { version, value: Bytes::from(key.into_key_value().1) }
    }

    /// What has to be so for the write to take effect.
    fn expectation(&self, name: &[u8], options: &WriteOptions) -> Vec<Compare> {
        let is = |revision| Compare::mod_revision(name, CompareOp::Equal, revision);
        match &options.expect {
            None => Vec::new(),
            Some(Expect::Absent) => vec![is(0)],
            // A version of somewhere else meets nothing, and no revision is negative.
            Some(Expect::Version(version)) => {
                vec![is(transaction::revision(self.cluster, version).unwrap_or(-1))]
            }
        }
    }

    /// A transaction that does `writes` if the fence is not stale and `expected` holds, and
    /// else `otherwise`.
    fn transaction(
        &self,
        expected: Vec<Compare>,
        mut writes: Vec<TxnOp>,
        otherwise: Vec<TxnOp>,
        options: &WriteOptions,
    ) -> Txn {
        let write = |writes| Txn::new().when(expected).and_then(writes).or_else(otherwise);
        let Some(fence) = &options.fence else { return write(writes) };
        let (name, token) = (self.fence_name(&fence.lock), transaction::token(fence.token));
        writes.push(TxnOp::put(name.clone(), token.clone(), None));
        // The value of a key that is not there is above nothing, so a first token passes.
        let stale = Compare::value(name.clone(), CompareOp::Greater, token);
        let write = TxnOp::txn(write(writes));
        Txn::new().when([stale]).and_then([TxnOp::get(name, None)]).or_else([write])
    }

    async fn commit(&self, txn: Txn, options: &WriteOptions) -> Result<Outcome> {
        Outcome::of(self.server.commit(txn).await?, options.fence.is_some())
    }

    /// Writes what `writes` makes, for a lease or none. A lease that ended meanwhile is replaced,
    /// once: the server refused the transaction as a whole.
    async fn write(
        &self,
        options: &WriteOptions,
        writes: impl Fn(Option<PutOptions>) -> Txn,
    ) -> Result<Outcome> {
        let lease = self.leases.find(options.ttl).await?;
        let txn = writes(lease.map(|lease| PutOptions::new().with_lease(lease)));
        match (self.commit(txn, options).await, lease) {
            (Err(error), Some(_)) if error.kind() == Kind::NotFound => {
                self.leases.forget();
                let lease = self.leases.find(options.ttl).await?;
                let txn = writes(lease.map(|lease| PutOptions::new().with_lease(lease)));
                self.commit(txn, options).await
            }
            (outcome, _) => outcome,
        }
    }

    /// The entry of a counter as it is, once the fence was looked at.
    async fn counter(&self, name: &[u8], options: &WriteOptions) -> Result<Option<KeyValue>> {
        let Some(fence) = &options.fence else {
            let mut found = self.server.range(name, GetOptions::new()).await?;
            return Ok(found.take_kvs().pop());
        };
        let kept = TxnOp::get(self.fence_name(&fence.lock), None);
        let look = Txn::new().and_then([TxnOp::get(name, None), kept]);
        let found = answers(&self.server.look(look).await?);
        let [TxnOpResponse::Get(entry), TxnOpResponse::Get(kept)] = found.as_slice() else {
            return Err(transaction::strange());
        };
        if let Some(highest) = kept.kvs().first().map(transaction::kept).transpose()?
            && highest > fence.token
        {
            return Err(stale_fence(fence.token, highest));
        }
        Ok(entry.kvs().first().cloned())
    }

    /// The turn to count, of which there is one for this key and a few others.
    async fn turn(&self, key: &str) -> Result<Option<MutexGuard<'_, ()>>> {
        let number = key
            .bytes()
            .fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let Some(counting) = self.counting.get(number % self.counting.len()) else {
            return Ok(None);
        };
        let turn = tokio::time::timeout(self.patience, counting.lock()).await;
        turn.map(Some).map_err(|_elapsed| crowded(key))
    }

    /// Values as of one moment, as many at once as fit in a transaction. `None` if the server
    /// threw the moment away meanwhile.
    async fn values(&self, keys: &[String], most: usize) -> Result<Option<Vec<Option<Bytes>>>> {
        let (mut values, mut room) = (Vec::with_capacity(keys.len()), Room::new(most));
        let mut moment = None;
        for part in keys.chunks(self.operations) {
            let options = moment.map(|revision| GetOptions::new().with_revision(revision));
            let get = |key: &String| TxnOp::get(self.name(key), options.clone());
            let look = Txn::new().and_then(part.iter().map(get).collect::<Vec<_>>());
            let found = match self.server.look(look).await {
                // `required revision has been compacted`
                Err(error) if error.kind() == Kind::Conflict => return Ok(None),
                found => found?,
            };
            moment = moment.or_else(|| found.header().map(|header| header.revision()));
            for answer in answers(&found) {
                let TxnOpResponse::Get(mut answer) = answer else {
                    return Err(transaction::strange());
                };
                let value = answer.take_kvs().pop().map(|entry| self.entry(entry).value);
                room.add(value.as_ref())?;
                values.push(value);
            }
        }
        Ok(Some(values))
    }
}

fn crowded(key: &str) -> Error {
    Error::exhausted(format!("too many count at `{key}` at once"))
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
        let mut found = self.server.range(&self.name(key), GetOptions::new()).await?;
        Ok(found.take_kvs().pop().map(|entry| self.entry(entry)))
    }

    async fn get_many(&self, keys: &[String], most: usize) -> Result<Vec<Option<Bytes>>> {
        for _ in 0..ATTEMPTS {
            if let Some(values) = self.values(keys, most).await? {
                return Ok(values);
            }
        }
        Err(Error::unavailable(format!(
            "{} is compacted faster than so many keys are read",
            self.server.server()
        )))
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        let count = GetOptions::new().with_count_only();
        Ok(self.server.range(&self.name(key), count).await?.count() > 0)
    }

    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version> {
        let name = self.name(key);
        if options.asks_for_nothing() {
            let put = self.server.put(name, value).await?;
            let revision = put.header().map_or(0, ResponseHeader::revision);
            return Ok(version(self.cluster, revision));
        }
        let outcome = self.write(options, |lease| {
            let put = TxnOp::put(name.clone(), value.clone(), lease);
            self.transaction(self.expectation(&name, options), vec![put], Vec::new(), options)
        });
        outcome.await?.revision(options).map(|revision| version(self.cluster, revision))
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>, options: &WriteOptions) -> Result<()> {
        let entries: BTreeMap<String, Bytes> = entries.into_iter().collect();
        let size = |(key, value): &(String, Bytes)| self.prefix.len() + key.len() + value.len();
        for part in chunks(entries, self.operations, size) {
            let outcome = self.write(options, |lease| {
                let put = |(key, value): &(String, Bytes)| {
                    TxnOp::put(self.name(key), value.clone(), lease.clone())
                };
                let puts = part.iter().map(put).collect();
                self.transaction(Vec::new(), puts, Vec::new(), options)
            });
            outcome.await?.revision(options)?;
        }
        Ok(())
    }

    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()> {
        let name = self.name(key);
        let expected = self.expectation(&name, options);
        let delete = vec![TxnOp::delete(name, None)];
        let txn = self.transaction(expected, delete, Vec::new(), options);
        self.commit(txn, options).await?.revision(options).map(drop)
    }

    async fn delete_many(&self, keys: &[String], options: &WriteOptions) -> Result<()> {
        let mut keys: Vec<&String> = keys.iter().collect();
        keys.sort_unstable();
        keys.dedup();
        for part in chunks(keys, self.operations, |key| self.prefix.len() + key.len()) {
            let delete = |key: &&String| TxnOp::delete(self.name(key), None);
            let deletes = part.iter().map(delete).collect();
            let txn = self.transaction(Vec::new(), deletes, Vec::new(), options);
            self.commit(txn, options).await?.revision(options)?;
        }
        Ok(())
    }

    async fn increment(&self, key: &str, delta: i64, options: &WriteOptions) -> Result<i64> {
        let (name, begun) = (self.name(key), Instant::now());
        let _turn = self.turn(key).await?;
        let mut current = self.counter(&name, options).await?;
        let mut pause = Duration::from_micros(500);
        loop {
            let revision = current.as_ref().map_or(0, KeyValue::mod_revision);
            let met = match &options.expect {
                None => true,
                Some(Expect::Absent) => revision == 0,
                Some(Expect::Version(wanted)) => {
                    transaction::revision(self.cluster, wanted) == Some(revision)
                }
            };
            if !met {
                return Err(unmet());
            }
            let before = current.as_ref().map_or(Ok(0), |entry| counter::read(entry.value()))?;
            let sum = counter::add(before, delta)?;
            let outcome = self.write(options, |lease| {
                let kept = options.ttl.is_none() && current.is_some();
                let lease = if kept { Some(PutOptions::new().with_ignore_lease()) } else { lease };
                let put = TxnOp::put(name.clone(), sum.to_string(), lease);
                let same = Compare::mod_revision(name.clone(), CompareOp::Equal, revision);
                let look = vec![TxnOp::get(name.clone(), None)];
                self.transaction(vec![same], vec![put], look, options)
            });
            match outcome.await? {
                Outcome::Unmet(now) if begun.elapsed() < self.patience => current = now,
                Outcome::Unmet(_) => return Err(crowded(key)),
                outcome => return outcome.revision(options).map(|_| sum),
            }
            tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    async fn list(&self, options: &ListOptions) -> Result<Page> {
        if let Some(Cursor(after)) = &options.after
            && after.len() > self.offer.max_key
        {
            return Err(Error::invalid("the cursor is of another store"));
        }
        let Some((first, last)) = self.bounds(options) else { return Ok(Page::default()) };
        let limit = options.limit.min(ListOptions::LIMIT);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let range = GetOptions::new().with_range(last).with_limit(limit).with_keys_only();
        let mut found = self.server.range(&first, range).await?;
        let entries = self.name("").len();
        let key = |entry: KeyValue| {
            let mut name = entry.into_key_value().0;
            String::from_utf8(name.split_off(entries.min(name.len())))
                .map_err(|error| Error::corrupt("a key of the store").with_source(error))
        };
        let keys: Vec<String> = found.take_kvs().into_iter().map(key).collect::<Result<_>>()?;
        let next = keys.last().filter(|_| found.more()).cloned().map(Cursor);
        Ok(Page { keys, next })
    }

    async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        self.watching.watch(options).await
    }

    async fn destroy(&self) -> Result<()> {
        let delete = TxnOp::delete(&*self.prefix, Some(DeleteOptions::new().with_prefix()));
        self.server.commit(Txn::new().and_then([delete])).await?;
        self.leases.revoke_all().await
    }
}

impl Keys {
    /// Where a listing begins, and before which key it ends.
    fn bounds(&self, options: &ListOptions) -> Option<(Vec<u8>, Vec<u8>)> {
        let (first, last) = options.bounds()?;
        let first = match first {
            Bound::Included(key) => self.name(key),
            // No key is between one and the same with a zero behind it.
            Bound::Excluded(key) => [&self.name(key)[..], b"\0"].concat(),
            Bound::Unbounded => self.name(""),
        };
        // No UTF-8 has this byte, so it stands behind everything that begins with the prefix.
        let prefix = [&self.name(&options.prefix)[..], b"\xff"].concat();
        let last = match last {
            Bound::Included(key) | Bound::Excluded(key) => prefix.min(self.name(key)),
            Bound::Unbounded => prefix,
        };
        (first < last).then_some((first, last))
    }
}

#[async_trait]
impl Together for Keys {
    fn server(&self) -> &str {
        self.server.server()
    }

    fn step(&self) -> usize {
        // As many as there is room for beside a fence.
        self.operations.saturating_sub(1).max(1)
    }
}
