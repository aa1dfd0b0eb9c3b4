//! NATS with JetStream: one connection for all calls, to one of the servers.
//!
//! The client library keeps what is published while it is disconnected and sends it when it is
//! back, long after its caller was told that the server is away. So a connection that is lost stays
//! lost here, with all that waited on it, and the next call makes a new one.

mod dial;
mod talk;

use crate::gate::Gate;
use crate::line::{Line, Shared};
use crate::look::{self, Meant};
use crate::tls::Trust;
use async_nats::client::RequestErrorKind as CoreRequestErrorKind;
use async_nats::jetstream::context::RequestErrorKind;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::Info;
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{Client, HeaderMap, Message, ServerInfo, StatusCode};
use base::{Error, Kind, Result};
use bytes::Bytes;
use dial::Dialer;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

pub use async_nats::jetstream::Error as Refusal;
pub use talk::Parcel;

/// It says first who it is.
const MEANT: Meant = Meant {
    vendor: "nats",
    name: "NATS",
    line: look::GET,
    is_own: |said| said.starts_with(b"INFO "),
};

/// Where the servers are, and how calls to them are bounded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `nats://[user:password@]host[:port]` or `nats://token@host[:port]`; `tls://…` with TLS.
    pub url: String,
    /// Further servers of the cluster, as `host:port`.
    pub nodes: Vec<String>,
    /// A file with a user's JWT and seed, as `nsc` writes it.
    pub credentials: Option<PathBuf>,
    /// Whom to trust, and who the client is, with TLS.
    pub trust: Trust,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many calls are on their way at once.
    pub in_flight: usize,
}

/// A way to the servers. Connects when it is first needed.
pub struct Nats {
    gate: Gate,
    dialer: Dialer,
    timeout: Duration,
    line: Line<Connection>,
}

/// One connection to one server. Cheap to clone.
#[derive(Clone)]
pub struct Connection(Arc<Parts>);

struct Parts {
    /// The server, as errors name it.
    name: String,
    /// Which of the servers it is.
    index: usize,
    client: Client,
    jetstream: Context,
    lost: watch::Receiver<bool>,
}

/// How long to wait before a server is asked again that does not know a stream's leader.
const PAUSE: Duration = Duration::from_millis(100);

/// When a stream was made, in nanoseconds: sequence numbers begin anew with each stream.
pub fn incarnation(stream: &Info) -> u64 {
    u64::try_from(stream.created.unix_timestamp_nanos()).unwrap_or_default()
}

/// What became of a request: an answer, or JetStream's refusal, which a caller may know what to do
/// about.
pub type Answer<T> = Result<T, Refusal>;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The number that the stream gave it.
    pub sequence: u64,
    /// Whether it is that of an earlier message with the same id, and this one was not stored.
    pub duplicate: bool,
}

/// A stream's answer to a message.
#[derive(Deserialize)]
struct Said {
    error: Option<Refusal>,
    seq: Option<u64>,
    #[serde(default)]
    duplicate: bool,
}

/// The question of those that have none. Some of them refuse any other.
#[derive(Serialize)]
pub struct Nothing {}

impl Nats {
    /// A way to the servers that `settings` name. Connects to nobody yet.
    ///
    /// # Errors
    /// `Invalid` when the URL or a node cannot be read. The message does not hold the password.
    pub fn new(settings: &Settings) -> Result<Self> {
        let dialer = Dialer::new(settings)?;
        Ok(Self {
            gate: Gate::new(dialer.name(), settings.timeout, settings.in_flight),
            dialer,
            timeout: settings.timeout,
            line: Line::default(),
        })
    }

