//! The body of a response on its way in: timed, measured, and giving its connection back.

use super::Error;
use super::classify::{self, Phase};
use super::pool::Lease;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The body of a response.
///
/// Nothing is read ahead of whoever polls it, beyond what the protocol's windows hold. Dropped
/// before its end it aborts the request; read to its end it gives the connection back.
pub struct Body {
    incoming: Incoming,
    lease: Option<Lease>,
    limits: Limits,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer runs: it does while nothing comes.
    timed: bool,
    received: u64,
    expected: Option<u64>,
}

/// What a response's body may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long it may be silent.
    pub(super) between_bytes: Duration,
    /// When it must be whole, if ever.
    pub(super) deadline: Option<Instant>,
    /// How long it may be, in bytes.
    pub(super) size: u64,
}

impl Body {
    /// Starts reading. A length above the limit is an error before the first byte.
    pub(super) fn new(incoming: Incoming, lease: Lease, limits: Limits) -> Result<Self, Error> {
        let expected = incoming.size_hint().exact();
        if let Some(length) = expected.filter(|length| *length > limits.size) {
            return Err(Error::HttpResponseBodySize(Some(length)));
        }
        let lease = Some(lease);
        let (timer, timed, received) = (None, false, 0);
        let mut body = Self { incoming, lease, limits, timer, timed, received, expected };
        if body.incoming.is_end_stream() {
            body.finish();
        }
        Ok(body)
    }

    /// The body of a response that has none, whose connection is somebody else's.
    pub(super) fn empty(incoming: Incoming, limits: Limits) -> Self {
        let (timer, timed, received) = (None, false, 0);
        Self { incoming, lease: None, limits, timer, timed, received, expected: Some(0) }
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.finish();
        }
    }

    /// Ends the exchange: what comes after an error is nothing.
    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.lease = None;
        Poll::Ready(Some(Err(error)))
    }

    fn silence(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let silent = super::after(self.limits.between_bytes);
        let until = self.limits.deadline.map_or(silent, |deadline| deadline.min(silent));
        let timer = self.timer.get_or_insert_with(|| {
            self.timed = true;
            Box::pin(tokio::time::sleep_until(until))
        });
        if !self.timed {
            timer.as_mut().reset(until);
            self.timed = true;
        }
        ready!(timer.as_mut().poll(cx));
        match self.limits.deadline {
            Some(deadline) if deadline <= Instant::now() => self.fail(Error::HttpResponseTimeout),
            _ => self.fail(Error::ConnectionReadTimeout),
        }
    }

    fn receive(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.timed = false;
        let length = frame.data_ref().map_or(0, Bytes::len);
        self.received = self.received.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        if self.received > self.limits.size {
            return self.fail(Error::HttpResponseBodySize(Some(self.received)));
        }
        if self.limits.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return self.fail(Error::HttpResponseTimeout);
        }
        if frame.is_trailers() || self.incoming.is_end_stream() {
            self.finish();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.expected.is_some_and(|expected| expected > self.received) {
            return self.fail(Error::HttpResponseIncomplete);
        }
        self.finish();
        Poll::Ready(None)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.lease.is_none() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => self.receive(frame),
            Poll::Ready(Some(Err(error))) => {
                let error = classify::hyper(&error, Phase::Body);
                self.fail(error)
            }
            Poll::Ready(None) => self.end(),
            Poll::Pending => self.silence(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lease.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.lease.is_none() { SizeHint::with_exact(0) } else { self.incoming.size_hint() }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("received", &self.received)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}
