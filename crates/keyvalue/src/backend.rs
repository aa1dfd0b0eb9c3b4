//! The key-value backends. To add one: a file, its `mod`, its line in the list.

#[cfg(feature = "embedded")]
pub mod embedded;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

mod best;

pub use best::{Best, table, that_offer};

use crate::Store;
use base::Entry;
use base::backend::backend;
#[cfg(not(all(feature = "embedded", feature = "redis")))]
use base::backend::missing;

/// Every backend that a binding's URL may choose.
pub const BACKENDS: &[Entry<dyn Store>] = &[
    #[cfg(feature = "embedded")]
    backend::<embedded::Embedded>(),
    #[cfg(not(feature = "embedded"))]
    missing("embedded", &["embedded"]),
    backend::<memory::Memory>(),
    #[cfg(feature = "redis")]
    backend::<redis::Redis>(),
    #[cfg(not(feature = "redis"))]
    missing("redis", &["redis", "rediss"]),
];

/// What each of them can offer at most.
pub const BEST: &[Best] = &[
    #[cfg(feature = "embedded")]
    embedded::BEST,
    memory::BEST,
    #[cfg(feature = "redis")]
    redis::BEST,
];