    /// What it leads to, for messages.
    pub fn server(&self) -> &str {
        self.gate.server()
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What came of the first call, or that what answers there is no NATS, where it shows so.
    ///
    /// # Errors
    /// The call's own; `Invalid` of another kind of server.
    pub async fn recognised<T>(&self, first: Result<T>) -> Result<T> {
        MEANT.recognised(first, &self.dialer.hosts()).await
    }

    /// Makes exchanges with the server that belong together, under one timeout.
    ///
    /// # Errors
    /// The exchange's own; `Unavailable` where the connection was lost and `Timeout` where nothing
    /// was answered: then nobody knows whether it took effect. It takes none any more, unless it
    /// was on its way already.
    pub async fn call<T, F>(&self, exchange: impl FnOnce(Connection) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.attempt(exchange).await.0
    }

    /// As [`call`](Self::call), for what changes nothing: a second time, if its connection turns
    /// out to be gone.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn read<T, F>(&self, exchange: impl Fn(Connection) -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        match self.attempt(&exchange).await {
            (Err(error), true) if error.kind() == Kind::Unavailable => {
                self.attempt(&exchange).await.0
            }
            (outcome, _) => outcome,
        }
    }

    /// What came of it, and whether it had a connection that is lost now.
    async fn attempt<T, F>(&self, exchange: impl FnOnce(Connection) -> F) -> (Result<T>, bool)
    where
        F: Future<Output = Result<T>>,
    {
        let mut used = None;
        let outcome = self
            .gate
            .call(async {
                let connection = self.connection().await?;
                let (connection, _) = used.insert((connection.clone(), connection.received()));
                tokio::select! {
                    biased;
                    outcome = exchange(connection.clone()) => outcome,
                    () = connection.lost() => Err(connection.is_gone()),
                }
            })
            .await;
        let Some((connection, before)) = used else { return (outcome, false) };
        let is_silent = || connection.received() == before;
        if outcome.as_ref().is_err_and(|error| error.kind() == Kind::Timeout) && is_silent() {
            // Another server may answer, and this one shall not find what still waits here.
            self.discard(&connection);
        }
        let lost = connection.is_lost();
        (outcome, lost)
    }

    /// The connection that calls share, for what outlives a call, such as a subscription.
    ///
    /// # Errors
    /// When no server can be reached, or one refuses.
    pub async fn connection(&self) -> Result<Connection> {
        let make = |lost: Option<Connection>| self.dialer.connect(lost.map(|lost| lost.0.index));
        self.line.get(make).await
    }

    fn discard(&self, connection: &Connection) {
        if self.line.discard(connection) {
            self.dialer.avoid(connection.0.index);
        }
    }
}

