//! What every part of Wharf shares: errors, mistakes, backends, bindings, offers, secrets.
//!
//! No WebAssembly and no network: a contract and its backends build on this crate alone.

pub mod backend;
mod bound;
mod budget;
mod clock;
pub mod egress;
pub mod embedded;
mod error;
mod mistake;
mod nearest;
pub mod offer;
mod openings;
pub mod promise;
pub mod rfc3339;
mod secret;
pub mod topic;
pub mod units;
mod unreadable;
mod within;

pub use backend::{Backend, Entry, Opening, Place};
pub use bound::{Bound, DEFAULT};
pub use budget::{Account, Budget, Short};
pub use clock::Clock;
pub use error::{Error, Kind, Result};
pub use mistake::{Mistake, Mistakes};
pub use nearest::nearest;
pub use openings::{Held, Openings};
pub use secret::{Secret, redact};
pub use unreadable::enter;
pub use within::{Elapsed, Timer, Within, within};

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, and goes on where another thread panicked: for critical sections that leave no half
/// state.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that nobody else got, for what must not be taken for its predecessor.
pub fn incarnation() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
