//! Bytes both ways after 101, until both sides are done or nothing passes for too long.

use super::Upstream;
use super::endpoint::Active;
use crate::filter::Witness;
use crate::forwarded::Peer;
use engine::Tasks;
use http::client::Tunnel;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

/// Joins the client's connection with a server's.
pub(super) struct Joint {
    pub(super) upstream: Arc<Upstream>,
    pub(super) id: Arc<str>,
    pub(super) peer: Arc<Peer>,
    pub(super) client: OnUpgrade,
    pub(super) server: Tunnel,
    /// The filters that the request went through, which hear of its end.
    pub(super) witness: Option<Witness>,
    /// Counts as a request until the end.
    pub(super) active: Active,
    pub(super) place: OwnedSemaphorePermit,
}

impl Joint {
    /// Carries bytes until the end.
    pub(super) async fn run(self) {
        let Self { upstream, id, peer, client, server, witness, active, place } = self;
        let opened = async {
            let client = client.await.map_err(io::Error::other)?;
            let server = server.open().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((client, server))
        };
        let patience = upstream.settings.tunnel_timeout;
        let ended = async {
            let (client, (mut server, held)) = tokio::time::timeout(patience, opened).await??;
            let mut client = TokioIo::new(client);
            let ended = tokio::select! {
                ended = join(&mut client, &mut server, patience) => ended,
                () = cut(witness.as_ref()) => {
                    Err(io::Error::new(io::ErrorKind::ConnectionAborted, "a filter closed it"))
                }
            };
            drop(held);
            ended
        };
        let ended = ended.await;
        let (upstream, endpoint, request) = (upstream.name(), active.endpoint(), &*id);
        match ended {
            Ok((up, down)) => {
                tracing::debug!(upstream, %endpoint, request, up, down, "a tunnel ended");
            }
            Err(error) => {
                tracing::debug!(upstream, %endpoint, request, %error, "a tunnel ended early");
            }
        }
        drop((peer, place, witness));
    }
}

/// A tunnel behind filters, which may still answer otherwise: it is joined when the client is told
/// of it. Dropped before, it is none.
#[derive(Clone)]
pub(crate) struct Switch(Arc<Mutex<Option<Joint>>>);

impl Switch {
    pub(super) fn new(joint: Joint) -> Self {
        Self(Arc::new(Mutex::new(Some(joint))))
    }

    /// Carries bytes from now on.
    pub(crate) fn join(self, tasks: &Tasks) {
        let joint = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(joint) = joint {
            tasks.spawn(joint.run());
        }
    }
}

/// Waits until a filter closes the tunnel; where there is none, for ever.
async fn cut(witness: Option<&Witness>) {
    match witness {
        Some(witness) => witness.cut().await,
        None => std::future::pending().await,
    }
}

/// Copies both ways; where one side has said all, the other still speaks. Ends with an error when
/// nothing passes either way for as long as `patience`.
async fn join<A, B>(one: &mut A, other: &mut B, patience: Duration) -> io::Result<(u64, u64)>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let moved = AtomicBool::new(false);
    let mut one = Noted { stream: one, moved: &moved };
    let copying = tokio::io::copy_bidirectional(&mut one, other);
    // Looks twice in that time: an end comes after it, at the latest half of it later.
    let idle = async {
        let mut quiet = 0;
        while quiet < 2 {
            tokio::time::sleep(patience / 2).await;
            quiet = if moved.swap(false, Relaxed) { 0 } else { quiet + 1 };
        }
    };
    tokio::select! {
        copied = copying => copied,
        () = idle => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing passed for too long")),
    }
}

/// Notes that bytes passed. Every byte of the tunnel is read from here or written to here.
struct Noted<'a, S> {
    stream: &'a mut S,
    moved: &'a AtomicBool,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut *self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.moved.store(true, Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream).poll_write(cx, bytes);
        if written.is_ready() {
            self.moved.store(true, Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn one_side_may_end_before_the_other() {
        let (mut client, mut one) = duplex(64);
        let (mut server, mut other) = duplex(64);
        let joined = join(&mut one, &mut other, Duration::from_secs(60));
        let talk = async {
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut heard = String::new();
            server.read_to_string(&mut heard).await.unwrap();
            server.write_all(b"the answer").await.unwrap();
            server.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            (heard, answer)
        };
        let (copied, talked) = tokio::join!(joined, talk);
        assert_eq!(copied.unwrap(), (8, 10));
        assert_eq!(talked, ("question".to_owned(), "the answer".to_owned()));
    }

    #[tokio::test]
    async fn where_nothing_passes_it_ends() {
        let (_client, mut one) = duplex(64);
        let (_server, mut other) = duplex(64);
        let ended = join(&mut one, &mut other, Duration::from_millis(20)).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
