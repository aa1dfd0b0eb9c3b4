//! What filters count.

use crate::abi::{MetricType, Status};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of a histogram's buckets.
pub const BOUNDS: [u64; 20] = [
    1,
    5,
    10,
    25,
    50,
    100,
    250,
    500,
    1000,
    2500,
    5000,
    10_000,
    30_000,
    60_000,
    300_000,
    600_000,
    1_800_000,
    3_600_000,
    10_000_000,
    100_000_000,
];

/// One metric. Every host call on it is one atomic step.
#[derive(Debug)]
pub struct Metric {
    kind: MetricType,
    /// Of a histogram the sum.
    value: AtomicU64,
    /// Of a histogram how many values were at most each bound, and how many above.
    buckets: Option<Box<[AtomicU64; BOUNDS.len() + 1]>>,
}

impl Metric {
    /// A metric that counted nothing.
    pub fn new(kind: MetricType) -> Self {
        let buckets = (kind == MetricType::Histogram)
            .then(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        Self { kind, value: AtomicU64::new(0), buckets }
    }

    /// What it counts.
    pub fn kind(&self) -> MetricType {
        self.kind
    }

    /// The value; of a histogram the sum.
    pub fn value(&self) -> u64 {
        self.value.load(Relaxed)
    }

    /// How many values a histogram has seen up to each bound, and of all sizes.
    pub fn cumulated(&self) -> Vec<u64> {
        let buckets = self.buckets.iter().flat_map(|buckets| buckets.iter());
        let mut sum = 0;
        buckets
            .map(|bucket| {
                sum += bucket.load(Relaxed);
                sum
            })
            .collect()
    }

    /// `proxy_record_metric`: a gauge takes the value, a counter adds it, a histogram sees it.
    pub fn record(&self, value: u64) {
        match (&self.buckets, self.kind) {
            (Some(buckets), _) => {
                let index = BOUNDS.partition_point(|bound| *bound < value);
                if let Some(bucket) = buckets.get(index) {
                    bucket.fetch_add(1, Relaxed);
                }
                self.value.fetch_add(value, Relaxed);
            }
            (None, MetricType::Gauge) => self.value.store(value, Relaxed),
            (None, _) => drop(self.value.fetch_add(value, Relaxed)),
        }
    }

    /// `proxy_increment_metric`.
    ///
    /// # Errors
    /// `BadArgument` for a counter that would not grow, and for a histogram.
    pub fn increment(&self, delta: i64) -> Result<(), Status> {
        let change = delta.unsigned_abs();
        match self.kind {
            MetricType::Counter if delta > 0 => drop(self.value.fetch_add(change, Relaxed)),
            MetricType::Gauge if delta >= 0 => drop(self.value.fetch_add(change, Relaxed)),
            MetricType::Gauge => drop(self.value.fetch_sub(change, Relaxed)),
            MetricType::Counter | MetricType::Histogram => return Err(Status::BadArgument),
        }
        Ok(())
    }

    /// `proxy_get_metric`.
    ///
    /// # Errors
    /// `BadArgument` for a histogram, which has no one value.
    pub fn get(&self) -> Result<u64, Status> {
        match self.kind {
            MetricType::Histogram => Err(Status::BadArgument),
            _ => Ok(self.value()),
        }
    }
}
