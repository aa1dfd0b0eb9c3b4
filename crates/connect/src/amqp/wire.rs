//! The bytes of a connection: plain or through TLS, for a library that brings its own notion of a
//! runtime.
//!
//! The library reads and writes on a thread of its own, waits there for as long as the server likes
//! and keeps to itself what the server says when it greets. So whoever made a wire can cut it, is
//! told when it is gone, and finds what came first.

use async_rs::Tokio;
use async_rs::traits::Reactor;
use futures::Stream;
use futures::io::{AsyncRead, AsyncWrite};
use futures::task::AtomicWaker;
use lapin::types::{AMQPValue, FieldTable, parsing};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::sync::watch;

/// The most bytes of a greeting.
const GREETING: usize = 16 << 10;
/// In front of the properties in a greeting: a frame's head, what it is, the protocol's version.
const HEAD: usize = 7 + 4 + 2;

/// What bytes go through.
pub(super) trait Bytes: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Bytes for T {}

/// One end of a connection, as the library has it.
pub(super) struct Wire {
    bytes: Box<dyn Bytes>,
    link: Arc<Link>,
}

/// The same, as who made it has it.
pub(super) struct Link {
    is_cut: AtomicBool,
    reader: AtomicWaker,
    received: AtomicU64,
    /// What came first.
    greeting: Mutex<Vec<u8>>,
    is_lost: watch::Sender<bool>,
}

impl Link {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            is_cut: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            received: AtomicU64::new(0),
            greeting: Mutex::default(),
            is_lost: watch::Sender::new(false),
        })
    }

    /// A wire that this belongs to.
    pub(super) fn over(self: &Arc<Self>, bytes: impl Bytes + 'static) -> Wire {
        Wire { bytes: Box::new(bytes), link: Arc::clone(self) }
    }

    /// Ends the connection.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Relaxed);
        self.reader.wake();
    }

    /// Whether the library has given it up.
    pub(super) fn is_lost(&self) -> bool {
        self.is_cut.load(Relaxed) || *self.is_lost.borrow()
    }

    pub(super) async fn lost(&self) {
        // An error would say that who tells is gone, and that is this.
        drop(self.is_lost.subscribe().wait_for(|is_lost| *is_lost).await);
    }

    /// How many bytes came so far.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// What the server says that it is: its product and its version.
    pub(super) fn greeting(&self) -> (String, String) {
        let bytes = std::mem::take(&mut *base::lock(&self.greeting));
        let properties = bytes.get(HEAD..).unwrap_or_default();
        let properties = parsing::parse_field_table(properties);
        let properties = properties.map_or_else(|_| FieldTable::default(), |(_, table)| table);
        let text = |name: &str| match properties.inner().get(name) {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            _ => String::new(),
        };
        (text("product"), text("version"))
    }

    fn note(&self, bytes: &[u8]) {
        let before = self.received.fetch_add(bytes.len() as u64, Relaxed);
        if before < GREETING as u64 {
            base::lock(&self.greeting).extend_from_slice(bytes);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.link.reader.register(context.waker());
        if self.link.is_cut.load(Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let mut into = ReadBuf::new(into);
        ready!(Pin::new(&mut self.bytes).poll_read(context, &mut into))?;
        self.link.note(into.filled());
        Poll::Ready(Ok(into.filled().len()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(context)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.link.is_lost.send_replace(true);
    }
}

/// What makes the library take wires: Tokio, except for how connections are made.
#[derive(Clone, Debug)]
pub(super) struct Wires(pub(super) Tokio);

impl Reactor for Wires {
    type TcpStream = Wire;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        _address: SocketAddr,
    ) -> impl Future<Output = io::Result<Wire>> + Send + 'static {
        // The library is handed its one connection.
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
