//! A connection that speaks HTTP, and the task that drives it.

use super::Error;
use super::classify::{self, Phase};
use super::stream::Stream;
use super::upload::Upload;
use futures::future::Either;
use http_types::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How many requests share one HTTP/2 connection before another is opened. It is what most
/// servers allow, so that no request waits behind long streams without need.
const STREAMS: usize = 100;

/// What became of a request: the head of a response, or an error, with the request if it was
/// never sent.
pub(super) type Answer = Result<Response<Incoming>, TrySendError<Request<Upload>>>;

/// An HTTP/1.1 connection: one request at a time.
pub(super) struct Http1 {
    sender: http1::SendRequest<Upload>,
    driver: AbortHandle,
    end: End,
    /// Where it is driven.
    pub(super) runtime: Handle,
    /// When it last became idle.
    pub(super) since: Instant,
}

/// An HTTP/2 connection, or a share in one.
pub(super) struct Http2 {
    sender: http2::SendRequest<Upload>,
    load: Arc<Load>,
    end: End,
    /// Where it is driven.
    pub(super) runtime: Handle,
}

/// Why a connection ended, once it has ended badly.
type End = Arc<OnceLock<Error>>;

struct Load {
    streams: AtomicUsize,
    since: Mutex<Instant>,
}

impl Http1 {
    /// Drives `connection` on this runtime until it ends, or becomes a tunnel.
    pub(super) fn drive(
        sender: http1::SendRequest<Upload>,
        connection: http1::Connection<TokioIo<Stream>, Upload>,
    ) -> Self {
        let end = End::default();
        let driver = drive(connection.with_upgrades(), Arc::clone(&end));
        Self { sender, driver, end, runtime: Handle::current(), since: Instant::now() }
    }

    /// Whether it can take a request now.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Waits until it can take a request; `false` if it ended instead.
    pub(super) async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Closes the socket whatever is under way.
    pub(super) fn abort(&self) {
        self.driver.abort();
    }
}

impl Http2 {
    /// Drives `connection` on this runtime until it ends.
    pub(super) fn drive(
        sender: http2::SendRequest<Upload>,
        connection: http2::Connection<TokioIo<Stream>, Upload, TokioExecutor>,
    ) -> Self {
        let end = End::default();
        // The driver ends by itself when every share is dropped and every stream is done.
        drop(drive(connection, Arc::clone(&end)));
        let load = Load { streams: AtomicUsize::new(0), since: Mutex::new(Instant::now()) };
        Self { sender, load: Arc::new(load), end, runtime: Handle::current() }
    }

    /// Whether it can take one more request.
    pub(super) fn has_room(&self) -> bool {
        self.sender.is_ready() && self.load.streams.load(Ordering::Relaxed) < STREAMS
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Since when nobody uses it; `None` while somebody does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.load.streams.load(Ordering::Relaxed) == 0;
        idle.then(|| *self.load.since.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A share for one request.
    pub(super) fn share(&self) -> Share {
        self.load.streams.fetch_add(1, Ordering::Relaxed);
        let (load, end) = (Arc::clone(&self.load), Arc::clone(&self.end));
        Share { sender: self.sender.clone(), load, end }
    }

    /// Whether `share` is of this connection.
    pub(super) fn is_of(&self, share: &Share) -> bool {
        Arc::ptr_eq(&self.load, &share.load)
    }
}

/// One request's share in an HTTP/2 connection.
pub(super) struct Share {
    sender: http2::SendRequest<Upload>,
    load: Arc<Load>,
    end: End,
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.load.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.load.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one request goes through.
pub(super) enum Link {
    /// A connection of its own, and its place among the host's connections.
    Http1(Http1, OwnedSemaphorePermit),
    /// A share in a connection.
    Http2(Share),
}

impl Link {
    pub(super) fn version(&self) -> Version {
        match self {
            Self::Http1(..) => Version::HTTP_11,
            Self::Http2(_) => Version::HTTP_2,
        }
    }

    /// Why the connection ended, if it did with an error. A request that was waiting in it is
    /// told only that it ended.
    pub(super) fn end(&self) -> Option<Error> {
        let (Self::Http1(Http1 { end, .. }, _) | Self::Http2(Share { end, .. })) = self;
        end.get().cloned()
    }

    pub(super) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Answer> + use<> {
        match self {
            Self::Http1(connection, _) => Either::Left(connection.sender.try_send_request(request)),
            Self::Http2(share) => Either::Right(share.sender.try_send_request(request)),
        }
    }
}

/// Spawned past the rule that every task is known to shutdown: a connection is the pool's, and
/// ends with the pool, with its requests or with the runtime.
fn drive(
    connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
    end: End,
) -> AbortHandle {
    let driver = Handle::current().spawn(async move {
        let mut connection = std::pin::pin!(connection);
        // The reason is kept before the connection goes, and with it the requests that wait.
        if let Err(error) = connection.as_mut().await {
            drop(end.set(classify::hyper(&error, Phase::Head)));
        }
    });
    driver.abort_handle()
}
