//! Brokers inside this process: the rules of delivery, once for all that keep their messages here.
//!
//! All messages of a binding are in one log, in the order in which they came. A group is a cursor
//! into it, and the messages before the cursor that it is not done with. Where the log is on a
//! disk, its last messages are in memory too, and one thread writes what changes.

mod broker;
mod disk;
mod group;
mod inbox;
mod kept;
mod log;
mod state;
mod taker;
mod writer;

pub(crate) use broker::{Local, Shared};
pub(crate) use disk::{Committed, Disk, Found, Layer};
pub(crate) use group::{Group, GroupRow, PendingRow, Taken};
#[cfg(any(feature = "amqp", feature = "mqtt", feature = "redis"))]
pub(crate) use inbox::Inboxes;
#[cfg(any(feature = "mqtt", feature = "redis"))]
pub(crate) use inbox::asker;
pub(crate) use kept::Kept;
#[cfg(feature = "kafka")]
pub(crate) use log::Log;
pub(crate) use log::{Confirmed, Entry, Memory};
pub(crate) use state::{Retention, Rows, system_time};
pub(crate) use writer::{Keep, Keeping, Storage, keep};
