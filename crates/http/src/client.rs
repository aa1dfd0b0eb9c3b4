//! HTTP out: a pooled client for HTTP/1.1 and HTTP/2 that keeps a component inside its rules.
//!
//! There is one [`Network`] per process and one [`Client`] per component. A pool belongs to its
//! client, so a connection that one component's rules allowed never serves another, a component
//! cannot stall another's HTTP/2 streams, and new rules mean a new client. Clients are shared by
//! all runtimes of the process; how connections relate to runtimes is told in `pool.rs`.

mod body;
mod classify;
mod connection;
mod dial;
mod error;
mod network;
mod pool;
mod stream;
mod target;
mod upload;

pub use body::Body;
pub use classify::{Phase, connect as classify_connect, hyper as classify, tls as classify_tls};
pub use error::Error;
pub use network::{Network, Resolve, System};
pub use target::Protocol;
pub use upload::Sent;

use base::egress::Egress;
use body::Limits;
use bytes::Bytes;
use dial::Dialer;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_types::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use network::Waiting;
use pool::{Lease, Pool};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use target::Target;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use upload::{Flow, Upload};

/// What one component may use of HTTP out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Requests under way at once: until both bodies are done. None at all if zero.
    pub requests: usize,
    /// Requests that wait beyond those; more are refused at once.
    pub queue: usize,
    /// HTTP/1.1 connections to one scheme, host and port at once.
    pub connections_per_host: usize,
    /// Connections of these that are kept while nobody uses them.
    pub idle_per_host: usize,
    /// How long they are kept. Zero keeps none.
    pub idle_timeout: Duration,
    /// Name look-ups at once.
    pub lookups: usize,
    /// How long one may take, within the time to connect.
    pub lookup_timeout: Duration,
    /// How long a request may take to get a connection, waiting included.
    pub connect_timeout: Duration,
    /// How long the head of the response may take after the last piece of the request was sent.
    pub first_byte_timeout: Duration,
    /// How long a response's body may be silent.
    pub between_bytes_timeout: Duration,
    /// How long a server may take nothing of what is sent to it.
    pub write_timeout: Duration,
    /// The size of a request's header section, as HTTP/2 counts it: 32 bytes more per field.
    pub request_headers: usize,
    /// The size of a response's header section, and of its trailers.
    pub response_headers: usize,
    /// The size of a request's body.
    pub request_body: u64,
    /// The size of a response's body.
    pub response_body: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            requests: 128,
            queue: 1024,
            connections_per_host: 64,
            idle_per_host: 32,
            idle_timeout: Duration::from_secs(60),
            lookups: 8,
            lookup_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(30),
            first_byte_timeout: Duration::from_secs(600),
            between_bytes_timeout: Duration::from_secs(600),
            write_timeout: Duration::from_secs(60),
            request_headers: 128 << 10,
            response_headers: 128 << 10,
            request_body: u64::MAX,
            response_body: u64::MAX,
        }
    }
}

/// What one request asks for beyond the [`Settings`]; `None` is what they say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// See [`Settings::connect_timeout`].
    pub connect_timeout: Option<Duration>,
    /// See [`Settings::first_byte_timeout`].
    pub first_byte_timeout: Option<Duration>,
    /// See [`Settings::between_bytes_timeout`].
    pub between_bytes_timeout: Option<Duration>,
    /// How long everything may take, the response's body included. `None`: as long as it likes.
    pub total_timeout: Option<Duration>,
    /// The version of HTTP.
    pub protocol: Protocol,
}

/// A response, and how sending the request ended, which may be later.
#[derive(Debug)]
pub struct Exchange {
    /// The response, its body still to be read.
    pub response: Response<Body>,
    /// Resolves when the request's body was sent or failed.
    pub sent: Sent,
}

/// The client of one component. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Parts>);

struct Parts {
    pool: Arc<Pool>,
    requests: Arc<Semaphore>,
    queued: AtomicUsize,
}

