//! What asking a server after its health came to.

use super::settings::Check;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Whether a server is well. Until it was asked often enough it is.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Bad answers in a row while it is well; zero after a good one.
    bad: AtomicU32,
    /// How many good answers it still needs to be well.
    owes: AtomicU32,
}

impl Verdict {
    pub(crate) fn is_well(&self) -> bool {
        self.owes.load(Relaxed) == 0
    }

    /// Notes one answer; says whether it changed the verdict. Only one task asks a server, so the
    /// two numbers need no lock.
    pub(crate) fn note(&self, good: bool, rule: &Check) -> bool {
        match (self.is_well(), good) {
            (true, true) => {
                self.bad.store(0, Relaxed);
                false
            }
            (true, false) => {
                let bad = self.bad.load(Relaxed) + 1;
                self.bad.store(bad, Relaxed);
                let ill = bad >= rule.unhealthy;
                if ill {
                    self.bad.store(0, Relaxed);
                    self.owes.store(rule.healthy.max(1), Relaxed);
                }
                ill
            }
            (false, true) => {
                let owes = self.owes.load(Relaxed) - 1;
                self.owes.store(owes, Relaxed);
                owes == 0
            }
            (false, false) => {
                self.owes.store(rule.healthy.max(1), Relaxed);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn several_answers_in_a_row_change_the_verdict_both_ways() {
        let second = Duration::from_secs(1);
        let (healthy, unhealthy) = (2, 3);
        let rule = Check { path: None, interval: second, timeout: second, healthy, unhealthy };
        let verdict = Verdict::default();
        let note = |good| (verdict.note(good, &rule), verdict.is_well());
        assert_eq!([note(false), note(false), note(true)], [(false, true); 3]);
        assert_eq!([note(false), note(false)], [(false, true); 2]);
        assert_eq!(note(false), (true, false));
        assert_eq!([note(true), note(false), note(true)], [(false, false); 3]);
        assert_eq!(note(true), (true, true));
        assert_eq!([note(false), note(false)], [(false, true); 2]);
    }
}
