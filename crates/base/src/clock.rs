//! The time of day in milliseconds, which tests may set.

use crate::units::milliseconds;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where what is inside this process takes the time from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock, so that a deadline holds across restarts.
    #[default]
    System,
    /// A clock that stands still until somebody moves it. In milliseconds.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands at one second.
    pub fn manual() -> Self {
        Self::Manual(Arc::new(AtomicU64::new(1000)))
    }

    /// Moves a manual clock on. The machine's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(time) = self {
            time.fetch_add(milliseconds(by), Ordering::SeqCst);
        }
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> u64 {
        milliseconds(self.time())
    }

    /// When something ends that lives for `ttl` from now: not before that. A part of a millisecond
    /// counts whole.
    pub fn deadline(&self, ttl: Duration) -> u64 {
        let end = self.time().saturating_add(ttl);
        let rest = u64::from(!end.subsec_nanos().is_multiple_of(1_000_000));
        milliseconds(end).saturating_add(rest)
    }

    fn time(&self) -> Duration {
        match self {
            Self::System => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Self::Manual(time) => Duration::from_millis(time.load(Ordering::SeqCst)),
        }
    }
}