impl Client {
    /// A client that reaches what `egress` allows.
    pub fn new(network: Arc<Network>, egress: Egress, settings: Settings) -> Self {
        let semaphore = |permits: usize| Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS));
        let requests = Semaphore::new(settings.requests.min(Semaphore::MAX_PERMITS));
        let lookups = semaphore(settings.lookups);
        let connections_per_host = settings.connections_per_host.clamp(1, Semaphore::MAX_PERMITS);
        let settings = Settings { connections_per_host, ..settings };
        let pool = Pool::new(Dialer { network, egress, settings, lookups: Arc::new(lookups) });
        let (requests, queued) = (Arc::new(requests), AtomicUsize::new(0));
        Self(Arc::new(Parts { pool, requests, queued }))
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// The URI is absolute; `host` and what concerns the connection only is set here. Trailers of
    /// a request over HTTP/1.1 go out if its `trailer` header names them, as RFC 9110, section
    /// 6.6.2 wants. A request that a connection of the pool never took is sent again over another.
    /// Dropping the future, or later the response's body, ends the request and its connection.
    ///
    /// # Errors
    /// As the cases say; `HttpRequestDenied` and `DestinationIpProhibited` are the egress rules,
    /// `ConnectionLimitReached` a limit of the [`Settings`] or of the [`Network`].
    pub async fn send<B>(&self, request: Request<B>, options: Options) -> Result<Exchange, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let deadline = options.total_timeout.map(after);
        let exchange = Box::pin(self.run(request, options, deadline));
        match deadline {
            None => exchange.await,
            Some(deadline) => {
                timeout_at(deadline, exchange).await.unwrap_or(Err(Error::HttpResponseTimeout))
            }
        }
    }

    async fn run(
        &self,
        mut request: Request<UnsyncBoxBody<Bytes, Error>>,
        options: Options,
        deadline: Option<Instant>,
    ) -> Result<Exchange, Error> {
        let dialer = self.0.pool.dialer();
        let settings = &dialer.settings;
        let target = Target::read(&mut request, options.protocol)?;
        let (scheme, key) = (Some(target.key.scheme()), &target.key);
        if !dialer.egress.allows_name(scheme, &key.host, Some(key.port)) {
            return Err(Error::HttpRequestDenied);
        }
        let size = target::section_size(request.headers());
        if size > settings.request_headers {
            return Err(Error::HttpRequestHeaderSectionSize(u32::try_from(size).ok()));
        }
        let declared = target::declared_length(request.headers())?;
        if let Some(length) = declared.filter(|length| *length > settings.request_body) {
            return Err(Error::HttpRequestBodySize(Some(length)));
        }
        let connect_timeout = options.connect_timeout.unwrap_or(settings.connect_timeout);
        let permit = self.permit(after(connect_timeout)).await?;
        let (parts, body) = request.into_parts();
        let (upload, sent, flow) = Upload::new(body, declared, settings.request_body, permit);
        let attempts = Attempts {
            pool: &self.0.pool,
            target,
            flow,
            connect_timeout,
            first_byte_timeout: options.first_byte_timeout.unwrap_or(settings.first_byte_timeout),
            limits: Limits {
                between_bytes: options
                    .between_bytes_timeout
                    .unwrap_or(settings.between_bytes_timeout),
                deadline,
                size: settings.response_body,
            },
        };
        let response = attempts.run(Request::from_parts(parts, upload)).await?;
        Ok(Exchange { response, sent })
    }

    /// Waits for one of the component's requests to end, if too many are under way.
    async fn permit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(permit) = Arc::clone(&self.0.requests).try_acquire_owned() {
            return Ok(permit);
        }
        let settings = &self.0.pool.dialer().settings;
        let crowded = self.0.queued.load(Ordering::Relaxed) >= settings.queue;
        if crowded || settings.requests == 0 {
            return Err(Error::ConnectionLimitReached);
        }
        let _queued = Waiting::new(&self.0.queued);
        match timeout_at(deadline, Arc::clone(&self.0.requests).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Error::ConnectionLimitReached),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dialer = self.0.pool.dialer();
        f.debug_struct("Client")
            .field("egress", &dialer.egress)
            .field("free_requests", &self.0.requests.available_permits())
            .field("places", &self.0.pool.places())
            .finish_non_exhaustive()
    }
}

