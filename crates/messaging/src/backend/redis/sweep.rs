//! Removes messages that every group is done with, when they are old or their room is needed, and
//! forgets groups that nobody subscribes to any more.

use super::binding::{Binding, count, number, strange, text};
use super::group::INACTIVE;
use super::scripts::SWEEP;
use base::Result;
use base::units::Size;
use redis::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// The pause between two sweeps, at most.
const LONGEST: Duration = Duration::from_secs(300);
/// Room is not made more often than this, as a sweep looks at everything that groups wait for.
const PAUSE: Duration = Duration::from_millis(100);
/// So many times in a row a sweep is taken up again where there is more to remove.
const ROUNDS: usize = 64;
/// So many bytes are removed at least where room is made.
const LEAST: usize = 256 << 10;

/// What is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    /// For so long a message is kept that every group is done with.
    pub(super) age: Duration,
    /// After so long without a subscriber a group is forgotten.
    pub(super) groups: Duration,
    /// Room for all messages together; else as much as the server has.
    pub(super) size: Option<Size>,
}

/// What makes room.
pub(super) struct Room {
    retention: Retention,
    last: Mutex<Option<Instant>>,
}

impl Room {
    pub(super) fn new(retention: Retention) -> Self {
        Self { retention, last: Mutex::default() }
    }

    /// Removes so many bytes of what every group is done with, and says which group is behind all
    /// others.
    pub(super) async fn make(&self, binding: &Binding, wanted: usize) -> Result<Option<String>> {
        let mut last = self.last.lock().await;
        // Others have just done so.
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            return Ok(None);
        }
        let now = Retention { age: Duration::ZERO, ..self.retention };
        let wanted = match self.retention.size {
            Some(_) => wanted.max(LEAST),
            // Nobody knows by how much the server has too little.
            None => wanted.saturating_mul(4).max(4 * LEAST),
        };
        let swept = sweep(binding, now, Some(wanted)).await;
        *last = Some(Instant::now());
        swept.map(|(_, behind)| behind)
    }
}

/// Sweeps for ever.
pub(super) async fn run(binding: Arc<Binding>, retention: Retention) {
    let pause = (retention.age / 8).min(retention.groups / 8).min(LONGEST);
    loop {
        // Not every host of a deployment at the same moment.
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        for _ in 0..ROUNDS {
            match sweep(&binding, retention, None).await {
                Ok((true, _)) => {}
                Ok((false, _)) => break,
                Err(error) => {
                    tracing::debug!(%error, "sweeping old messages is tried again");
                    break;
                }
            }
        }
    }
}

fn or_none(number: Option<impl ToString>) -> String {
    number.map_or(String::new(), |number| number.to_string())
}

/// Removes some of what may go. Returns whether there may be more, and the group that is behind all
/// others.
async fn sweep(
    binding: &Binding,
    retention: Retention,
    wanted: Option<usize>,
) -> Result<(bool, Option<String>)> {
    let answer = binding.call(&SWEEP, |call| {
        let call = call.arg(count(retention.groups)).arg(count(INACTIVE));
        let call = call.arg(count(retention.age)).arg(or_none(wanted));
        call.arg(or_none(retention.size.filter(|_| wanted.is_some()).map(|size| size.0)))
    });
    let answer = answer.await?;
    if answer.word != "ok" {
        return Ok((false, None));
    }
    let parts: Result<[Value; 2], _> = answer.rest.try_into();
    let [more, behind] = parts.map_err(|it| strange(&Value::Array(it)))?;
    let behind = Some(text(behind)?).filter(|behind| !behind.is_empty());
    Ok((number(&more)? == 1, behind))
}
