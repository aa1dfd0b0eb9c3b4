//! A place in a cache that one caller is to fill, and what those have who wait for it.

use crate::entries::is_over;
use crate::flights::{Claim, Place, Turn};
use crate::front::Behind;
use base::{Error, Result};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What there is under a key.
#[derive(Debug)]
pub enum Entry {
    /// A value.
    Occupied(Bytes),
    /// None, and it is this caller's turn to make it.
    Vacant(Vacancy),
}

/// What a look at a key found.
#[derive(Debug)]
pub enum Look {
    /// A value.
    Occupied(Bytes),
    /// None, and it is this caller's turn to make it.
    Vacant(Vacancy),
    /// None, and another is making it.
    Busy(Waiting),
}

/// The right to fill a key that missed. Dropped without having been filled, it goes to the next.
pub struct Vacancy {
    claim: Claim,
    behind: Arc<Behind>,
}

impl Vacancy {
    pub(crate) fn new(claim: Claim, behind: Arc<Behind>) -> Self {
        Self { claim, behind }
    }

    /// The key to fill.
    pub fn key(&self) -> &str {
        self.claim.key()
    }

    /// Stores the value, for at most `ttl`, and hands it to all who wait.
    ///
    /// Where the backend fails those who wait get the value all the same: what was made once need
    /// not be made again for each of them. One that was out for too long can still be filled,
    /// unless another got it since.
    ///
    /// # Errors
    /// [`Kind::Conflict`](base::Kind) when another got the vacancy. As
    /// [`Cache::set`](crate::Cache::set) besides.
    pub async fn fill(self, value: Bytes, ttl: Option<Duration>) -> Result<()> {
        let Self { claim, behind } = self;
        if !claim.is_held() {
            return Err(Error::conflict("the vacancy was out for too long, and another has it"));
        }
        let (made, stored) = behind.fill(claim.key(), value, ttl).await;
        if let Some(made) = made {
            claim.hand_out(made);
        }
        stored
    }
}

impl fmt::Debug for Vacancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vacancy").field("key", &self.key()).finish_non_exhaustive()
    }
}

/// The place of one who waits for a vacancy. Dropped, it is left.
pub struct Waiting {
    place: Place,
    behind: Arc<Behind>,
}

impl Waiting {
    pub(crate) fn new(place: Place, behind: Arc<Behind>) -> Self {
        Self { place, behind }
    }

    /// Waits for its end: the value, or the vacancy; `None` if it is worth to look again.
    pub async fn end(self) -> Option<Entry> {
        match self.place.turn().await {
            Turn::Value(made) if !is_over(made.until) => Some(Entry::Occupied(made.value)),
            Turn::Yours(claim) => Some(Entry::Vacant(Vacancy::new(claim, self.behind))),
            Turn::Value(_) | Turn::Again => None,
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}
