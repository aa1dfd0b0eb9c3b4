//! What all calls from guests to backends have in common: deadline, permit, span, count.

use base::{Error, Result, Timer};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

/// The one place through which host calls go.
///
/// Cheap to clone. 0.2 bindings reach it by [`View::call`](crate::View::call); 0.3 bindings clone
/// it out of the store and await outside.
#[derive(Clone)]
pub struct Calls {
    shared: Arc<Shared>,
    timer: Timer,
}

struct Shared {
    component: Arc<str>,
    timeout: Duration,
    permits: Semaphore,
    counts: Counts,
}

/// How many host calls of a component ended how, since it was loaded.
#[derive(Debug, Default)]
pub struct Counts {
    /// Calls that were answered.
    pub ok: AtomicU64,
    /// Calls that failed for a reason the guest can read.
    pub failed: AtomicU64,
    /// Calls that took longer than they may.
    pub timed_out: AtomicU64,
}

impl Calls {
    /// Calls of `component`, each at most `timeout` long and at most `concurrent` at once.
    pub fn new(component: impl Into<Arc<str>>, timeout: Duration, concurrent: usize) -> Self {
        let shared = Arc::new(Shared {
            component: component.into(),
            timeout,
            permits: Semaphore::new(concurrent.min(Semaphore::MAX_PERMITS)),
            counts: Counts::default(),
        });
        Self { shared, timer: Timer::default() }
    }

    /// The same for another instance, whose calls have a timer of their own.
    #[must_use]
    pub fn of_another_instance(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), timer: Timer::default() }
    }

    /// Runs one backend call under everything calls have in common.
    ///
    /// # Errors
    /// The call's own, or `Timeout` when it took too long.
    pub async fn run<T>(
        &self,
        capability: &'static str,
        operation: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let component = &self.shared.component;
        let span = tracing::debug_span!("host_call", %component, capability, operation);
        let limited = async {
            // The semaphore is never closed, so this waits and does not fail.
            let _permit = self.shared.permits.acquire().await;
            call.await
        };
        let counts = &self.shared.counts;
        match self.timer.within(self.shared.timeout, limited).instrument(span).await {
            Ok(outcome) => {
                if outcome.is_ok() { &counts.ok } else { &counts.failed }.fetch_add(1, Relaxed);
                outcome
            }
            Err(_elapsed) => {
                counts.timed_out.fetch_add(1, Relaxed);
                Err(Error::timeout(format!("{capability} {operation} took too long")))
            }
        }
    }

    /// How the calls ended so far.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// The component whose calls these are.
    pub fn component(&self) -> &str {
        &self.shared.component
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls")
            .field("component", &self.shared.component)
            .field("counts", &self.shared.counts)
            .finish_non_exhaustive()
    }
}
