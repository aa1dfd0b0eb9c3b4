//! Times a small piece of work, in batches that are long against the clock's resolution.

use std::fmt;
use std::time::{Duration, Instant};

/// How long one batch takes.
const BATCH: Duration = Duration::from_millis(10);
/// Batches of one measurement.
const BATCHES: usize = 100;
/// Runs in one batch, at most.
const MAX_RUNS: u32 = 1 << 20;

/// Nanoseconds of one run, over all batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// Half of the batches were faster.
    pub median: f64,
    /// The fastest batch.
    pub min: f64,
    /// One batch of ten was slower.
    pub p90: f64,
}

/// Times `batch`, which does its work as often as it is told.
///
/// # Errors
/// The work's own.
pub fn time<E>(mut batch: impl FnMut(u32) -> Result<(), E>) -> Result<Times, E> {
    let mut runs = 1;
    // Also warms up: caches, pools, the branch predictor.
    loop {
        let start = Instant::now();
        batch(runs)?;
        if start.elapsed() >= BATCH || runs >= MAX_RUNS {
            break;
        }
        runs *= 2;
    }
    let mut nanos = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let start = Instant::now();
        batch(runs)?;
        nanos.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(runs));
    }
    nanos.sort_by(f64::total_cmp);
    let at = |index: usize| nanos.get(index).copied().unwrap_or(f64::NAN);
    Ok(Times { median: at(BATCHES / 2), min: at(0), p90: at(BATCHES * 9 / 10) })
}

impl Times {
    /// What each of `parts` in this took that is not in `other`.
    pub fn less(self, other: Self, parts: u32) -> Self {
        let part = |time: f64, other: f64| (time - other) / f64::from(parts);
        Self {
            median: part(self.median, other.median),
            min: part(self.min, other.min),
            p90: part(self.p90, other.p90),
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, min, p90 } = self;
        write!(f, "{median:>10.1} ns  (fastest {min:.1}, nine in ten below {p90:.1})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_work_takes_longer() {
        let spin = |length: u32| {
            move |runs: u32| {
                for _ in 0..runs * length {
                    std::hint::black_box(length);
                }
                Ok::<(), ()>(())
            }
        };
        let (short, long) = (time(spin(100)).unwrap(), time(spin(10_000)).unwrap());
        assert!(short.min <= short.median && short.median <= short.p90);
        assert!(long.median > short.median * 5.0);
    }
}
