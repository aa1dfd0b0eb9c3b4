//! Servers that fail again and again are left alone for a while, each time for longer.

use super::settings::Outlier;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How one server has answered of late.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Failures without a success between them.
    failures: u32,
    /// How often it was left alone, not long ago.
    times: u32,
    /// Until when it is, or was.
    until: Option<Instant>,
}

impl Record {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is left alone now.
    pub(crate) fn is_out(&self, now: Instant) -> bool {
        self.state().until.is_some_and(|until| now < until)
    }

    /// It answered well.
    pub(crate) fn succeeded(&self) {
        self.state().failures = 0;
    }

    /// It failed. If that was once too often and `may` says yes, it is left alone from now on,
    /// for the time that is returned.
    pub(crate) fn failed(
        &self,
        rule: &Outlier,
        now: Instant,
        may: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        {
            let mut state = self.state();
            state.failures = state.failures.saturating_add(1);
            let out = state.until.is_some_and(|until| now < until);
            if out || rule.failures == 0 || state.failures < rule.failures {
                return None;
            }
        }
        // Asked without the lock, because the answer looks at the records of all.
        if !may() {
            return None;
        }
        let mut state = self.state();
        if state.until.is_some_and(|until| until + rule.max_time <= now) {
            state.times = 0;
        }
        let time = rule.time.saturating_mul(1 << state.times.min(20)).min(rule.max_time);
        state.times = state.times.saturating_add(1);
        state.failures = 0;
        state.until = Some(now + time);
        Some(time)
    }
}

/// Whether one more of `all` may be left alone where `out` are already.
pub(crate) fn has_room(rule: &Outlier, all: usize, out: usize) -> bool {
    (out + 1) * 100 <= all * rule.max_ejected
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Outlier = Outlier {
        failures: 3,
        time: Duration::from_secs(10),
        max_time: Duration::from_secs(35),
        max_ejected: 50,
    };

    /// Fails as often as it takes; returns for how long it is left alone.
    fn eject(record: &Record, now: Instant) -> Option<Duration> {
        assert_eq!(record.failed(&RULE, now, || true), None);
        assert_eq!(record.failed(&RULE, now, || true), None);
        record.failed(&RULE, now, || true)
    }

    #[test]
    fn only_failures_in_a_row_count() {
        let (record, now) = (Record::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(record.failed(&RULE, now, || true), None);
            assert_eq!(record.failed(&RULE, now, || true), None);
            record.succeeded();
        }
        assert!(!record.is_out(now));
        assert_eq!(eject(&record, now), Some(RULE.time));
        assert!(record.is_out(now) && record.is_out(now + Duration::from_secs(9)));
        assert!(!record.is_out(now + RULE.time));
    }

    #[test]
    fn each_time_is_longer_up_to_the_longest_and_good_times_are_remembered() {
        let (record, mut now) = (Record::default(), Instant::now());
        for seconds in [10, 20, 35, 35] {
            let time = eject(&record, now).unwrap();
            assert_eq!(time.as_secs(), seconds);
            now += time;
        }
        now += RULE.max_time;
        assert_eq!(eject(&record, now), Some(RULE.time));
    }

    #[test]
    fn who_may_not_be_left_alone_stays() {
        let (record, now) = (Record::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(record.failed(&RULE, now, || false), None);
        }
        assert!(!record.is_out(now));
        assert_eq!(record.failed(&RULE, now, || true), Some(RULE.time));
    }

    #[test]
    fn never_more_than_the_share_is_left_alone() {
        let fits = |all, out| has_room(&RULE, all, out);
        assert!(!fits(1, 0) && fits(2, 0) && !fits(2, 1) && fits(5, 1) && !fits(5, 2));
        let whole = Outlier { max_ejected: 100, ..RULE };
        assert!(has_room(&whole, 1, 0) && has_room(&whole, 3, 2));
        let none = Outlier { max_ejected: 0, ..RULE };
        assert!(!has_room(&none, 100, 0));
    }

    #[test]
    fn without_a_number_of_failures_nobody_is_left_alone() {
        let (record, rule) = (Record::default(), Outlier { failures: 0, ..RULE });
        for _ in 0..100 {
            assert_eq!(record.failed(&rule, Instant::now(), || true), None);
        }
    }
}
