//! HTTP out, against real servers in this process, well-behaved and not.

mod bodies;
mod egress;
mod failures;
mod pool;
mod servers;
mod tls;
mod version2;
