//! What calls may ask for besides their arguments.

use crate::{Position, Version};
use std::fmt;
use std::time::Duration;

/// What every write may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// What must hold for the write to take effect.
    pub expect: Option<Expect>,
    /// How long the entry lives, at least a millisecond. `None`: until it is deleted.
    ///
    /// Rounded up to what the offer can keep.
    pub ttl: Option<Duration>,
    /// The lock under which the caller writes.
    pub fence: Option<Fence>,
}

impl WriteOptions {
    /// Only if `expect` holds.
    pub fn expecting(expect: Expect) -> Self {
        Self { expect: Some(expect), ..Self::default() }
    }

    /// Only for `ttl`.
    pub fn living(ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..Self::default() }
    }

    /// Whether the write takes effect whatever is there, and stays.
    #[cfg(any(feature = "etcd", feature = "host", feature = "redis"))]
    pub(crate) fn asks_for_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Only if nobody with a higher token has written.
    pub fn fenced(lock: impl Into<String>, token: u64) -> Self {
        Self { fence: Some(Fence { lock: lock.into(), token }), ..Self::default() }
    }
}

/// What must hold for a write to take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key has no value.
    Absent,
    /// The key has the value of this version.
    Version(Version),
}

/// Proof that the writer still holds a lock.
///
/// The store keeps the highest token that it has accepted per lock, changed in the same atomic
/// step as the data, and refuses writes that come with a lower one. Where the offer says
/// `atomicity = binding`, the token of a write to any key counts; else that of a write to the same
/// key counts, and of which others is left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The lock's name. Tokens of different locks are not compared.
    pub lock: String,
    /// The token that the lock gave out. Tokens of a lock only grow.
    pub token: u64,
}

/// Which keys to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOptions {
    /// Only keys that begin with this. Empty: all.
    pub prefix: String,
    /// Only keys at or after this one, in byte order.
    pub start: Option<String>,
    /// Only keys before this one, in byte order.
    pub end: Option<String>,
    /// Goes on after a page, with the options of that page.
    pub after: Option<Cursor>,
    /// At most so many keys in this page, at least one. Stores may give fewer.
    pub limit: usize,
}

impl ListOptions {
    /// As many keys in a page as a store gives if nobody asks for less.
    pub const LIMIT: usize = 1000;

    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }
}

impl Default for ListOptions {
    fn default() -> Self {
        Self { prefix: String::new(), start: None, end: None, after: None, limit: Self::LIMIT }
    }
}

/// A page of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys.
    pub keys: Vec<String>,
    /// Where the next page begins. `None`: there is no more.
    pub next: Option<Cursor>,
}

/// A place in a listing. Its text belongs to the store that made it and survives writes.
///
/// It may come back from a guest, so a store takes any text without trusting it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(pub String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which changes to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// Only keys that begin with this. Empty: all.
    pub prefix: String,
    /// Only these keys. Empty: all. Together with `prefix` both must hold.
    pub keys: Vec<String>,
    /// Only changes after this position. `None`: from now on.
    pub from: Option<Position>,
}

impl WatchOptions {
    /// All keys that begin with `prefix`, from now on.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// Whether a change of `key` is asked for.
    pub fn covers(&self, key: &str) -> bool {
        key.starts_with(&self.prefix)
            && (self.keys.is_empty() || self.keys.iter().any(|wanted| wanted == key))
    }
}
