//! The one place where sizes and offers are enforced, in front of every backend.

use crate::room::Room;
use crate::{
    Changes, ListOptions, Offer, Page, Store, Version, Versioned, WatchOptions, WriteOptions,
};
use async_trait::async_trait;
use base::offer::{Fence, List, Ttl, Watch};
use base::{Error, Result};
use bytes::Bytes;
use std::time::Duration;

/// A store that refuses what its offer denies, and keys and values beyond its limits.
///
/// Every backend hands out its store inside one.
pub struct Checked<S>(S);

impl<S: Store> Checked<S> {
    /// Puts the checks in front of `store`.
    pub fn new(store: S) -> Self {
        Self(store)
    }

    /// The store without the checks.
    pub fn inner(&self) -> &S {
        &self.0
    }

    fn key(&self, key: &str) -> Result<()> {
        let most = self.offer().max_key;
        if key.is_empty() {
            return Err(Error::invalid("a key must not be empty"));
        }
        if key.len() > most {
            let length = key.len();
            return Err(Error::too_large(format!("a key has {length} bytes, at most {most} fit")));
        }
        Ok(())
    }

    fn keys(&self, keys: &[String]) -> Result<()> {
        keys.iter().try_for_each(|key| self.key(key))
    }

    fn value(&self, value: &Bytes) -> Result<()> {
        let most = self.offer().max_value;
        if value.len() > most {
            let length = value.len();
            return Err(Error::too_large(format!(
                "a value has {length} bytes, at most {most} fit"
            )));
        }
        Ok(())
    }

    fn write(&self, options: &WriteOptions) -> Result<()> {
        let levels = &self.offer().levels;
        if let Some(ttl) = options.ttl {
            if ttl < Duration::from_millis(1) {
                return Err(Error::invalid("a time to live is at least a millisecond"));
            }
            if levels.ttl < Ttl::Seconds {
                return Err(Error::unsupported("this store keeps no time to live per key"));
            }
        }
        if let Some(fence) = &options.fence {
            if levels.fence == Fence::None {
                return Err(Error::unsupported("this store keeps no fencing tokens"));
            }
            self.key(&fence.lock).map_err(|error| error.context("the lock's name"))?;
        }
        Ok(())
    }

    fn batch(&self, options: &WriteOptions) -> Result<()> {
        if options.expect.is_some() {
            return Err(Error::invalid("a write of many keys takes no expectation"));
        }
        self.write(options)
    }

    fn deletion(options: &WriteOptions) -> Result<()> {
        if options.ttl.is_some() {
            return Err(Error::invalid("a deletion takes no time to live"));
        }
        Ok(())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "what is not forwarded loses a backend's own way")]
impl<S: Store> Store for Checked<S> {
    fn offer(&self) -> &Offer {
        self.0.offer()
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.key(key)?;
        self.0.get(key).await
    }

    async fn versioned(&self, key: &str) -> Result<Option<Versioned>> {
        self.key(key)?;
        self.0.versioned(key).await
    }

    async fn get_many(&self, keys: &[String], most: usize) -> Result<Vec<Option<Bytes>>> {
        self.keys(keys)?;
        let values = self.0.get_many(keys, most).await?;
        let mut room = Room::new(most);
        values.iter().try_for_each(|value| room.add(value.as_ref()))?;
        Ok(values)
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        self.key(key)?;
        self.0.exists(key).await
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<()> {
        self.key(key)?;
        self.value(&value)?;
        self.0.put(key, value).await
    }

    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version> {
        self.key(key)?;
        self.value(&value)?;
        self.write(options)?;
        self.0.set(key, value, options).await
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>, options: &WriteOptions) -> Result<()> {
        for (key, value) in &entries {
            self.key(key)?;
            self.value(value)?;
        }
        self.batch(options)?;
        self.0.set_many(entries, options).await
    }

    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()> {
        self.key(key)?;
        Self::deletion(options)?;
        self.write(options)?;
        self.0.delete(key, options).await
    }

    async fn delete_many(&self, keys: &[String], options: &WriteOptions) -> Result<()> {
        self.keys(keys)?;
        Self::deletion(options)?;
        self.batch(options)?;
        self.0.delete_many(keys, options).await
    }

    async fn increment(&self, key: &str, delta: i64, options: &WriteOptions) -> Result<i64> {
        self.key(key)?;
        self.write(options)?;
        self.0.increment(key, delta, options).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Page> {
        if self.offer().levels.list == List::None {
            return Err(Error::unsupported("this store cannot list its keys"));
        }
        if options.limit == 0 {
            return Err(Error::invalid("a page has room for at least one key"));
        }
        self.0.list(options).await
    }

    async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        let watch = self.offer().levels.watch;
        if watch == Watch::None {
            return Err(Error::unsupported("this store cannot be watched"));
        }
        if options.from.is_some() && watch < Watch::Resumable {
            return Err(Error::unsupported("watching this store begins now, at no position"));
        }
        self.0.watch(options).await
    }

    async fn destroy(&self) -> Result<()> {
        self.0.destroy().await
    }
}
