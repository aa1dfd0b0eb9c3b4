//! What all clients of a process share: trust, name look-ups, and the number of sockets.

use super::pool::Pool;
use super::target::Protocol;
use super::{Error, Tls};
use async_trait::async_trait;
use connect::tls;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Turns names into addresses. Whether they may be used is decided elsewhere, each time.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, the best first.
    ///
    /// # Errors
    /// Those of the system; [`io::ErrorKind::NotFound`] says that there is no such name.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the system, as `getaddrinfo` has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

#[async_trait]
impl Resolve for System {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let host = host.to_owned();
        let lookup = move || (host.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        let found = tokio::task::spawn_blocking(lookup).await.map_err(io::Error::other)??;
        Ok(found.into_iter().map(|address| address.ip()).collect())
    }
}

/// The part of going out that is one per process. Pools and rules are one per component.
pub struct Network {
    resolver: Arc<dyn Resolve>,
    roots: Option<Arc<RootCertStore>>,
    tls: OnceCell<Tls>,
    sockets: Arc<Semaphore>,
    waiting: AtomicUsize,
    pools: Mutex<Vec<Weak<Pool>>>,
}

impl Network {
    /// With the system's resolver and roots, and at most `connections` open at once.
    ///
    /// The roots are read when the first connection needs them.
    pub fn new(connections: usize) -> Self {
        Self {
            resolver: Arc::new(System),
            roots: None,
            tls: OnceCell::new(),
            sockets: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            pools: Mutex::new(Vec::new()),
        }
    }

    /// Trusts `roots` instead of the system's.
    #[must_use]
    pub fn with_roots(mut self, roots: Arc<RootCertStore>) -> Self {
        self.roots = Some(roots);
        self
    }

    /// Asks `resolver` instead of the system's.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Who is asked for addresses.
    pub fn resolver(&self) -> Arc<dyn Resolve> {
        Arc::clone(&self.resolver)
    }

    /// TLS that offers what `protocol` needs.
    pub(super) async fn tls(&self, protocol: Protocol) -> Result<Arc<ClientConfig>, Error> {
        let tls = self.tls.get_or_try_init(|| self.load_tls()).await;
        let tls = tls.map_err(|error| {
            tracing::warn!(%error, "no TLS for outgoing requests");
            Error::ConfigurationError
        })?;
        Ok(tls.for_protocol(protocol))
    }

    async fn load_tls(&self) -> base::Result<Tls> {
        let roots = match &self.roots {
            Some(roots) => Arc::clone(roots),
            None => tokio::task::spawn_blocking(tls::system_roots)
                .await
                .map_err(|error| base::Error::internal("reading roots").with_source(error))??,
        };
        Ok(Tls::new(tls::client(roots, tls::ALPN_HTTP)?))
    }

    /// Makes the idle connections of `pool` known, so that others can have their sockets.
    pub(super) fn join(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// Waits for a socket until `deadline`. Idle connections, anybody's, make room.
    pub(super) async fn socket(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(socket) = Arc::clone(&self.sockets).try_acquire_owned() {
            return Ok(socket);
        }
        let _waiting = Waiting::new(&self.waiting);
        self.evict();
        match timeout_at(deadline, Arc::clone(&self.sockets).acquire_owned()).await {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(_)) | Err(_) => Err(Error::ConnectionLimitReached),
        }
    }

    /// Whether somebody waits for a socket, so that keeping an idle one would be selfish.
    pub(super) fn is_scarce(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    fn evict(&self) {
        let pools: Vec<_> = {
            let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.iter().filter_map(Weak::upgrade).collect()
        };
        let oldest = pools.iter().filter_map(|pool| Some((pool.oldest_idle()?, pool)));
        if let Some((_, pool)) = oldest.min_by_key(|(since, _)| *since) {
            pool.close_idle();
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("free_sockets", &self.sockets.available_permits())
            .finish_non_exhaustive()
    }
}

/// Counts one who waits, until dropped.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    pub(super) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
