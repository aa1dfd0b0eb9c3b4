//! HTTP out: a pooled client for HTTP/1.1 and HTTP/2 that keeps a component inside its rules.
//!
//! There is one [`Network`] per process and one [`Client`] per component. A pool belongs to its
//! client, so a connection that one component's rules allowed never serves another, a component
//! cannot stall another's HTTP/2 streams, and new rules mean a new client. Clients are shared by
//! all runtimes of the process; how connections relate to runtimes is told in `pool.rs`.
//!
//! The gateway goes out through it as well: there a client leads to one [`Destination`].

mod attempts;
mod body;
mod classify;
mod connection;
mod destination;
mod dial;
mod error;
mod network;
mod opened;
mod places;
mod pool;
mod stream;
mod target;
mod tunnel;
mod upload;

pub use body::Body;
pub use classify::{Phase, connect as classify_connect, hyper as classify, tls as classify_tls};
pub use destination::{Destination, Tls};
pub use error::Error;
pub use network::{Network, Resolve, System};
pub use places::Places;
pub use stream::Stream;
pub use target::{Protocol, strip_hop_by_hop};
pub use tunnel::{Held, Tunnel};
pub use upload::Sent;

use attempts::Attempts;
use base::egress::Egress;
use body::Limits;
use bytes::Bytes;
use destination::Reach;
use dial::Dialer;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_types::{Request, Response};
use pool::Pool;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use target::Target;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use upload::Upload;

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
    /// Whether the request's `upgrade` header is sent, so that a tunnel may come of it: over
    /// HTTP/1.1 only.
    pub upgrade: bool,
}

/// A response, and how sending the request ended, which may be later.
#[derive(Debug)]
pub struct Exchange {
    /// The response, its body still to be read.
    pub response: Response<Body>,
    /// Resolves when the request's body was sent or failed.
    pub sent: Sent,
    /// What 101 made of the connection, if that was asked for and came.
    pub tunnel: Option<Tunnel>,
}

/// Why a request has no response, and whether sending it once more does nothing twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// Whether no server can have acted on it: none was reached, or the one that was says that it
    /// did not begin.
    pub unsent: bool,
}

/// The client of one component. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Parts>);

struct Parts {
    pool: Arc<Pool>,
    places: Places,
}

impl Client {
    /// A client that reaches what `egress` allows.
    pub fn new(network: Arc<Network>, egress: Egress, settings: Settings) -> Self {
        Self::reaching(network, Reach::Rules(egress), settings)
    }

    /// A client all of whose requests go to one place.
    pub fn to(network: Arc<Network>, destination: Destination, settings: Settings) -> Self {
        Self::reaching(network, Reach::Only(destination), settings)
    }

    fn reaching(network: Arc<Network>, reach: Reach, settings: Settings) -> Self {
        let lookups = Semaphore::new(settings.lookups.clamp(1, Semaphore::MAX_PERMITS));
        let connections_per_host = settings.connections_per_host.clamp(1, Semaphore::MAX_PERMITS);
        let places = Places::new(settings.requests, settings.queue);
        let settings = Settings { connections_per_host, ..settings };
        let pool = Pool::new(Dialer { network, reach, settings, lookups: Arc::new(lookups) });
        Self(Arc::new(Parts { pool, places }))
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
        self.attempt(request, options).await.map_err(|failure| failure.error)
    }

    /// The same for who may have another server to ask: a failure says whether this one can have
    /// acted on the request. By then the request's body was dropped if it was never asked for.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn attempt<B>(
        &self,
        request: Request<B>,
        options: Options,
    ) -> Result<Exchange, Failure>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let deadline = options.total_timeout.map(after);
        let exchange = Box::pin(self.run(request, options, deadline));
        match deadline {
            None => exchange.await,
            Some(deadline) => timeout_at(deadline, exchange).await.unwrap_or_else(|_elapsed| {
                Err(Failure { error: Error::HttpResponseTimeout, unsent: false })
            }),
        }
    }

    async fn run(
        &self,
        request: Request<UnsyncBoxBody<Bytes, Error>>,
        options: Options,
        deadline: Option<Instant>,
    ) -> Result<Exchange, Failure> {
        let begun = self.begin(request, options, deadline).await;
        let (attempts, request, sent) = begun.map_err(|error| Failure { error, unsent: true })?;
        let (response, tunnel) = attempts.run(request).await?;
        Ok(Exchange { response, sent, tunnel })
    }

    /// Everything before a server is looked for.
    async fn begin(
        &self,
        mut request: Request<UnsyncBoxBody<Bytes, Error>>,
        options: Options,
        deadline: Option<Instant>,
    ) -> Result<(Attempts<'_>, Request<Upload>, Sent), Error> {
        let dialer = self.0.pool.dialer();
        let settings = &dialer.settings;
        let mut target = Target::read(&mut request, &options)?;
        match &dialer.reach {
            Reach::Only(destination) => target.key = destination.key(target.key.protocol),
            Reach::Rules(egress) => {
                let (scheme, key) = (Some(target.key.scheme()), &target.key);
                if !egress.allows_name(scheme, &key.host, Some(key.port)) {
                    return Err(Error::HttpRequestDenied);
                }
            }
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
        // One of the requests that are under way may have to end first.
        let place = self.0.places.wait(after(connect_timeout)).await;
        let place = place.ok_or(Error::ConnectionLimitReached)?;
        let (parts, body) = request.into_parts();
        let (upload, sent, flow) = Upload::new(body, declared, settings.request_body, place);
        let attempts = Attempts {
            pool: &self.0.pool,
            target,
            alone: matches!(dialer.reach, Reach::Rules(_)),
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
        Ok((attempts, Request::from_parts(parts, upload), sent))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dialer = self.0.pool.dialer();
        f.debug_struct("Client")
            .field("reach", &dialer.reach)
            .field("requests", &self.0.places.taken())
            .field("places", &self.0.pool.places())
            .finish_non_exhaustive()
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
