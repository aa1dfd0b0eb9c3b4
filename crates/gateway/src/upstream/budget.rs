//! How much is tried again at once, and how long is waited before: retries that nothing bounds
//! keep a server down that would have come back.

use super::settings::Retries;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// So many may be tried again at once, however few requests there are.
const ALWAYS: usize = 3;

/// The requests that are being tried again.
#[derive(Debug, Default)]
pub(crate) struct Budget(AtomicUsize);

/// One request that is being tried again, until dropped.
#[derive(Debug)]
pub(crate) struct Spent<'a>(&'a Budget);

impl Budget {
    /// Room for one more, where `active` requests are under way and `share` of a hundred of them
    /// may be tried again.
    pub(crate) fn spend(&self, active: usize, share: usize) -> Option<Spent<'_>> {
        let most = (active.saturating_mul(share) / 100).max(ALWAYS);
        let take = |now| (now < most).then_some(now + 1);
        self.0.fetch_update(Relaxed, Relaxed, take).ok().map(|_| Spent(self))
    }
}

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// The wait before the attempt after `earlier` ones: anything up to a bound that doubles, so that
/// those who failed together do not come back together. `chance` is from 0 to 1.
pub(crate) fn backoff(rule: &Retries, earlier: usize, chance: f64) -> Duration {
    let doublings = u32::try_from(earlier.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
    let bound = rule.backoff.saturating_mul(1 << doublings).min(rule.max_backoff);
    bound.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_what_is_under_way_is_tried_again_and_never_none() {
        let budget = Budget::default();
        let few: Vec<_> = (0..10).filter_map(|_| budget.spend(1, 20)).collect();
        assert_eq!(few.len(), ALWAYS);
        let more: Vec<_> = (0..100).filter_map(|_| budget.spend(50, 20)).collect();
        assert_eq!(few.len() + more.len(), 10);
        drop((few, more));
        assert_eq!((0..100).map_while(|_| budget.spend(50, 20).map(std::mem::forget)).count(), 10);
    }

    #[test]
    fn waits_grow_up_to_the_longest_and_chance_decides_within() {
        let rule = Retries {
            attempts: 9,
            statuses: Vec::new(),
            budget: 20,
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_millis(350),
        };
        let longest: Vec<_> = (1..=4).map(|n| backoff(&rule, n, 1.0).as_millis()).collect();
        assert_eq!(longest, [100, 200, 350, 350]);
        assert_eq!(backoff(&rule, 1, 0.0), Duration::ZERO);
        assert_eq!(backoff(&rule, 2, 0.5).as_millis(), 100);
        assert_eq!(backoff(&rule, 99, 1.0), rule.max_backoff);
    }
}