/// One request, until a connection has answered it.
struct Attempts<'a> {
    pool: &'a Arc<Pool>,
    target: Target,
    flow: Arc<Flow>,
    connect_timeout: Duration,
    first_byte_timeout: Duration,
    limits: Limits,
}

/// A server that takes connections and closes them would otherwise be asked for ever.
const ATTEMPTS: usize = 64;

impl Attempts<'_> {
    async fn run(self, mut request: Request<Upload>) -> Result<Response<Body>, Error> {
        let bare = request.body().is_end_stream();
        for _ in 0..ATTEMPTS {
            let deadline = after(self.connect_timeout);
            let mut lease = self.pool.checkout(&self.target.key, &self.flow, deadline).await?;
            self.target.dress(&mut request, lease.version());
            let copy = (bare && lease.version() == Version::HTTP_2).then(|| self.copy(&request));
            let mut error = match self.answer(&mut lease, request).await? {
                Ok(response) => return self.accept(response, lease),
                Err(error) => error,
            };
            // Only what the server never saw, or says that it did not process, is sent again.
            let unsent = error.take_message().filter(|_| lease.reused);
            let error = error.into_error();
            let refused = copy.filter(|_| classify::is_unprocessed(&error));
            let end = lease.end();
            lease.discard();
            match unsent.or(refused) {
                Some(again) => request = again,
                None => return Err(self.failure(&error, end)),
            }
        }
        Err(Error::ConnectionTerminated)
    }

    /// The head of the response. Waits while the request moves, or while neither does for the
    /// time to the first byte.
    async fn answer(
        &self,
        lease: &mut Lease,
        request: Request<Upload>,
    ) -> Result<connection::Answer, Error> {
        self.flow.begin();
        let answer = lease.send(request).ok_or(Error::InternalError(None))?;
        let mut answer = std::pin::pin!(answer);
        loop {
            let deadline = later(self.flow.moved(), self.first_byte_timeout);
            if let Ok(answer) = timeout_at(deadline, &mut answer).await {
                return Ok(answer);
            }
            if later(self.flow.moved(), self.first_byte_timeout) <= Instant::now() {
                return Err(Error::ConnectionReadTimeout);
            }
        }
    }

    fn accept(&self, response: Response<Incoming>, lease: Lease) -> Result<Response<Body>, Error> {
        // Nobody asked for an upgrade, and nobody could use it.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::HttpUpgradeFailed);
        }
        let size = target::section_size(response.headers());
        if size > self.pool.dialer().settings.response_headers {
            return Err(Error::HttpResponseHeaderSectionSize(u32::try_from(size).ok()));
        }
        let (parts, incoming) = response.into_parts();
        Ok(Response::from_parts(parts, Body::new(incoming, lease, self.limits)?))
    }

    /// The request once more, for a server that may refuse it. It has no body.
    fn copy(&self, request: &Request<Upload>) -> Request<Upload> {
        let mut copy = Request::new(Upload::empty(Arc::clone(&self.flow)));
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        copy
    }

    /// A request's body that failed is the reason for whatever hyper then says; and what ended
    /// the connection, for a request that is told only that it ended.
    fn failure(&self, error: &hyper::Error, end: Option<Error>) -> Error {
        let case = || match classify(error, Phase::Head) {
            Error::ConnectionTerminated => end.unwrap_or(Error::ConnectionTerminated),
            case => case,
        };
        self.flow.failure().unwrap_or_else(case)
    }
}

/// The end of a wait that may be as long as a guest says.
fn after(wait: Duration) -> Instant {
    later(Instant::now(), wait)
}

/// A century is for ever, and does not overflow.
fn later(start: Instant, wait: Duration) -> Instant {
    start + wait.min(Duration::from_secs(100 * 365 * 86_400))
}
