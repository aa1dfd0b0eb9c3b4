//! Proxy-Wasm filters in front of components and upstreams.
//!
//! Each serving thread has its own virtual machines (`seats.rs`), whose world is `world.rs`; what
//! filters send out goes through upstreams (`callout.rs`, `grpc.rs`). `stream.rs` is one request
//! from top to bottom.

mod attributes;
mod body;
mod callout;
mod grpc;
mod registry;
mod seats;
mod services;
mod standing;
mod stream;
mod world;

pub(crate) use attributes::{Link, Reached, of_address};
pub(crate) use body::Filtered;
pub use registry::{Registry, Sample};
pub use seats::try_out;
pub(crate) use seats::{keep, seats};
pub use services::Services;
pub use standing::Stands;
pub(crate) use stream::{Passage, Passed, Witness};

use crate::upstream::Upstream;
use ::filter::Plugin;
use std::collections::HashMap;
use std::sync::Arc;

/// The filters of a route, in the order in which requests meet them.
pub type Filters = Arc<[Arc<Plugin>]>;

/// Upstreams by the names that filters call them.
pub type Clusters = HashMap<String, Arc<Upstream>>;
