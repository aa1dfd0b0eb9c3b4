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
        opening: Option<Opening>,
    }
}

/// What every HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The time until a client has shown which HTTP it speaks. From then on the protocol's own limits
/// of time hold; before, there is no protocol yet.
struct Opening {
    timer: Pin<Box<Sleep>>,
    seen: usize,
}

impl Opening {
    /// Whether the version is known after these bytes.
    fn is_over(&mut self, bytes: &[u8]) -> bool {
        let expected = PREFACE.get(self.seen..).unwrap_or_default();
        self.seen += bytes.len();
        !expected.starts_with(bytes) || self.seen >= PREFACE.len()
    }
}

impl<S> Patient<S> {
    /// Bounds the writes of `stream` by `timeout`, and the time to its first bytes by `opening`.
    pub(crate) fn new(stream: S, timeout: Duration, opening: Duration) -> Self {
        let timer = Box::pin(sleep_until((Instant::now() + opening).into()));
        Self { stream, timeout, timer: None, opening: Some(Opening { timer, seen: 0 }) }
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
        let this = self.project();
        let before = buf.filled().len();
        let poll = this.stream.poll_read(cx, buf);
        let Some(opening) = this.opening else { return poll };
        if poll.is_ready() {
            if opening.is_over(buf.filled().get(before..).unwrap_or_default()) {
                *this.opening = None;
            }
            return poll;
        }
        match opening.timer.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client says nothing")))
            }
            Poll::Pending => Poll::Pending,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn whoever_says_nothing_is_ended_and_whoever_began_is_not() {
        for (begin, ends) in [("", true), ("PRI * HT", true), ("GET ", false)] {
            let (mut client, server) = duplex(64);
            let mut server = Patient::new(server, LONG, SHORT);
            client.write_all(begin.as_bytes()).await.unwrap();
            let mut begun = vec![0; begin.len()];
            server.read_exact(&mut begun).await.unwrap();
            let next = tokio::time::timeout(SHORT * 10, server.read_u8()).await;
            assert_eq!(next.is_ok(), ends, "{begin:?}");
        }
    }

    #[tokio::test]
    async fn whoever_takes_nothing_is_ended() {
        let (_client, server) = duplex(4);
        let mut server = Patient::new(server, SHORT, LONG);
        let ended = server.write_all(b"more than fits").await.unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::TimedOut);
    }
}
