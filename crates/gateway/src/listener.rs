//! Addresses that are listened on, and the connections that come in.

use crate::connection;
use crate::forwarded::{Peer, Session};
use crate::path::Shared;
use crate::settings::Listener;
use base::{Error, Result};
use engine::Stop;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// An address that is listened on, not yet served.
pub struct Bound {
    socket: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    address: SocketAddr,
}

impl Bound {
    /// Takes the address.
    ///
    /// # Errors
    /// `Unavailable` or `Denied`, with the address and what to do.
    pub fn new(listener: &Listener) -> Result<Self> {
        let wanted = listener.address;
        let socket = listen(wanted).map_err(|error| refused(wanted, error))?;
        let address = socket.local_addr().map_err(|error| refused(wanted, error))?;
        Ok(Self { socket, tls: listener.tls.clone(), address })
    }

    /// The address, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether connections are encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) fn tls(&self) -> Option<&Arc<ServerConfig>> {
        self.tls.as_ref()
    }

    pub(crate) fn into_tokio(self) -> std::io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.socket)
    }

    /// The same address for one more thread: whichever is free accepts.
    pub(crate) fn share(&self) -> Result<Self> {
        let socket = self.socket.try_clone().map_err(|error| refused(self.address, error))?;
        Ok(Self { socket, tls: self.tls.clone(), address: self.address })
    }

    /// Accepts connections until told to stop.
    pub(crate) async fn accept(self, shared: Arc<Shared>, room: Arc<Semaphore>, stop: Stop) {
        let listener = match tokio::net::TcpListener::from_std(self.socket) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, address = %self.address, "the listener cannot be served");
                return;
            }
        };
        loop {
            let accepted = async {
                // The semaphore is never closed, so this waits and does not fail.
                let room = Arc::clone(&room).acquire_owned().await;
                (room, listener.accept().await)
            };
            let (room, accepted) = tokio::select! {
                biased;
                () = stop.wait() => return,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (tls, stop) = (self.tls.clone(), stop.clone());
                    let serve = serve(stream, peer, room.ok(), tls, Arc::clone(&shared), stop);
                    shared.tasks.spawn(serve);
                }
                // Out of descriptors or memory: both come back when connections end.
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    room: Option<OwnedSemaphorePermit>,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    stop: Stop,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps Nagle's delay");
    }
    let trusted = &shared.settings.trusted_proxies;
    let mut peer = Peer::new(peer.ip(), peer.port(), tls.is_some(), trusted, room);
    peer.destination = stream.local_addr().ok();
    let Some(tls) = tls else {
        return connection::serve(stream, peer, shared, stop).await;
    };
    if let Some(stream) = secure(stream, tls, shared.settings.header_timeout, None).await {
        peer.session = Some(Session::of(stream.get_ref().1));
        connection::serve(stream, peer, shared, stop).await;
    }
}

/// Agrees on TLS with a client, within a time; `None` if that does not work out, which the log
/// knows. `listener`: the name of the one that it came to, if that has a name.
pub(crate) async fn secure(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    time: Duration,
    listener: Option<&str>,
) -> Option<TlsStream<TcpStream>> {
    let handshake = TlsAcceptor::from(tls).accept(stream);
    match tokio::time::timeout(time, handshake).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(listener, %error, "a TLS handshake failed"),
        Err(_elapsed) => tracing::debug!(listener, "a TLS handshake took too long"),
    }
    None
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart need not wait for the connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

fn refused(address: SocketAddr, error: std::io::Error) -> Error {
    let message = format!("listening on {address}");
    match error.kind() {
        ErrorKind::AddrInUse => Error::unavailable(message)
            .with_hint("another program has the address; stop it or choose another with `--addr`"),
        ErrorKind::PermissionDenied => Error::unavailable(message)
            .with_hint("ports below 1024 need the right to bind them; choose one above"),
        ErrorKind::AddrNotAvailable => Error::unavailable(message)
            .with_hint("this machine has no such address; try 127.0.0.1 or 0.0.0.0"),
        _ => Error::unavailable(message),
    }
    .with_source(error)
}
