//! What the stores inside this process share: the rules of writing, the hub of watchers.

mod hub;
#[cfg(feature = "remote")]
pub(crate) mod relay;
pub(crate) mod rules;
mod table;

pub use base::Clock;
#[cfg(feature = "embedded")]
pub(crate) use base::Held;
pub(crate) use base::{Openings, incarnation, lock};
#[cfg(any(feature = "embedded", feature = "remote"))]
pub(crate) use hub::Record;
pub(crate) use hub::{Alarm, Hub};
pub(crate) use table::{Stored, Table, page};
