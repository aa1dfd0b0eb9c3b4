//! Configuration of components: where values come from, and one snapshot of them per request.
//!
//! A [`Source`] tells its present state and every later one; [`Layers`] puts sources above each
//! other and hands out an immutable [`Snapshot`], so that a request never sees half a change.

pub mod backend;
mod layers;
mod snapshot;
mod watched;

#[cfg(feature = "host")]
pub mod host;

pub use backend::BACKENDS;
pub use layers::Layers;
pub use snapshot::Snapshot;

use std::sync::Arc;
use tokio::sync::watch::Receiver;

/// Where settings come from: names and values, both text.
///
/// # Behaviour
/// - Each state is whole: a reader sees all of a change or nothing of it.
/// - A new state that cannot be read leaves the old one in place, and the log says why.
/// - An empty value is a value. Names are compared byte by byte.
/// - Values may be secret: no error, no log line and no `Debug` shows one.
pub trait Source: Send + Sync + 'static {
    /// The present state and, from then on, word of every new one.
    ///
    /// The receiver ends when the source is dropped; the last state stays readable.
    fn subscribe(&self) -> Receiver<Arc<Snapshot>>;
}