impl Shared for Connection {
    fn is_lost(&self) -> bool {
        self.is_lost()
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Connection {
    /// What the server said of itself when it was connected to.
    pub fn info(&self) -> ServerInfo {
        self.0.client.server_info()
    }

    /// The most bytes of headers and payload in one message.
    pub fn max_payload(&self) -> usize {
        self.0.client.max_payload()
    }

    /// JetStream over this connection, for consumers.
    pub fn jetstream(&self) -> &Context {
        &self.0.jetstream
    }

    /// Whether it is of no further use.
    pub fn is_lost(&self) -> bool {
        *self.0.lost.borrow() || self.0.lost.has_changed().is_err()
    }

    /// Waits until it is of no further use.
    pub async fn lost(&self) {
        let mut lost = self.0.lost.clone();
        // An error says that who would tell is gone.
        drop(lost.wait_for(|lost| *lost).await);
    }

    /// Asks JetStream's API, e.g. `STREAM.INFO.orders`.
    ///
    /// # Errors
    /// `Unavailable` where nobody answers for JetStream.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        subject: String,
        question: &(impl Serialize + Sync),
    ) -> Result<Answer<T>> {
        match self.0.jetstream.request(subject, question).await {
            Ok(Response::Ok(answer)) => Ok(Ok(answer)),
            Ok(Response::Err { error }) => Ok(Err(error)),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::NoResponders => self.nobody(),
                RequestErrorKind::TimedOut => self.error(Kind::Timeout, error),
                _ if self.is_lost() => self.is_gone(),
                _ => self.error(Kind::Corrupt, error),
            }),
        }
    }

    /// Asks JetStream's API of a stream with replicas, and again while nobody answers within
    /// `patience`: what is asked of a stream without a leader is heard by nobody, nor by the next
    /// leader. The timeout of the call that this is part of ends it.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn insist<T: DeserializeOwned>(
        &self,
        subject: &str,
        question: &(impl Serialize + Sync),
        patience: Duration,
    ) -> Result<Answer<T>> {
        loop {
            match timeout(patience, self.ask(subject.to_owned(), question)).await {
                // A server that has just come back does not know the leader yet.
                Ok(Ok(Err(refusal))) if refusal.code() == 503 => sleep(PAUSE).await,
                Ok(answer) => return answer,
                Err(_elapsed) => {}
            }
        }
    }

    /// The last message of a subject, from whichever server of the stream answers first. `None`
    /// where there is none.
    ///
    /// # Errors
    /// `Unavailable` with [`is_unheard`] where nobody answers so directly for the stream.
    pub async fn last(&self, stream: &str, subject: &str) -> Result<Option<Message>> {
        let api = format!("$JS.API.DIRECT.GET.{stream}.{subject}");
        let answer = match self.0.client.request(api, Bytes::new()).await {
            Ok(answer) => answer,
            Err(error) => {
                return Err(match error.kind() {
                    CoreRequestErrorKind::NoResponders => self.nobody().with_source(Unheard),
                    CoreRequestErrorKind::TimedOut => self.error(Kind::Timeout, error),
                    _ => self.is_gone(),
                });
            }
        };
        match answer.status {
            None | Some(StatusCode::OK) => Ok(Some(answer)),
            Some(StatusCode::NOT_FOUND) => Ok(None),
            Some(status) => Err(self.error(Kind::Internal, Refused(status, answer.description))),
        }
    }

    /// Publishes to a stream and waits until it says what became of it.
    ///
    /// The library's own way sets two timers for each message, where the gate has one, and reads
    /// the answer twice.
    ///
    /// # Errors
    /// `Unavailable` with [`is_unheard`] where no stream was there to hear it, so that it took no
    /// effect.
    pub async fn publish(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Answer<Stored>> {
        let sent = match headers.is_empty() {
            true => self.0.client.request(subject, payload).await,
            false => self.0.client.request_with_headers(subject, headers, payload).await,
        };
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                return Err(match error.kind() {
                    CoreRequestErrorKind::NoResponders => self.nobody().with_source(Unheard),
                    CoreRequestErrorKind::TimedOut => self.error(Kind::Timeout, error),
                    CoreRequestErrorKind::MaxPayloadExceeded => self.error(Kind::TooLarge, error),
                    _ => self.is_gone(),
                });
            }
        };
        self.stored(&answer.payload)
    }

    /// What a stream says became of a message.
    fn stored(&self, answer: &[u8]) -> Result<Answer<Stored>> {
        // Then nobody knows what became of the message.
        let strange = || Error::unavailable(format!("nats {}: a strange answer", self.0.name));
        let said: Said =
            serde_json::from_slice(answer).map_err(|error| strange().with_source(error))?;
        match said {
            Said { error: Some(refusal), .. } => Ok(Err(refusal)),
            Said { seq: Some(sequence), duplicate, .. } => Ok(Ok(Stored { sequence, duplicate })),
            Said { seq: None, .. } => Err(strange()),
        }
    }

    /// What a caller can do about a refusal of JetStream.
    pub fn refused(&self, refusal: Refusal) -> Error {
        let code = refusal.error_code();
        let kind = match code {
            ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                return self.without_jetstream().with_source(refusal);
            }
            ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
            | ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::STORAGE_RESOURCES_EXCEEDED
            | ErrorCode::MEMORY_RESOURCES_EXCEEDED
            | ErrorCode::MAXIMUM_CONSUMERS_LIMIT
            | ErrorCode::MAXIMUM_STREAMS_LIMIT
            | ErrorCode::STREAM_STORE_FAILED
            | ErrorCode::CLUSTER_NO_PEERS => Kind::Exhausted,
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => Kind::TooLarge,
            ErrorCode::STREAM_NOT_FOUND | ErrorCode::CONSUMER_NOT_FOUND => Kind::NotFound,
            _ if refusal.code() == 503 => Kind::Unavailable,
            _ if refusal.code() == 403 => Kind::Denied,
            _ => Kind::Internal,
        };
        self.error(kind, refusal)
    }

    fn error(&self, kind: Kind, source: impl StdError + Send + Sync + 'static) -> Error {
        Error::new(kind, format!("nats {}", self.0.name)).with_source(source)
    }

    fn is_gone(&self) -> Error {
        Error::unavailable(format!("nats {}: the connection was lost", self.0.name))
    }

    /// Nobody hears what was sent: there is no such stream, or no JetStream at all.
    fn nobody(&self) -> Error {
        if self.info().jetstream {
            return Error::unavailable(format!(
                "nats {}: nobody answers for the stream",
                self.0.name
            ));
        }
        self.without_jetstream()
    }

    fn without_jetstream(&self) -> Error {
        Error::unsupported(format!("nats {} runs without JetStream", self.0.name))
            .with_hint("start the server with `-js`, or with `jetstream {}` in its configuration")
    }

    /// Messages that came so far.
    fn received(&self) -> u64 {
        self.0.client.statistics().in_messages.load(Relaxed)
    }
}

/// What a server said instead of a message.
#[derive(Debug)]
struct Refused(StatusCode, Option<String>);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {} {}", self.0, self.1.as_deref().unwrap_or_default())
    }
}

impl StdError for Refused {}

/// The source of an error that [`is_unheard`] knows.
#[derive(Debug)]
struct Unheard;

impl std::fmt::Display for Unheard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the stream is gone, or has no leader now")
    }
}

impl StdError for Unheard {}

/// Whether a message reached nobody, and so may be sent again.
pub fn is_unheard(error: &Error) -> bool {
    StdError::source(error).is_some_and(<dyn StdError>::is::<Unheard>)
}
