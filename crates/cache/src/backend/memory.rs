//! Entries in the memory of this process, the least useful of which go when room is needed.

use crate::entries::{end, is_over};
use crate::{Best, Cache, Entries, Expiring, Front, Levels, Offer, Reach};
use async_trait::async_trait;
use base::units::Size;
use base::{Backend, Place, Result};
use bytes::Bytes;
use moka::Expiry;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What an entry costs besides its key and its value.
const OVERHEAD: usize = 256;

pub(super) const BEST: Best = Best {
    backend: Memory::NAME,
    levels: Levels { reach: Reach::Host, ..Levels::USUAL },
    lowered: &[("max-value", "half of `size`")],
    emulated: &[],
};

/// `memory:` — entries in the memory of this host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Memory {
    /// `memory:`
    pub url: String,
    /// How much all entries take together, with their keys and what they cost besides. Default
    /// `"64MiB"`.
    #[serde(default = "Memory::usual_size")]
    pub size: Size,
    /// How long a vacancy is out before another may have it. Default `"30s"`.
    #[serde(
        default = "crate::front::usual_vacancy_timeout",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub vacancy_timeout: Duration,
}

impl Memory {
    fn usual_size() -> Size {
        Size(64 << 20)
    }
}

impl Backend for Memory {
    type Contract = dyn Cache;
    const NAME: &'static str = "memory";
    const SCHEMES: &'static [&'static str] = &["memory"];
    const EXAMPLE: &'static str = "memory:";

    fn check(&self) -> Result<(), String> {
        if self.url != "memory:" {
            return Err("`memory:` takes nothing behind its colon".to_owned());
        }
        check_size(self.size)?;
        super::check_vacancy_timeout(self.vacancy_timeout)
    }

    async fn open(self, _place: Place) -> Result<Arc<dyn Cache>> {
        Ok(Arc::new(Front::new(Slots::new(self.size), self.vacancy_timeout)))
    }
}

/// Whether that much is of any use.
pub(super) fn check_size(size: Size) -> Result<(), String> {
    match size.0 < 64 << 10 {
        true => Err(format!("{size} have room for next to nothing; 64KiB is the least")),
        false => Ok(()),
    }
}

/// The entries behind `memory:`.
pub(super) struct Slots {
    slots: moka::future::Cache<String, Expiring>,
    size: u64,
    /// What was written since the cache last looked after its size.
    written: AtomicU64,
    offer: Offer,
}

impl Slots {
    pub(super) fn new(size: Size) -> Self {
        let weigh = |key: &String, entry: &Expiring| weight(key, &entry.value);
        let slots = moka::future::Cache::builder()
            .max_capacity(size.0)
            .weigher(weigh)
            .expire_after(Ends)
            .build();
        // One value leaves room for others.
        let half = usize::try_from(size.0 / 2).unwrap_or(usize::MAX);
        let offer = Offer {
            backend: "memory".into(),
            levels: Levels { max_value: BEST.levels.max_value.min(half), ..BEST.levels },
            emulated: Vec::new(),
        };
        Self { slots, size: size.0, written: AtomicU64::new(0), offer }
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        self.slots.invalidate_all();
    }

    /// Stores a value that ends at a moment.
    pub(super) async fn put(&self, key: &str, entry: Expiring) {
        let weight = u64::from(weight(key, &entry.value));
        // It is shared no longer with a larger buffer that it may be a part of.
        let value = Bytes::copy_from_slice(&entry.value);
        self.slots.insert(key.to_owned(), Expiring { value, ..entry }).await;
        // Entries go some time after there is no room for them. Large ones do not wait for that.
        if self.written.fetch_add(weight, Relaxed) + weight > self.size / 16 {
            self.written.store(0, Relaxed);
            self.slots.run_pending_tasks().await;
        }
    }
}

fn weight(key: &str, value: &Bytes) -> u32 {
    u32::try_from(key.len() + value.len() + OVERHEAD).unwrap_or(u32::MAX)
}

/// When entries end.
struct Ends;

impl Ends {
    fn rest(entry: &Expiring, now: Instant) -> Option<Duration> {
        entry.until.map(|until| until.saturating_duration_since(now))
    }
}

impl Expiry<String, Expiring> for Ends {
    fn expire_after_create(&self, _: &String, entry: &Expiring, now: Instant) -> Option<Duration> {
        Self::rest(entry, now)
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Expiring,
        now: Instant,
        _former: Option<Duration>,
    ) -> Option<Duration> {
        Self::rest(entry, now)
    }
}

#[async_trait]
impl Entries for Slots {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn expiring(&self, key: &str) -> Result<Option<Expiring>> {
        Ok(self.slots.get(key).await.filter(|entry| !is_over(entry.until)))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<()> {
        self.put(key, Expiring { value, until: end(Instant::now(), ttl) }).await;
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.slots.invalidate(key).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_takes_no_more_than_there_is_room() {
        let slots = Slots::new(Size(1 << 20));
        for number in 0..2000 {
            let value = Bytes::from(vec![7; 10 << 10]);
            slots.set(&format!("key {number}"), value, None).await.unwrap();
            let entries = slots.slots.iter();
            let used: u32 = entries.map(|(key, entry)| weight(&key, &entry.value)).sum();
            assert!(used < 2 << 20, "{used} of {} bytes", slots.size);
        }
        slots.slots.run_pending_tasks().await;
        assert!(slots.slots.weighted_size() <= 1 << 20);
        assert!(slots.slots.entry_count() > 50);
    }
}
