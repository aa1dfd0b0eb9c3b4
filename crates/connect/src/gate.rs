//! What all calls to a server have in common: how many at once, how long each, and none at all
//! while the server is known to be away.

use base::{Error, Kind, Result, within};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// So many calls in a row that find the server away close the gate.
const FAILURES: u32 = 5;
/// How long it stays closed at first, and at the most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How long a call may take where the deployment says nothing else.
pub fn usual_timeout() -> Duration {
    Duration::from_secs(5)
}

/// How many calls are on their way at once where the deployment says nothing else.
pub fn usual_in_flight() -> usize {
    1024
}

/// The way to one server, for all calls of one binding.
///
/// While the server is away calls fail at once instead of piling up behind their timeouts. After a
/// pause, which grows with each attempt, one call is let through; when it succeeds all are.
pub struct Gate {
    server: String,
    timeout: Duration,
    permits: Semaphore,
    /// Failures in a row, where the lock below need not be taken while there are none.
    failures: AtomicU32,
    closed: Mutex<Option<Closed>>,
}

struct Closed {
    until: Instant,
    pause: Duration,
    cause: String,
    /// Whether a call is on its way to find out.
    trying: bool,
}

/// A call that was let through a closed gate. Whatever becomes of it, another may try after it.
struct Attempt<'a>(Option<&'a Gate>);

impl Gate {
    /// A gate to `server`, as errors shall name it, e.g. `redis 127.0.0.1:6379`. Calls take at most
    /// `timeout`, and at most `in_flight` are on their way at once.
    pub fn new(server: impl Into<String>, timeout: Duration, in_flight: usize) -> Self {
        Self {
            server: server.into(),
            timeout,
            permits: Semaphore::new(in_flight.min(Semaphore::MAX_PERMITS)),
            failures: AtomicU32::new(0),
            closed: Mutex::new(None),
        }
    }

    /// What stands behind the gate.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Makes a call.
    ///
    /// # Errors
    /// The call's own; `Unavailable` at once while the server is away; `Timeout` where the call
    /// takes too long, when nobody knows whether it took effect; `Exhausted` where it never began,
    /// because too many others are on their way.
    pub async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let attempt = self.admit()?;
        let Ok(permit) = within(self.timeout, self.permits.acquire()).await else {
            return Err(Error::exhausted(format!("too many calls to {} wait", self.server)));
        };
        let outcome = match within(self.timeout, call).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(Error::timeout(format!(
                "{} did not answer within {}",
                self.server,
                base::units::show_duration(self.timeout)
            ))),
        };
        drop(permit);
        match &outcome {
            Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Timeout) => {
                self.has_failed(error);
            }
            _ => self.has_answered(),
        }
        drop(attempt);
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Option<Closed>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self) -> Result<Attempt<'_>> {
        if self.failures.load(Relaxed) < FAILURES {
            return Ok(Attempt(None));
        }
        let mut closed = self.lock();
        let Some(closed) = &mut *closed else { return Ok(Attempt(None)) };
        let rest = closed.until.saturating_duration_since(Instant::now());
        if rest.is_zero() && !closed.trying {
            closed.trying = true;
            return Ok(Attempt(Some(self)));
        }
        Err(Error::unavailable(format!("{} is away: {}", self.server, closed.cause)))
    }

    fn has_answered(&self) {
        if self.failures.swap(0, Relaxed) >= FAILURES && self.lock().take().is_some() {
            tracing::info!(server = self.server, "the server is back");
        }
    }

    fn has_failed(&self, error: &Error) {
        if self.failures.fetch_add(1, Relaxed) + 1 < FAILURES {
            return;
        }
        let mut closed = self.lock();
        let pause = match &*closed {
            Some(closed) if closed.until > Instant::now() => return,
            Some(closed) => (closed.pause * 2).min(LONGEST),
            None => {
                tracing::warn!(server = self.server, %error, "the server is away");
                PAUSE
            }
        };
        // Not every host of a deployment at the same moment.
        let until = Instant::now() + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        *closed = Some(Closed { until, pause, cause: error.to_string(), trying: false });
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(gate) = self.0
            && let Some(closed) = &mut *gate.lock()
        {
            closed.trying = false;
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("server", &self.server).finish_non_exhaustive()
    }
}
