//! The brokers. To add one: a file, its `mod`, its line in the list.

pub mod memory;

use crate::{Best, Broker};
use base::Entry;
use base::backend::backend;

/// Every backend that a binding's URL may choose.
pub const BACKENDS: &[Entry<dyn Broker>] = &[backend::<memory::Memory>()];

/// What each of them can offer at most.
pub const BEST: &[Best] = &[memory::BEST];
