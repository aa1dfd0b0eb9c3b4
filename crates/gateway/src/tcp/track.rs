//! What passes through one connection: how much, when last, and who said that it was all.

use super::Inlet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What passed through a connection.
pub(super) struct Track {
    inlet: Arc<Inlet>,
    pub(super) begun: Instant,
    /// Milliseconds from the beginning to when something passed last.
    moved: AtomicU64,
    pub(super) client: Side,
    pub(super) server: Side,
    /// It was closed here: a side that ends after that did not end by itself.
    is_closed: AtomicBool,
}

/// What came from one side.
#[derive(Default)]
pub(super) struct Side {
    bytes: AtomicU64,
    is_over: AtomicBool,
}

impl Side {
    /// Bytes that came.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Whether it ended by itself.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }
}

/// Which side.
#[derive(Clone, Copy)]
pub(super) enum From {
    Client,
    Server,
}

impl Track {
    pub(super) fn new(inlet: Arc<Inlet>) -> Arc<Self> {
        let (client, server, moved, is_closed) = Default::default();
        Arc::new(Self { inlet, begun: Instant::now(), moved, client, server, is_closed })
    }

    fn moved(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Relaxed);
    }

    fn came(&self, from: From, bytes: usize) {
        let (side, all) = match from {
            From::Client => (&self.client, &self.inlet.counts.from_clients),
            From::Server => (&self.server, &self.inlet.counts.from_servers),
        };
        side.bytes.fetch_add(bytes as u64, Relaxed);
        all.fetch_add(bytes as u64, Relaxed);
        self.moved();
    }

    /// It is closed here.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Relaxed);
    }

    fn is_over(&self, from: From) {
        if self.is_closed.load(Relaxed) {
            return;
        }
        let side = match from {
            From::Client => &self.client,
            From::Server => &self.server,
        };
        side.is_over.store(true, Relaxed);
    }

    /// Waits until nothing has passed for as long as `patience`.
    pub(super) async fn idle(&self, patience: Duration) {
        loop {
            let last = Duration::from_millis(self.moved.load(Relaxed));
            let still = self.begun.elapsed().saturating_sub(last);
            match patience.checked_sub(still) {
                // A millisecond more, because what moved is written down in whole ones.
                Some(rest) => tokio::time::sleep(rest + Duration::from_millis(1)).await,
                None => return,
            }
        }
    }
}

/// One side's stream, of which everything is written down.
pub(super) struct Tracked<S> {
    stream: S,
    from: From,
    track: Arc<Track>,
}

impl<S> Tracked<S> {
    pub(super) fn new(stream: S, from: From, track: &Arc<Track>) -> Self {
        Self { stream, from, track: Arc::clone(track) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tracked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match &read {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                self.track.came(self.from, buffer.filled().len() - before);
            }
            Poll::Ready(Ok(())) if room == 0 => {}
            Poll::Ready(Ok(()) | Err(_)) => self.track.is_over(self.from),
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tracked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_ready() {
            self.track.moved();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
