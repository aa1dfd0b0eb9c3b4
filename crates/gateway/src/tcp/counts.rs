//! What a listener has seen.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a listener has seen since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that were taken on.
    pub accepted: AtomicU64,
    /// Those of them that are not over.
    pub active: AtomicU64,
    /// Bytes that clients sent.
    pub from_clients: AtomicU64,
    /// Bytes that servers sent.
    pub from_servers: AtomicU64,
    outcomes: [AtomicU64; Outcome::ALL.len()],
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both sides had said all.
    Ended,
    /// One side broke off.
    Broken,
    /// A filter closed it, or failed.
    Filtered,
    /// There was no server for it.
    Refused,
    /// Nothing passed for too long.
    TimedOut,
    /// The host stopped.
    Stopped,
}

impl Outcome {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Ended, Self::Broken, Self::Filtered, Self::Refused, Self::TimedOut, Self::Stopped];

    /// As logs and metrics write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Broken => "broken",
            Self::Filtered => "filtered",
            Self::Refused => "refused",
            Self::TimedOut => "timed-out",
            Self::Stopped => "stopped",
        }
    }
}

impl Counts {
    /// How many connections ended so.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome as usize).map_or(0, |count| count.load(Relaxed))
    }

    pub(super) fn begin(&self) {
        self.accepted.fetch_add(1, Relaxed);
        self.active.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self, outcome: Outcome) {
        self.active.fetch_sub(1, Relaxed);
        if let Some(count) = self.outcomes.get(outcome as usize) {
            count.fetch_add(1, Relaxed);
        }
    }
}
