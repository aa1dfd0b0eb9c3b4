//! How the filters of all threads stand, for whoever looks after the program.

use ::filter::{Seat, Standing};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// The filters of all threads.
#[derive(Default)]
pub(crate) struct Seats(Mutex<Vec<Weak<Seat>>>);

/// How one filter stands: on so many threads, and with so many configurations, each counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stands {
    /// It runs.
    pub running: usize,
    /// It failed, and its next request starts it anew.
    pub restarting: usize,
    /// It failed on and on, and is left alone for a while.
    pub waiting: usize,
    /// It failed, and is not started again.
    pub away: usize,
    /// How long the longest of these whiles still is.
    pub wait: Duration,
    /// Failures lately.
    pub failures: u64,
    /// Why the last one of some thread was, in one line.
    pub last: Option<String>,
}

/// As much is told of why one failed.
const TOLD: usize = 200;

impl Seats {
    /// One more is there. It is forgotten when it goes.
    pub(super) fn add(&self, seat: &Arc<Seat>) {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.retain(|seat| seat.strong_count() > 0);
        seats.push(Arc::downgrade(seat));
    }

    /// No route has it any more. Its last streams may go on.
    pub(super) fn remove(&self, seat: &Arc<Seat>) {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.retain(|known| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(seat)));
    }

    /// By the names of filters.
    pub(crate) fn stand(&self) -> BTreeMap<String, Stands> {
        let seats: Vec<_> = {
            let seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            seats.iter().filter_map(Weak::upgrade).collect()
        };
        let mut all: BTreeMap<String, Stands> = BTreeMap::new();
        for seat in seats {
            let stands = all.entry(seat.plugin().name.as_ref().to_owned()).or_default();
            let (standing, failures, last) = seat.standing();
            match standing {
                Standing::Running => stands.running += 1,
                Standing::Restarting => stands.restarting += 1,
                Standing::Waiting(rest) => {
                    stands.waiting += 1;
                    stands.wait = stands.wait.max(rest);
                }
                Standing::Away => stands.away += 1,
            }
            stands.failures += u64::from(failures);
            if let Some(last) = last {
                let line = last.cause.lines().next().unwrap_or_default();
                stands.last = Some(line.chars().take(TOLD).collect());
            }
        }
        all
    }
}
