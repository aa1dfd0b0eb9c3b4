//! What a watcher is told.

use crate::{Position, Version};
use base::Result;
use bytes::Bytes;
use futures::stream::BoxStream;

/// The changes of a store, in the order of each key's writes.
///
/// An error comes when the backend is away; the stream goes on after it if it can.
pub type Changes = BoxStream<'static, Result<Change>>;

/// One change, with the position after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A key got a value.
    Set {
        /// The key.
        key: String,
        /// The value it got.
        value: Bytes,
        /// The version of that value.
        version: Version,
        /// Goes on after this change.
        position: Position,
    },
    /// A key was deleted, or its time to live is over.
    Delete {
        /// The key.
        key: String,
        /// Goes on after this change.
        position: Position,
    },
    /// Changes were lost here: read again what matters.
    Missed {
        /// Goes on after the gap.
        position: Position,
    },
}

impl Change {
    /// Where to go on after this change.
    pub fn position(&self) -> Position {
        match self {
            Self::Set { position, .. }
            | Self::Delete { position, .. }
            | Self::Missed { position } => *position,
        }
    }
}
