//! Brokers inside this process: the rules of delivery, once for all that keep their messages here.
//!
//! All messages of a binding are in one log, in the order in which they came. A group is a cursor
//! into it, and the messages before the cursor that it is not done with.

mod broker;
mod group;
mod inbox;
mod kept;
mod log;
mod state;
mod taker;

pub(crate) use broker::{Local, Shared};
pub(crate) use group::{Group, GroupRow, PendingRow, Taken};
#[cfg(any(feature = "amqp", feature = "redis"))]
pub(crate) use inbox::Inboxes;
#[cfg(feature = "redis")]
pub(crate) use inbox::asker;
pub(crate) use kept::Kept;
pub(crate) use log::{Confirmed, Entry, Log, Memory};
pub(crate) use state::{Retention, Rows, system_time};
