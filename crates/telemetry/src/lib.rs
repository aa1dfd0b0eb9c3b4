//! What the program and its guests say: log lines now, traces and metrics on the same path.
//!
//! The program calls [`init`] once. Each component gets one [`Logger`], through which its log
//! records and its standard output go; it bounds how much a component can say, and how long.

mod bucket;
mod escape;
mod filter;
mod init;
mod logger;
mod output;
mod sink;

#[cfg(feature = "host")]
pub mod host;

pub use filter::Filter;
pub use init::{Format, Telemetry, init};
pub use logger::{Level, Limits, Logger, Record};
pub use output::{GuestOutput, Stream};
