//! What every part of Wharf shares: errors, mistakes, backends, bindings, offers, secrets.
//!
//! No WebAssembly and no network: a contract and its backends build on this crate alone.

pub mod backend;
mod bound;
mod budget;
pub mod egress;
mod error;
mod mistake;
mod nearest;
pub mod offer;
pub mod promise;
mod secret;
pub mod units;
mod unreadable;
mod within;

pub use backend::{Backend, Entry, Opening, Place};
pub use bound::{Bound, DEFAULT};
pub use budget::{Account, Budget, Short};
pub use error::{Error, Kind, Result};
pub use mistake::{Mistake, Mistakes};
pub use nearest::nearest;
pub use secret::{Secret, redact};
pub use unreadable::enter;
pub use within::{Elapsed, Timer, Within, within};
