//! HTTP in and out for components.

pub mod client;
#[cfg(feature = "host")]
pub mod hooks;
#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "host")]
pub mod incoming;
