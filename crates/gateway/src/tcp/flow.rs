//! Bytes both ways: straight, or through the filters of a connection.

use ::filter::{Chain, Out, Peer, Way};
use bytes::{Bytes, BytesMut};
use std::io;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What is read at once: at first, and where much comes.
const LITTLE: usize = 4 << 10;
const MUCH: usize = 64 << 10;
/// What is read at once where filters look at it.
const CHUNK: usize = 16 << 10;

/// How one way came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All of it was said and passed on.
    Whole,
    /// Who hears it takes no more. What they said before still passes the other way.
    Halted,
}

/// Why nothing passes any more, either way.
#[derive(Debug)]
pub(super) enum Cut {
    /// A side broke off.
    Broken(io::Error),
    /// A filter closed the connection, or failed.
    Filtered,
}

/// Carries bytes one way, as they are.
pub(super) async fn straight<R, W>(mut from: R, mut to: W) -> Result<End, Cut>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; LITTLE];
    loop {
        let size = from.read(&mut buffer).await.map_err(Cut::Broken)?;
        let Some(bytes) = buffer.get(..size).filter(|bytes| !bytes.is_empty()) else {
            return Ok(whole(to.shutdown().await));
        };
        if pass(&mut to, bytes).await.is_err() {
            return Ok(End::Halted);
        }
        // Most connections say little, and need not hold much for that.
        if size == buffer.len() && size < MUCH {
            buffer = vec![0; size * 4];
        }
    }
}

async fn pass<W: AsyncWrite + Unpin>(to: &mut W, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

fn whole(shut: io::Result<()>) -> End {
    if shut.is_ok() { End::Whole } else { End::Halted }
}

/// A side that is listened to.
pub(super) struct Source<R> {
    way: Way,
    from: R,
    buffer: BytesMut,
    is_over: bool,
}

impl<R: AsyncRead + Unpin> Source<R> {
    pub(super) fn new(way: Way, from: R) -> Self {
        Self { way, from, buffer: BytesMut::new(), is_over: false }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        self.buffer.reserve(CHUNK);
        // What was not read yet is not lost with this.
        ready!(pin!(self.from.read_buf(&mut self.buffer)).poll(cx))?;
        if self.buffer.len() < CHUNK / 4 {
            // A few bytes that a filter holds would keep the whole of the room.
            let bytes = Bytes::copy_from_slice(&self.buffer);
            self.buffer.clear();
            return Poll::Ready(Ok(bytes));
        }
        Poll::Ready(Ok(self.buffer.split().freeze()))
    }

    /// Takes what still comes, for nobody: a connection that is closed before it is read is reset,
    /// and what was written last is lost with it.
    pub(super) async fn discard(&mut self) {
        while !self.is_over {
            self.buffer.clear();
            self.buffer.reserve(CHUNK);
            self.is_over = !matches!(self.from.read_buf(&mut self.buffer).await, Ok(1..));
        }
    }
}

/// A side that is told.
pub(super) struct Sink<W> {
    to: W,
    /// A part is under way; after it was given up nothing can follow.
    is_torn: bool,
}

impl<W: AsyncWrite + Unpin> Sink<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, is_torn: false }
    }

    async fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_torn = true;
        pass(&mut self.to, bytes).await?;
        self.is_torn = false;
        Ok(())
    }
}

/// The filters of a connection, which both ways share.
pub(super) struct Flow(Mutex<Chain>);

impl Flow {
    /// Tells the filters that there is a connection.
    pub(super) fn begin(mut chain: Chain) -> Self {
        chain.put_connection();
        Self(Mutex::new(chain))
    }

    fn lock(&self) -> MutexGuard<'_, Chain> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the filters let the connection go on to a server. What the client says
    /// meanwhile waits with them.
    pub(super) async fn open<R>(&self, client: &mut Source<R>) -> Result<(), Cut>
    where
        R: AsyncRead + Unpin,
    {
        while !matches!(self.next(client).await?, Out::Head(_)) {}
        Ok(())
    }

    /// Carries bytes one way.
    pub(super) async fn carry<R, W>(
        &self,
        from: &mut Source<R>,
        to: &mut Sink<W>,
    ) -> Result<End, Cut>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            let Out::Data(bytes, is_last) = self.next(from).await? else { continue };
            if !bytes.is_empty() && to.pass(&bytes).await.is_err() {
                return Ok(End::Halted);
            }
            if is_last {
                return Ok(whole(to.to.shutdown().await));
            }
        }
    }

    /// What comes out next.
    async fn next<R: AsyncRead + Unpin>(&self, from: &mut Source<R>) -> Result<Out, Cut> {
        std::future::poll_fn(|cx| self.poll(from, cx)).await
    }

    fn poll<R>(&self, from: &mut Source<R>, cx: &mut Context<'_>) -> Poll<Result<Out, Cut>>
    where
        R: AsyncRead + Unpin,
    {
        loop {
            {
                let mut chain = self.lock();
                chain.poll(from.way, cx);
                if chain.is_reset() {
                    return Poll::Ready(Err(Cut::Filtered));
                }
                if let Some(out) = chain.take(from.way) {
                    return Poll::Ready(Ok(out));
                }
                if from.is_over || !chain.wants(from.way) {
                    return Poll::Pending;
                }
            }
            let bytes = match ready!(from.poll_read(cx)) {
                Ok(bytes) => bytes,
                Err(error) => return Poll::Ready(Err(Cut::Broken(error))),
            };
            from.is_over = bytes.is_empty();
            self.lock().put_data(from.way, bytes, from.is_over);
        }
    }

    /// Waits until a filter closes the connection, or fails.
    pub(super) async fn filtered(&self) -> Cut {
        std::future::poll_fn(|cx| {
            let mut chain = self.lock();
            chain.poll(Way::Request, cx);
            chain.poll(Way::Response, cx);
            if chain.is_reset() { Poll::Ready(Cut::Filtered) } else { Poll::Pending }
        })
        .await
    }

    /// Passes on what was let go before a filter closed the connection.
    pub(super) async fn rest<W: AsyncWrite + Unpin>(&self, way: Way, to: &mut Sink<W>) {
        while let Some(out) = self.take(way).filter(|_| !to.is_torn) {
            let Out::Data(bytes, _) = out else { continue };
            if to.pass(&bytes).await.is_err() {
                return;
            }
        }
        // Who is gone need not hear it.
        drop(to.to.shutdown().await);
    }

    fn take(&self, way: Way) -> Option<Out> {
        self.lock().take(way)
    }

    /// Tells the filters that the connection is over, and who ended it on either side; there may
    /// have been no server.
    pub(super) fn end(&self, client: Peer, server: Option<Peer>) {
        let mut chain = self.lock();
        if let Some(server) = server {
            chain.put_close(Way::Response, server);
        }
        chain.put_close(Way::Request, client);
        chain.end();
    }
}
