//! Connections over which others speak than HTTP.

use super::stream::Stream;
use super::{Client, Error};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection to a client's one place, TLS included, that nobody has spoken over yet.
pub struct Opened(Stream);

impl Opened {
    /// This end of it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.0.local()
    }
}

impl Client {
    /// Connects to the one place that the client leads to, within its time to connect. The
    /// connection belongs to no pool, and a write fails once the server has taken nothing for as
    /// long as `patience`.
    ///
    /// # Errors
    /// Why there is no connection; `ConfigurationError` where rules, and not one place, say what
    /// the client may reach.
    pub async fn open(&self, patience: Duration) -> Result<Opened, Error> {
        // In a box, because handshakes are large.
        Ok(Opened(Box::pin(self.0.pool.dialer().open(patience)).await?))
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
