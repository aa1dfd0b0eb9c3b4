//! Caches: the contract that every backend keeps, and the words it uses.
//!
//! Nothing here knows of WebAssembly. The interface is one of the package `wasi:keyvalue` and
//! hands out that package's values, so the crate `keyvalue` puts it in front, beside the others.

mod best;
mod entries;
mod flights;
mod front;
mod offer;
mod vacancy;

pub mod backend;
#[cfg(feature = "conformance")]
pub mod promises;

pub use backend::BACKENDS;
pub use base::offer::Emulated;
pub use best::{Best, table, that_offer};
pub use entries::{Entries, Expiring};
pub use front::Front;
pub use offer::{Levels, Offer, Reach};
pub use vacancy::{Entry, Look, Vacancy, Waiting};

use async_trait::async_trait;
use base::Result;
use bytes::Bytes;
use std::time::Duration;

/// A map from keys to bytes that may forget: one binding, shared by all guests that may use it.
///
/// What holds for every method:
/// - Best effort: an entry may be gone at any time, for example because room was needed. Nothing
///   is returned that nobody stored under that very key, and nothing past its time to live, to the
///   millisecond.
/// - Where the offer says `reach = host` or `hosts` an entry that was stored is found by every
///   later call, as long as there is room and no other call changes it. A backend in two tiers may
///   lag behind other hosts by the time that its settings say.
/// - Keys are UTF-8 of one byte to the offer's `max_key`, values have at most its `max_value`; else
///   [`Kind::Invalid`](base::Kind) for an empty key and [`Kind::TooLarge`](base::Kind) above. No
///   key and no value is ever cut or changed; an empty value is a value.
/// - A backend that cannot be asked is an error that says so, never a miss: whoever takes it for
///   one can, and whoever wants to spare what stands behind the cache can do that.
///
/// Backends bring [`Entries`] and are handed out inside a [`Front`], which enforces sizes and
/// keeps vacancies in one place.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// What this cache can do. Fixed once it is open.
    fn offer(&self) -> &Offer;

    /// The value, or `None` on a miss.
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;

    /// The value and until when it lives, for a cache in front of this one.
    async fn expiring(&self, key: &str) -> Result<Option<Expiring>>;

    /// Whether [`get`](Cache::get) would find a value, be it empty.
    async fn exists(&self, key: &str) -> Result<bool>;

    /// Stores the value in the place of any other, for at most `ttl`. `None`: until it is deleted
    /// or room is needed.
    ///
    /// # Errors
    /// [`Kind::Invalid`](base::Kind) for less than a millisecond. A write that fails may leave the
    /// former value or none.
    async fn set(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<()>;

    /// Forgets the value. Forgetting what is not there is no error.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Looks for the value, and on a miss asks for the vacancy. Never waits for others.
    ///
    /// # Errors
    /// [`Kind::Exhausted`](base::Kind) when too many vacancies are out, or too many wait for them.
    async fn look(&self, key: &str) -> Result<Look>;

    /// The value, or on a miss the vacancy that the caller is to fill.
    ///
    /// There is one vacancy at a time for each key on this host. While it is out the others wait:
    /// when it is filled they get the value, when it is dropped or was out for longer than the
    /// binding's `vacancy-timeout` the one that waited longest gets a vacancy.
    ///
    /// # Errors
    /// As [`look`](Cache::look).
    async fn get_or_set(&self, key: &str) -> Result<Entry> {
        loop {
            let waiting = match self.look(key).await? {
                Look::Occupied(value) => return Ok(Entry::Occupied(value)),
                Look::Vacant(vacancy) => return Ok(Entry::Vacant(vacancy)),
                Look::Busy(waiting) => waiting,
            };
            if let Some(entry) = waiting.end().await {
                return Ok(entry);
            }
        }
    }

    /// Removes everything that the binding keeps.
    ///
    /// For a binding that was made to be thrown away, as `wharf conformance` does. Calls that are
    /// made meanwhile may leave something behind.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](base::Kind) where a binding ends with its process.
    async fn destroy(&self) -> Result<()>;
}
