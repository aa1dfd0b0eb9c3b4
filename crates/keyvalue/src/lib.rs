//! Key-value stores: the contract that every backend keeps, and the words it uses.
//!
//! Nothing here knows of WebAssembly; `host.rs` (feature `host`) puts the interfaces in front.

mod best;
mod change;
mod checked;
mod conflict;
mod counter;
#[cfg(feature = "remote")]
mod joined;
mod local;
mod offer;
mod options;
mod room;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod tables;
mod token;

pub mod backend;
#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "conformance")]
pub mod promises;
#[cfg(feature = "host")]
pub mod trigger;

pub use backend::BACKENDS;
pub use base::offer::Emulated;
pub use best::{Best, table, that_offer};
pub use change::{Change, Changes};
pub use checked::Checked;
pub use conflict::{is_stale_fence, is_unmet, stale_fence, unmet};
pub use local::Clock;
pub use offer::{Levels, Offer};
pub use options::{Cursor, Expect, Fence, ListOptions, Page, WatchOptions, WriteOptions};
pub use token::{Position, Version};

use async_trait::async_trait;
use base::{Error, Result};
use bytes::Bytes;

/// A value and the version that the write which stored it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: Bytes,
    /// Its version, for [`Expect::Version`].
    pub version: Version,
}

/// A flat map from keys to bytes: one binding, shared by all guests that may open it.
///
/// What holds for every method:
/// - Calls run concurrently and from many hosts; each is atomic on one key. Where the offer says
///   `atomicity = binding`, `set_many`, `delete_many` and `get_many` are atomic as a whole.
/// - Once a write was acknowledged, every later call on the same store sees it.
/// - Keys are UTF-8 of 1..=`offer().max_key` bytes, values at most `offer().max_value` bytes; else
///   [`Kind::Invalid`](base::Kind) for an empty key and [`Kind::TooLarge`](base::Kind) above. No
///   key and no value is ever cut or changed; an empty value is a value.
/// - An entry whose time to live is over is absent for every method: to the millisecond, or where
///   the offer says `ttl = seconds` within two seconds; never before, and never there again.
/// - What the offer denies fails with [`Kind::Unsupported`](base::Kind), never silently.
/// - A call that fails changed nothing, except with [`Kind::Timeout`](base::Kind) and
///   [`Kind::Unavailable`](base::Kind): then nobody knows.
/// - Dropping a call's future does not undo a write that was already sent.
///
/// Backends are handed out inside [`Checked`], which enforces sizes and offer in one place, so a
/// backend may rely on both.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What this store can do. Fixed once it is open.
    fn offer(&self) -> &Offer;

    /// The value, or `None` if the key is absent.
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;

    /// The value with its version, or `None` if the key is absent.
    ///
    /// Versions differ between any two writes of a key, also across deletion and re-creation, and
    /// across restarts of the host and of the backend.
    async fn versioned(&self, key: &str) -> Result<Option<Versioned>>;

    /// One answer per requested key, in their order; a key asked for twice is answered twice.
    ///
    /// # Errors
    /// [`Kind::TooLarge`](base::Kind) if the values take more than `most` bytes together. Not many
    /// more than that are held to find it out.
    async fn get_many(&self, keys: &[String], most: usize) -> Result<Vec<Option<Bytes>>> {
        let (mut values, mut room) = (Vec::with_capacity(keys.len()), room::Room::new(most));
        for key in keys {
            let value = self.get(key).await?;
            room.add(value.as_ref())?;
            values.push(value);
        }
        Ok(values)
    }

    /// Whether the key has a value, be it empty.
    async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.get(key).await?.is_some())
    }

    /// Writes the value, replacing any other and its time to live, for whoever asks for nothing
    /// else: as [`set`](Store::set) without options and without the version.
    async fn put(&self, key: &str, value: Bytes) -> Result<()> {
        self.set(key, value, &WriteOptions::default()).await.map(drop)
    }

    /// Writes the value, replacing any other, and returns its version.
    ///
    /// Replaces the time to live too: without [`WriteOptions::ttl`] the entry stays.
    ///
    /// # Errors
    /// [`Kind::Conflict`](base::Kind) if the expectation does not hold ([`is_unmet`]) or the fence
    /// is stale ([`is_stale_fence`]); nothing changed then, the fence included.
    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version>;

    /// Writes every entry. Of a key that comes twice, the last value stays.
    ///
    /// # Errors
    /// As [`set`](Store::set); [`Kind::Invalid`](base::Kind) with an expectation. Unless atomic
    /// as a whole, a part may have been written.
    async fn set_many(&self, entries: Vec<(String, Bytes)>, options: &WriteOptions) -> Result<()> {
        for (key, value) in entries {
            self.set(&key, value, options).await?;
        }
        Ok(())
    }

    /// Removes the key. Removing an absent key is not an error.
    ///
    /// # Errors
    /// As [`set`](Store::set), where [`Expect::Absent`] holds for an absent key;
    /// [`Kind::Invalid`](base::Kind) with a time to live.
    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()>;

    /// Removes every one of the keys that is there.
    ///
    /// # Errors
    /// As [`delete`](Store::delete); [`Kind::Invalid`](base::Kind) with an expectation.
    async fn delete_many(&self, keys: &[String], options: &WriteOptions) -> Result<()> {
        for key in keys {
            self.delete(key, options).await?;
        }
        Ok(())
    }

    /// Adds to a counter and returns the sum. An absent key counts as zero.
    ///
    /// The value is the decimal number in ASCII without a leading `+` or zeros, so `get` returns
    /// the same bytes on every backend. Without [`WriteOptions::ttl`] the time to live stays.
    ///
    /// # Errors
    /// [`Kind::Invalid`](base::Kind) if the value is no `i64` in decimal or the sum is none; the
    /// value stays as it was. As [`set`](Store::set) besides.
    async fn increment(&self, key: &str, delta: i64, options: &WriteOptions) -> Result<i64>;

    /// A page of keys.
    ///
    /// Every key that was there during the whole listing comes exactly once; no key comes twice;
    /// one that came or went meanwhile may or may not be listed. In the order of the keys' bytes
    /// where the offer says `list >= ordered`. A page may hold fewer keys than the limit, even
    /// none: only [`Page::next`] says whether there is more.
    ///
    /// # Errors
    /// [`Kind::Invalid`](base::Kind) for a cursor that this store did not make, where it can tell.
    async fn list(&self, options: &ListOptions) -> Result<Page>;

    /// What changes from now on, or from a position.
    ///
    /// Every change that is acknowledged after this returned comes, and the changes of one key
    /// come in their order. Several writes of one key in quick succession may come as the last.
    /// A watcher too slow for the bounded buffer behind the stream gets [`Change::Missed`] in the
    /// place of what it missed; nothing is lost in silence. The stream ends when the store closes.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](base::Kind) where the offer says `watch = none`, and with
    /// [`WatchOptions::from`] unless it says `resumable`.
    async fn watch(&self, _options: &WatchOptions) -> Result<Changes> {
        Err(Error::unsupported("this store cannot be watched"))
    }

    /// Removes everything that the binding keeps: entries, fences, history.
    ///
    /// For a binding that was made to be thrown away, as `wharf conformance` does. Calls that are
    /// made meanwhile may leave something behind.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](base::Kind) where a binding ends with its file or its process.
    async fn destroy(&self) -> Result<()> {
        Err(Error::unsupported("this store ends with its file or its process"))
    }
}
