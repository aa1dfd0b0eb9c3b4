//! Work that only computes, on a thread of its own: signals and clocks are heard meanwhile.

use base::{Error, Result};
use std::thread;
use tokio::sync::oneshot;

/// Does the work on a thread of its own.
///
/// Nobody waits for the thread when the future is dropped, not even the end of the program: a
/// runtime would wait for its blocking tasks. So the work must hold nothing whose end matters, an
/// open store for example.
///
/// # Errors
/// Those of the work; `Unavailable` when there is no thread to be had, `Internal` when the work
/// panicked.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (done, result) = oneshot::channel();
    let worker = move || {
        let worked = work();
        // Only this thread can give back what it freed, and it will not be quiet but gone.
        engine::trim();
        // Nobody may be left to wait for it.
        drop(done.send(worked));
    };
    thread::Builder::new()
        .name("wharf-beside".to_owned())
        .spawn(worker)
        .map_err(|error| Error::unavailable("starting a thread").with_source(error))?;
    result.await.unwrap_or_else(|_| Err(Error::internal("a thread panicked while it loaded")))
}
