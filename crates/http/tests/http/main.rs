//! HTTP out, against real servers in this process, well-behaved and not.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod bodies;
mod egress;
mod failures;
#[cfg(feature = "host")]
mod hooks;
mod pool;
mod servers;
mod tls;
mod version2;
