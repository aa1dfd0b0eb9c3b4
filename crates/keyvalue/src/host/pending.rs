//! Results that guests wait for: what becomes of an operation that was begun.

use base::{Error, Result};
use futures::FutureExt as _;
use std::pin::Pin;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;

/// One of the resources `future-…-result`.
pub struct Pending<T>(Progress<T>);

enum Progress<T> {
    /// It runs.
    Begun { outcome: oneshot::Receiver<Result<T>>, _ends: Option<Ends> },
    /// It is done.
    Done(Result<T>),
    /// The guest has its result.
    Taken,
}

/// Ends the operation when dropped.
struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether an operation goes on when nobody waits for its result any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwatched {
    /// It changes something, so it does.
    GoesOn,
    /// It was only for the result.
    Ends,
}

impl<T: Send + 'static> Pending<T> {
    /// One that is done.
    pub(super) fn done(outcome: Result<T>) -> Self {
        Self(Progress::Done(outcome))
    }

    /// Begins an operation, which is a task unless it has its result at once.
    pub(super) fn begin(
        tasks: &engine::Tasks,
        unwatched: Unwatched,
        operation: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Self {
        let mut operation: Pin<Box<dyn Future<Output = Result<T>> + Send>> = Box::pin(operation);
        if let Some(outcome) = (&mut operation).now_or_never() {
            return Self::done(outcome);
        }
        let (sender, outcome) = oneshot::channel();
        let task = tasks.spawn(async move {
            // Whoever began it may not wait any more.
            drop(sender.send(operation.await));
        });
        let ends = (unwatched == Unwatched::Ends).then(|| Ends(task.abort_handle()));
        Self(Progress::Begun { outcome, _ends: ends })
    }

    /// The result, once it is there. It is given once: what comes after it is an error.
    pub(super) fn take(&mut self) -> Option<Result<T>> {
        if let Progress::Begun { outcome, .. } = &mut self.0 {
            let outcome = match outcome.try_recv() {
                Ok(outcome) => outcome,
                Err(oneshot::error::TryRecvError::Empty) => return None,
                Err(oneshot::error::TryRecvError::Closed) => Err(lost()),
            };
            self.0 = Progress::Done(outcome);
        }
        match std::mem::replace(&mut self.0, Progress::Taken) {
            Progress::Done(outcome) => Some(outcome),
            _ => Some(Err(Error::invalid("the result was taken before"))),
        }
    }
}

/// The task ended without a word, which it does when its runtime ends.
fn lost() -> Error {
    Error::unavailable("the host is shutting down")
}

#[async_trait]
impl<T: Send + 'static> Pollable for Pending<T> {
    async fn ready(&mut self) {
        if let Progress::Begun { outcome, .. } = &mut self.0 {
            let outcome = outcome.await.unwrap_or_else(|_closed| Err(lost()));
            self.0 = Progress::Done(outcome);
        }
    }
}
