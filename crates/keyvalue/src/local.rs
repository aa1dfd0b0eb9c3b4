//! What the stores inside this process share: a clock, the rules of writing, the hub of watchers.

mod clock;
mod hub;
mod open;
#[cfg(feature = "remote")]
pub(crate) mod relay;
pub(crate) mod rules;
mod table;

pub use clock::Clock;
#[cfg(any(feature = "embedded", feature = "remote"))]
pub(crate) use hub::Record;
pub(crate) use hub::{Alarm, Hub};
#[cfg(feature = "embedded")]
pub(crate) use open::Held;
pub(crate) use open::Openings;
pub(crate) use table::{Stored, Table, page};

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A number that no other opening of a store has, so that versions never come twice.
pub(crate) fn incarnation() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Locks, and goes on where another thread panicked: our critical sections leave no half state.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
