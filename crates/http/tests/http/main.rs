//! HTTP out, against real servers in this process, well-behaved and not.

mod bodies;
mod egress;
mod failures;
#[cfg(feature = "host")]
mod hooks;
mod pool;
mod servers;
mod tls;
mod version2;
