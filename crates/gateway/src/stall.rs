//! Answers that their client does not take.
//!
//! A client of HTTP/2 can leave its window closed. Nothing is then written, so no write stalls, and
//! the body is not asked for its next part: neither the connection nor the guest sees the time
//! pass. This does.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since a moment before any answer, never 0.
fn now() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// Since when a body has a part under way that the client did not make room for; 0 where it is the
/// guest or the server that is waited for.
#[derive(Debug, Default)]
pub(crate) struct Mark(AtomicU64);

impl Mark {
    /// A part was handed over, and the client has to make room for the next.
    pub(crate) fn given(&self) {
        self.0.store(now(), Relaxed);
    }

    /// The client has room, and there is nothing for it.
    pub(crate) fn wanted(&self) {
        self.0.store(0, Relaxed);
    }

    /// Takes down what asking for the next part came to.
    pub(crate) fn note<T>(&self, part: Poll<T>) -> Poll<T> {
        if part.is_ready() {
            self.given();
        } else {
            self.wanted();
        }
        part
    }
}

/// The bodies of one connection that are under way.
#[derive(Debug, Default)]
pub(crate) struct Bodies(Mutex<Vec<Weak<Mark>>>);

impl Bodies {
    /// Watches a body from now on.
    pub(crate) fn watch(&self) -> Arc<Mark> {
        let mark = Arc::new(Mark::default());
        mark.given();
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|mark| mark.strong_count() > 0);
        marks.push(Arc::downgrade(&mark));
        mark
    }

    /// Whether some body was not taken for as long as `timeout`.
    pub(crate) fn have_stalled(&self, timeout: Duration) -> bool {
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.iter().filter_map(Weak::upgrade).any(|mark| {
            let since = mark.0.load(Relaxed);
            since != 0 && now().saturating_sub(since) >= timeout
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_body_that_waits_for_its_client_stalls() {
        let (bodies, none) = (Bodies::default(), Duration::ZERO);
        assert!(!bodies.have_stalled(none));
        let body = bodies.watch();
        assert!(bodies.have_stalled(none) && !bodies.have_stalled(Duration::from_secs(60)));
        body.wanted();
        assert!(!bodies.have_stalled(none));
        body.given();
        assert!(bodies.have_stalled(none));
        drop(body);
        assert!(!bodies.have_stalled(none));
    }
}
