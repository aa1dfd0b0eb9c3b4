//! In-process benchmarks, and the load that `cargo xtask bench http` puts on servers.

pub mod guest;
pub mod load;
pub mod process;
pub mod sample;
pub mod world;
