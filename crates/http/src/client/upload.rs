//! The body of a request on its way out: counted, watched, and stopped when nobody wants it.

use super::Error;
use bytes::Bytes;
use futures::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

/// How the sending of a request's body ended.
///
/// It may end long after the response began, and it may fail although the response is whole.
/// Dropping it changes nothing.
#[derive(Debug)]
pub struct Sent(Option<oneshot::Receiver<Result<(), Error>>>);

impl Future for Sent {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(outcome) = &mut self.0 else { return Poll::Ready(Ok(())) };
        let outcome = std::task::ready!(Pin::new(outcome).poll(cx));
        self.0 = None;
        // A body that was dropped unasked was not needed, as that of a GET without a length.
        Poll::Ready(outcome.unwrap_or(Ok(())))
    }
}

/// What a request's body and the one who waits for the response know of each other.
#[derive(Debug)]
pub(super) struct Flow {
    stopped: AtomicBool,
    /// Whether the body waits for the server to ask for it.
    held: AtomicBool,
    waker: AtomicWaker,
    state: Mutex<State>,
    /// Counts the request as under way for as long as either of the two is.
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct State {
    moved: Instant,
    failure: Option<Error>,
}

impl Flow {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the connection last took something of the request.
    pub(super) fn moved(&self) -> Instant {
        self.state().moved
    }

    /// Restarts the clock of [`moved`](Self::moved).
    pub(super) fn begin(&self) {
        self.state().moved = Instant::now();
    }

    /// Keeps the body back.
    pub(super) fn hold(&self) {
        self.held.store(true, Ordering::Release);
    }

    /// Lets the body go.
    pub(super) fn release(&self) {
        self.held.store(false, Ordering::Release);
        self.waker.wake();
    }

    /// Whether the body is kept back.
    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Why the body failed, if it did; the connection reports that less exactly.
    pub(super) fn failure(&self) -> Option<Error> {
        self.state().failure.clone()
    }

    /// Ends the body with an error, so that the connection resets the exchange.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// The body that is given to hyper.
#[derive(Debug)]
pub(super) struct Upload {
    body: UnsyncBoxBody<Bytes, Error>,
    flow: Arc<Flow>,
    declared: Option<u64>,
    limit: u64,
    sent: u64,
    polled: bool,
    outcome: Option<oneshot::Sender<Result<(), Error>>>,
}

impl Upload {
    /// A body that says it is `declared` bytes long and may be at most `limit`.
    pub(super) fn new(
        body: UnsyncBoxBody<Bytes, Error>,
        declared: Option<u64>,
        limit: u64,
        permit: OwnedSemaphorePermit,
    ) -> (Self, Sent, Arc<Flow>) {
        let flow = Arc::new(Flow {
            stopped: AtomicBool::new(false),
            held: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            state: Mutex::new(State { moved: Instant::now(), failure: None }),
            _permit: permit,
        });
        let mut upload = Self {
            body,
            flow: Arc::clone(&flow),
            declared,
            limit,
            sent: 0,
            polled: false,
            outcome: None,
        };
        // Most requests have no body: nothing to wait for.
        let sent = (!upload.is_end_stream()).then(|| {
            let (outcome, sent) = oneshot::channel();
            upload.outcome = Some(outcome);
            sent
        });
        (upload, Sent(sent), flow)
    }

    /// A body of nothing, to repeat a request that had none.
    pub(super) fn empty(flow: Arc<Flow>) -> Self {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        Self { body, flow, declared: None, limit: 0, sent: 0, polled: false, outcome: None }
    }

    fn end(&mut self, outcome: Result<(), Error>) {
        if let Err(error) = &outcome {
            self.flow.state().failure = Some(error.clone());
        }
        if let Some(sender) = self.outcome.take() {
            // Nobody has to be interested.
            drop(sender.send(outcome));
        }
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.end(Err(error.clone()));
        Poll::Ready(Some(Err(error)))
    }

    /// Whether as much was sent as was declared.
    fn is_whole(&self) -> bool {
        self.declared.is_none_or(|declared| declared == self.sent)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.flow.waker.register(cx.waker());
        if self.flow.stopped.load(Ordering::Acquire) {
            return self.fail(Error::ConnectionTerminated);
        }
        if self.flow.is_held() {
            return Poll::Pending;
        }
        self.polled = true;
        // Being asked means that what was given before went out.
        self.flow.begin();
        match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.sent = self.sent.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                if self.sent > self.declared.unwrap_or(u64::MAX).min(self.limit) {
                    let error = Error::HttpRequestBodySize(Some(self.sent));
                    return self.fail(error);
                }
                if frame.is_trailers() {
                    self.end(Ok(()));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => self.fail(error),
            None if self.is_whole() => {
                self.end(Ok(()));
                Poll::Ready(None)
            }
            None => {
                let error = Error::HttpRequestBodySize(Some(self.sent));
                self.fail(error)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.is_whole()
    }

    fn size_hint(&self) -> SizeHint {
        match self.declared {
            Some(declared) => SizeHint::with_exact(declared.saturating_sub(self.sent)),
            None => self.body.size_hint(),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.outcome.is_none() || !self.polled {
            return;
        }
        // A connection that knows the length does not ask for the end.
        let whole = self.is_end_stream() || self.declared == Some(self.sent);
        let outcome = if whole { Ok(()) } else { Err(Error::ConnectionTerminated) };
        if let Some(sender) = self.outcome.take() {
            drop(sender.send(outcome));
        }
    }
}
