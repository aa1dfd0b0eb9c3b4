//! A stream whose writes may not stall for ever.

use pin_project_lite::pin_project;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

pin_project! {
    /// Ends a connection whose peer takes nothing for too long: a client that does not read would
    /// otherwise hold its guest and its memory as long as it likes.
    pub(crate) struct Patient<S> {
        #[pin]
        stream: S,
        timeout: Duration,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, timeout: Duration) -> Self {
        Self { stream, timeout, timer: None }
    }
}

/// Arms the timer while a write waits, and disarms it when one went through.
fn watch<T>(
    poll: Poll<Result<T>>,
    timer: &mut Option<Pin<Box<Sleep>>>,
    timeout: Duration,
    cx: &mut Context<'_>,
) -> Poll<Result<T>> {
    if poll.is_ready() {
        *timer = None;
        return poll;
    }
    let timer =
        timer.get_or_insert_with(|| Box::pin(sleep_until((Instant::now() + timeout).into())));
    match timer.as_mut().poll(cx) {
        Poll::Ready(()) => {
            Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client takes no bytes")))
        }
        Poll::Pending => Poll::Pending,
    }
}

impl<S: AsyncRead> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        self.project().stream.poll_read(cx, buf)
    }
}

impl<S: AsyncWrite> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let this = self.project();
        watch(this.stream.poll_write(cx, buf), this.timer, *this.timeout, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.project();
        watch(this.stream.poll_write_vectored(cx, bufs), this.timer, *this.timeout, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.project();
        watch(this.stream.poll_flush(cx), this.timer, *this.timeout, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.project();
        watch(this.stream.poll_shutdown(cx), this.timer, *this.timeout, cx)
    }
}
