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

/// The most connections of a host where the deployment says nothing else.
pub fn usual_connections() -> usize {
    16
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

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::atomic::AtomicUsize;
    use tokio::task::yield_now;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn no_more_calls_are_on_their_way_than_may_be() {
        let gate = Gate::new("redis h:1", LONG, 2);
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let call = || {
            gate.call(async {
                most.fetch_max(running.fetch_add(1, Relaxed) + 1, Relaxed);
                for _ in 0..10 {
                    yield_now().await;
                }
                running.fetch_sub(1, Relaxed);
                Ok(())
            })
        };
        let all = tokio::join!(call(), call(), call(), call());
        assert!(matches!(all, (Ok(()), Ok(()), Ok(()), Ok(()))));
        assert_eq!(most.into_inner(), 2);
    }

    #[tokio::test]
    async fn a_call_that_waits_for_too_long_never_begins() {
        let gate = Gate::new("redis h:1", SHORT, 2);
        let begun = AtomicUsize::new(0);
        let call = || {
            gate.call(async {
                begun.fetch_add(1, Relaxed);
                Ok(())
            })
        };
        // As two calls that take longer than a third waits.
        let others = gate.permits.acquire_many(2).await.unwrap();
        let error = call().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Exhausted, "{error}");
        assert_eq!(error.to_string(), "too many calls to redis h:1 wait");
        assert_eq!(begun.load(Relaxed), 0);
        drop(others);
        call().await.unwrap();
        // One that began and took too long is told otherwise: it may have taken effect.
        let late = gate.call(pending::<Result<()>>()).await.unwrap_err();
        assert_eq!(late.kind(), Kind::Timeout, "{late}");
        assert_eq!(late.to_string(), "redis h:1 did not answer within 50ms");
    }

    impl Gate {
        /// Has the pause be over, or far from it.
        fn pause_until(&self, until: Instant) {
            self.lock().as_mut().expect("it is closed").until = until;
        }
    }

    #[tokio::test]
    async fn a_server_that_is_away_closes_it_until_a_call_succeeds() {
        let gate = Gate::new("redis h:1", LONG, 2);
        let asked = AtomicUsize::new(0);
        let fail = || async {
            let call = gate.call(async {
                asked.fetch_add(1, Relaxed);
                yield_now().await;
                Err::<(), _>(Error::unavailable("refused"))
            });
            let error = call.await.unwrap_err();
            assert_eq!(error.kind(), Kind::Unavailable, "{error}");
            error.to_string()
        };
        let away = "redis h:1 is away: refused";
        for _ in 0..FAILURES {
            assert_eq!(fail().await, "refused");
        }
        // Now nobody asks any more.
        gate.pause_until(Instant::now() + LONG);
        for _ in 0..10 {
            assert_eq!(fail().await, away);
        }
        assert_eq!(asked.load(Relaxed), 5);
        // After the pause one does, and the others hear at once what it was before.
        gate.pause_until(Instant::now());
        let told = tokio::join!(fail(), fail(), fail());
        assert_eq!(told, ("refused".to_owned(), away.to_owned(), away.to_owned()));
        assert_eq!(asked.load(Relaxed), 6);
        assert_eq!(gate.lock().as_ref().map(|closed| closed.pause), Some(PAUSE * 2));
        // One that is given up on its way is no answer: another may try.
        gate.pause_until(Instant::now());
        tokio::select! {
            biased;
            _ = gate.call(pending::<Result<()>>()) => unreachable!("it is pending"),
            () = yield_now() => {}
        }
        gate.call(async { Ok(()) }).await.unwrap();
        // And with that one all are let through.
        assert!(gate.lock().is_none());
        for _ in 1..FAILURES {
            assert_eq!(fail().await, "refused");
        }
        gate.call(async { Ok(()) }).await.unwrap();
    }

    #[tokio::test]
    async fn what_the_server_itself_refuses_does_not_close_it() {
        let gate = Gate::new("redis h:1", LONG, 2);
        for _ in 0..3 * FAILURES {
            let refused = gate.call(async { Err::<(), _>(Error::denied("no")) }).await;
            assert_eq!(refused.unwrap_err().kind(), Kind::Denied);
        }
    }
}
