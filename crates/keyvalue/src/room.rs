//! What the values of one answer may take together.

use base::units::Size;
use base::{Error, Result};
use bytes::Bytes;

/// Counts the values of one answer.
pub(crate) struct Room {
    most: usize,
    used: usize,
}

impl Room {
    /// Room for `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, used: 0 }
    }

    /// Makes room for a value, if there is one.
    ///
    /// # Errors
    /// [`too_large`] where it does not fit.
    pub(crate) fn add(&mut self, value: Option<&Bytes>) -> Result<()> {
        self.take(value.map_or(0, Bytes::len))
    }

    /// Makes room for so many bytes.
    ///
    /// # Errors
    /// [`too_large`] where they do not fit.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<()> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.most { Err(too_large(self.most)) } else { Ok(()) }
    }

    /// The bytes that still fit.
    #[cfg(any(feature = "host", feature = "redis"))]
    pub(crate) fn rest(&self) -> usize {
        self.most.saturating_sub(self.used)
    }
}

/// An answer would take more than `most` bytes.
pub(crate) fn too_large(most: usize) -> Error {
    let most = Size(u64::try_from(most).unwrap_or(u64::MAX));
    Error::too_large(format!("the answer takes over {most}"))
        .with_hint("ask for fewer keys at once")
}
