//! The memory that all guests of the program share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number of bytes that guests take from and give back to.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    used: AtomicU64,
}

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Self {
        Self { total, used: AtomicU64::new(0) }
    }

    /// Takes `bytes`, or nothing and says no.
    pub fn take(&self, bytes: u64) -> bool {
        let taken = self.used.fetch_add(bytes, Relaxed);
        let fits = taken.checked_add(bytes).is_some_and(|sum| sum <= self.total);
        if !fits {
            self.used.fetch_sub(bytes, Relaxed);
        }
        fits
    }

    /// Gives back what was taken.
    pub fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    /// The bytes in use now.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// The bytes there are.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn a_budget_is_never_overdrawn() {
        let budget = Budget::new(10);
        assert!(budget.take(7) && !budget.take(4) && budget.take(3));
        budget.give(7);
        assert_eq!(budget.used(), 3);
        assert!(!budget.take(u64::MAX));
    }
}
