//! A token bucket without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Lets `rate` tokens through per second, and `burst` at once after a pause.
///
/// What is kept is not the number of tokens but the moment at which the bucket is full again: one
/// number, so that taking is one atomic exchange.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Nanoseconds that one token takes to come back.
    interval: u64,
    /// Nanoseconds that an empty bucket takes to fill.
    capacity: u64,
    /// When the bucket is full, in nanoseconds of the caller's clock.
    full_at: AtomicU64,
}

impl Bucket {
    /// A full bucket. A rate of zero lets nothing through.
    pub(crate) fn new(rate: u32, burst: u32) -> Self {
        let full_at = AtomicU64::new(0);
        match 1_000_000_000_u64.checked_div(rate.into()) {
            Some(interval) => Self { interval, capacity: interval * u64::from(burst), full_at },
            None => Self { interval: u64::MAX, capacity: 0, full_at },
        }
    }

    /// Takes `tokens`, or nothing if there are fewer. `now` is the time since a fixed moment.
    pub(crate) fn take(&self, tokens: u64, now: Duration) -> bool {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let cost = self.interval.saturating_mul(tokens);
        let taken = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| {
            let full_at = full_at.max(now).checked_add(cost)?;
            (full_at - now <= self.capacity).then_some(full_at)
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let bucket = Bucket::new(10, 3);
        let at = |ms| Duration::from_millis(ms);
        assert!((0..3).all(|_| bucket.take(1, at(1000))));
        assert!(!bucket.take(1, at(1000)));
        assert!(!bucket.take(1, at(1099)));
        assert!(bucket.take(1, at(1100)) && !bucket.take(1, at(1100)));
        // A long pause fills it, and no further.
        assert!(bucket.take(3, at(60_000)) && !bucket.take(1, at(60_000)));
    }

    #[test]
    fn what_does_not_fit_takes_nothing() {
        let bucket = Bucket::new(10, 3);
        assert!(!bucket.take(4, Duration::ZERO));
        assert!(bucket.take(3, Duration::ZERO));
    }

    #[test]
    fn extreme_numbers_do_no_harm() {
        for (rate, burst) in [(0, 0), (0, 9), (9, 0)] {
            let never = Bucket::new(rate, burst);
            assert!(!never.take(1, Duration::ZERO) && !never.take(u64::MAX, Duration::MAX));
        }
        let always = Bucket::new(u32::MAX, u32::MAX);
        assert!((0..1000).all(|_| always.take(1, Duration::ZERO)));
    }
}
