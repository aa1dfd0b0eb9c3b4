//! The memory that all guests of the program share.

use std::sync::Arc;
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

/// What one guest has taken, within a limit of its own and from a budget. Dropped, it gives back.
#[derive(Debug)]
pub struct Account {
    most: u64,
    used: u64,
    budget: Option<Arc<Budget>>,
}

/// Why an account gives nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// Its own limit is reached.
    Own,
    /// The budget has nothing left.
    Budget,
}

impl Account {
    /// An account of at most `most` bytes, and of what `budget` has left if there is one.
    pub fn new(most: u64, budget: Option<Arc<Budget>>) -> Self {
        Self { most, used: 0, budget }
    }

    /// The bytes that were taken.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Takes `bytes`, or nothing.
    ///
    /// # Errors
    /// What there is too little of.
    pub fn take(&mut self, bytes: u64) -> Result<(), Short> {
        if self.used.saturating_add(bytes) > self.most {
            return Err(Short::Own);
        }
        if self.budget.as_ref().is_some_and(|budget| !budget.take(bytes)) {
            return Err(Short::Budget);
        }
        self.used += bytes;
        Ok(())
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give(self.used);
        }
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
