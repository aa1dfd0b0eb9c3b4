//! How often and how fast something can be done by many at once.

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Does some operations each time it is called.
pub(crate) type Worker = Box<dyn FnMut() -> BoxFuture<'static, Result<()>> + Send>;

/// What came out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Operations in a second.
    pub(crate) rate: f64,
    /// Microseconds that half of them took at most, in the middle of those done at a time.
    pub(crate) p50: f64,
    /// Microseconds that all but one of a hundred took at most, in the same way.
    pub(crate) p99: f64,
}

/// Lets every worker work for `window`, after a fifth of it that does not count. They do `each`
/// operations at a time.
///
/// # Errors
/// The first that a worker meets.
pub(crate) async fn measure(workers: Vec<Worker>, each: u32, window: Duration) -> Result<Measured> {
    let begin = Instant::now() + window / 5;
    let end = begin + window;
    let mut tasks = JoinSet::new();
    for mut worker in workers {
        tasks.spawn(async move {
            let mut times = Histogram::<u64>::new(3)?;
            loop {
                let start = Instant::now();
                if start >= end {
                    return Ok::<_, anyhow::Error>(times);
                }
                worker().await?;
                if start >= begin {
                    times.record(u64::try_from(start.elapsed().as_nanos())?)?;
                }
            }
        });
    }
    let mut all = Histogram::<u64>::new(3)?;
    while let Some(times) = tasks.join_next().await {
        all.add(times.context("a worker")??)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "for a table")]
    let micros = |nanos: u64| nanos as f64 / 1e3 / f64::from(each);
    #[expect(clippy::cast_precision_loss, reason = "for a table")]
    let rate = all.len() as f64 * f64::from(each) / window.as_secs_f64();
    let (p50, p99) = (all.value_at_quantile(0.5), all.value_at_quantile(0.99));
    Ok(Measured { rate, p50: micros(p50), p99: micros(p99) })
}
