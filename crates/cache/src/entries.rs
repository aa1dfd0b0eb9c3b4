//! What a backend brings: entries that end, and nothing of vacancies.

use crate::Offer;
use async_trait::async_trait;
use base::{Error, Result};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A value and until when it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiring {
    /// The value.
    pub value: Bytes,
    /// When it is over; `None` if that is not known to happen. May be early, is never late.
    pub until: Option<Instant>,
}

/// The entries of one binding, as [`Cache`](crate::Cache) describes them.
///
/// Sizes and times to live were checked by the [`Front`](crate::Front) before.
#[async_trait]
pub trait Entries: Send + Sync + 'static {
    /// What these entries can do.
    fn offer(&self) -> &Offer;

    /// The value, or `None` on a miss.
    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.expiring(key).await?.map(|found| found.value))
    }

    /// The value and until when it lives.
    async fn expiring(&self, key: &str) -> Result<Option<Expiring>>;

    /// Whether there is a value.
    async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.get(key).await?.is_some())
    }

    /// Stores a value, for at most `ttl`.
    async fn set(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<()>;

    /// Forgets a value.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Removes everything.
    ///
    /// # Errors
    /// `Unsupported` where the entries end with the process.
    async fn destroy(&self) -> Result<()> {
        Err(Error::unsupported("this cache ends with its process"))
    }
}

/// The moment `ttl` after `begun`; `None` where that is beyond what clocks count.
pub(crate) fn end(begun: Instant, ttl: Option<Duration>) -> Option<Instant> {
    begun.checked_add(ttl?)
}

/// Whether that moment is here.
pub(crate) fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| until <= Instant::now())
}
