//! Until when a call may go on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A moment that its holders can put off. Cheap to clone and to read.
///
/// The store reads it at each epoch, so that whoever serves the call can give it more time while
/// it makes progress.
#[derive(Clone, Debug)]
pub struct Deadline(Arc<AtomicU64>);

impl Deadline {
    /// The moment `timeout` from now.
    pub fn after(timeout: Duration) -> Self {
        let deadline = Self(Arc::new(AtomicU64::new(0)));
        deadline.put_off(timeout);
        deadline
    }

    /// Makes it the moment `timeout` from now.
    pub fn put_off(&self, timeout: Duration) {
        let moment = START.elapsed().saturating_add(timeout).as_nanos();
        self.0.store(u64::try_from(moment).unwrap_or(u64::MAX), Relaxed);
    }

    /// The moment.
    pub fn instant(&self) -> Instant {
        *START + Duration::from_nanos(self.0.load(Relaxed))
    }

    /// Waits until it has passed, however often it is put off.
    pub async fn passed(&self) {
        while !self.has_passed() {
            tokio::time::sleep_until(self.instant().into()).await;
        }
    }

    /// Whether it has passed.
    pub fn has_passed(&self) -> bool {
        Instant::now() >= self.instant()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_put_off_for_all_its_holders() {
        let deadline = Deadline::after(Duration::ZERO);
        let held = deadline.clone();
        assert!(held.has_passed());
        deadline.put_off(Duration::from_secs(60));
        assert!(!held.has_passed());
        deadline.put_off(Duration::MAX);
        assert!(!held.has_passed());
    }
}
