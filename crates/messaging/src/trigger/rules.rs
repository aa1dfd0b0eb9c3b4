//! How messages are handed out, and what becomes of those that fail.

use crate::Subscription;
use crate::cloudevents::Mode;
use std::time::Duration;

/// A `[[subscribe]]` of the deployment file.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What is subscribed to.
    pub subscription: Subscription,
    /// So many calls are made at once.
    pub concurrency: usize,
    /// So many messages are handed over in one call, at the most: one at least, and more only to a
    /// [`Receiver`](super::Receiver) that takes several.
    pub batch: usize,
    /// How long the first of them waits for the others: less than half of the deadline.
    pub batch_wait: Duration,
    /// The pauses after a failure, one after the other; the last one is repeated. Each is made up
    /// to a fifth longer or shorter by chance, so that what failed together does not come together.
    pub retry: Vec<Duration>,
    /// A message is handed out so often before it is given up.
    pub attempts: u32,
    /// The topic to which it goes then.
    pub dead_letters: Option<String>,
    /// Messages are CloudEvents, and handed over in this form. What is none is given up at once.
    pub cloudevents: Option<Mode>,
}

impl Rules {
    /// The usual pauses.
    pub const RETRY: [Duration; 5] = [
        Duration::from_secs(1),
        Duration::from_secs(5),
        Duration::from_secs(30),
        Duration::from_secs(120),
        Duration::from_secs(600),
    ];
    /// The usual number of attempts.
    pub const ATTEMPTS: u32 = 10;
    /// The usual number of calls that are made at once.
    pub const CONCURRENCY: usize = 16;

    /// The pause after the attempt with this number, counted from one.
    pub(super) fn pause(&self, attempt: u32) -> Duration {
        let nth = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        let pause = self.retry.get(nth).or(self.retry.last()).copied().unwrap_or_default();
        pause.mul_f64(0.8 + 0.4 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pause_is_repeated_and_chance_is_bounded() {
        let rules = Rules {
            subscription: Subscription::new(Vec::new()),
            concurrency: 1,
            batch: 1,
            batch_wait: Duration::ZERO,
            cloudevents: None,
            retry: vec![Duration::from_secs(1), Duration::from_secs(10)],
            attempts: 3,
            dead_letters: None,
        };
        for (attempt, seconds) in [(1, 1.0), (2, 10.0), (3, 10.0), (u32::MAX, 10.0)] {
            for _ in 0..100 {
                let pause = rules.pause(attempt).as_secs_f64();
                assert!((0.8 * seconds..=1.2 * seconds).contains(&pause), "{pause}");
            }
        }
        assert_eq!(Rules { retry: Vec::new(), ..rules }.pause(1), Duration::ZERO);
    }
}
