//! One call of a fresh instance: what triggers that are no servers do.

use crate::background::Fair;
use crate::{Ctx, Deadline, Ended, Guest};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;
use wasmtime::component::Accessor;

/// What the timer of the host waits beyond the deadline, so that a guest that computes is ended by
/// its own epoch, with a backtrace.
const SLACK: Duration = Duration::from_millis(20);

/// A call that goes on.
type Calling<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>>;

/// Makes `call` with the store of a fresh instance of `guest`, within its limits: it waits for a
/// place, and ends at the component's `request-timeout`.
///
/// # Errors
/// What `call` came to, naming the limit that was reached; [`Ended::Deadline`]; `Exhausted` where
/// there was no place.
pub async fn once<T: Send + 'static>(
    guest: &Arc<Guest>,
    call: impl FnOnce(&mut Store<Ctx>) -> Calling<'_, T> + Send + 'static,
) -> wasmtime::Result<T> {
    let permit = guest.admit().await.map_err(wasmtime::Error::new)?;
    once_admitted(guest, permit, call).await
}

/// The same with a place that the call has already, from [`Guest::admit`].
///
/// # Errors
/// As [`once`].
pub async fn once_admitted<T: Send + 'static>(
    guest: &Arc<Guest>,
    permit: OwnedSemaphorePermit,
    call: impl FnOnce(&mut Store<Ctx>) -> Calling<'_, T> + Send + 'static,
) -> wasmtime::Result<T> {
    let timeout = guest.limits().request_timeout;
    let mut store = guest.store(Deadline::after(timeout));
    let called = async move {
        let outcome = call(&mut store).await;
        outcome.map_err(|error| match store.data().reached() {
            Some(limit) => error.context(format!("the limit `{}` was reached", limit.word())),
            None => error,
        })
    };
    let called = Fair::new(Arc::clone(guest), called);
    let outcome = tokio::time::timeout(timeout + SLACK, called).await;
    drop(permit);
    match outcome {
        Ok(Some(outcome)) => outcome,
        Ok(None) => Err(wasmtime::Error::msg("the call panicked: a bug of the host")),
        Err(_elapsed) => Err(Ended::Deadline.into()),
    }
}

/// Waits for what a guest does after it has answered, which is part of the call. Inside
/// `run_concurrent`.
pub async fn rest(accessor: &Accessor<Ctx>) {
    poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
}
