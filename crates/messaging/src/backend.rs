//! The brokers. To add one: a file, its `mod`, its line in the list.

#[cfg(feature = "embedded")]
pub mod embedded;
pub mod memory;

use crate::{Best, Broker};
use base::Entry;
use base::backend::backend;
#[cfg(not(feature = "embedded"))]
use base::backend::missing;

/// Every backend that a binding's URL may choose.
pub const BACKENDS: &[Entry<dyn Broker>] = &[
    #[cfg(feature = "embedded")]
    backend::<embedded::Embedded>(),
    #[cfg(not(feature = "embedded"))]
    missing("embedded", &["embedded"]),
    backend::<memory::Memory>(),
];

/// What each of them can offer at most.
pub const BEST: &[Best] = &[
    #[cfg(feature = "embedded")]
    embedded::BEST,
    memory::BEST,
];
