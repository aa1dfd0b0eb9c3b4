//! How many bytes the host keeps for the handles of one instance.

use base::units::Size;
use base::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// An account that everything draws on which an instance has the host keep. Cheap to clone.
#[derive(Clone)]
pub struct Held {
    limit: usize,
    used: Arc<AtomicUsize>,
}

impl Held {
    /// An account of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: Arc::default() }
    }

    /// The most bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Draws `bytes`, given back when the charge is dropped.
    ///
    /// # Errors
    /// `Exhausted` when the account does not have it.
    pub fn take(&self, bytes: usize) -> Result<Charge> {
        let mut charge = Charge { bytes: 0, held: self.clone() };
        charge.grow(bytes)?;
        Ok(charge)
    }
}

/// What one handle, or one call that waits, has drawn.
pub struct Charge {
    bytes: usize,
    held: Held,
}

impl Charge {
    /// Draws more.
    ///
    /// # Errors
    /// `Exhausted` when the account does not have it; nothing is drawn then.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        let Held { limit, used } = &self.held;
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| sum <= limit);
        if used.fetch_update(Relaxed, Relaxed, fits).is_err() {
            let limit = Size(*limit as u64);
            return Err(Error::exhausted(format!("the values held by handles take over {limit}"))
                .with_hint("drop handles that are no longer needed"));
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.held.used.fetch_sub(self.bytes, Relaxed);
    }
}
