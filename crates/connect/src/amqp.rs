//! AMQP 0-9-1, as RabbitMQ speaks it: connections that calls share, and what is published on them.
//!
//! The client library can take up a lost connection by itself, and then sends again what its caller
//! was told is lost. So a connection that is lost stays lost here, with all that waited on it, and
//! the next call makes a new one.
//!
//! A server that is short of memory stops reading from those who publish. So there are two: one on
//! which is published, and one on which messages come and are acknowledged.

mod dial;
mod fault;
mod wire;

use crate::gate::Gate;
use crate::line::{Line, Shared};
use crate::look::{self, Meant};
use crate::tls::Trust;
use base::{Error, Kind, Result};
use dial::Dialer;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;
use tokio::sync::Mutex;
use wire::Link;

/// It answers whoever speaks otherwise with the version that it wants.
const MEANT: Meant = Meant {
    vendor: "amqp",
    name: "AMQP 0-9-1",
    line: look::GET,
    is_own: |said| said.starts_with(b"AMQP"),
};

/// The library keeps each confirmation that nobody waits for any more, until it is asked for all of
/// them: after so many.
const GIVEN_UP: usize = 256;

/// Where the servers are, and how calls to them are bounded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `amqp://[user:password@]host[:port][/vhost]`; `amqps://…` with TLS.
    pub url: String,
    /// Further servers of the cluster, as `host:port`.
    pub nodes: Vec<String>,
    /// Whom to trust, and who the client is, with TLS.
    pub trust: Trust,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many calls are on their way at once.
    pub in_flight: usize,
}

/// A way to the servers. Connects when it is first needed.
pub struct Amqp {
    gate: Gate,
    dialer: Dialer,
    timeout: Duration,
    publishing: Line<Connection>,
    consuming: Line<Connection>,
}

/// One connection to one server. Cheap to clone.
#[derive(Clone)]
pub struct Connection(Arc<Parts>);

struct Parts {
    /// The server, as errors name it.
    server: String,
    /// Which of the servers it is.
    index: usize,
    /// What it said of itself.
    version: String,
    lapin: lapin::Connection,
    link: Arc<Link>,
    /// On which is published.
    confirming: StdMutex<Option<Arc<Channel>>>,
    /// Held by who opens it.
    opening: Mutex<()>,
    /// So many confirmations nobody waits for any more.
    given_up: AtomicUsize,
}

/// One who waits for a confirmation, and may give up.
struct Waiting<'a>(Option<&'a AtomicUsize>);

impl Amqp {
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
            publishing: Line::default(),
            consuming: Line::default(),
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

    /// What came of the first call, or that what answers there is no AMQP, where it shows so.
    ///
    /// # Errors
    /// The call's own; `Invalid` of another kind of server.
    pub async fn recognised<T>(&self, first: Result<T>) -> Result<T> {
        match MEANT.recognised(first, self.dialer.hosts()).await {
            Err(error) if error.kind() == Kind::Unavailable => {
                Err(self.dialer.mistaken().await.unwrap_or(error))
            }
            told => told,
        }
    }

    /// Makes exchanges with the server that belong together, under one timeout.
    ///
    /// # Errors
    /// The exchange's own; `Unavailable` where the connection was lost and `Timeout` where nothing
    /// was answered: then nobody knows whether it took effect.
    pub async fn call<T, F>(&self, exchange: impl FnOnce(Connection) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.attempt(&self.publishing, exchange).await
    }

    /// As [`call`](Self::call), on the connection for what is to be consumed.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn listen<T, F>(&self, exchange: impl FnOnce(Connection) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.attempt(&self.consuming, exchange).await
    }

    async fn attempt<T, F>(
        &self,
        line: &Line<Connection>,
        exchange: impl FnOnce(Connection) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut used = None;
        let call = async {
            let connection = line.get(|lost| self.connect(lost)).await?;
            let (connection, _) = used.insert((connection.clone(), connection.0.link.received()));
            tokio::select! {
                biased;
                outcome = exchange(connection.clone()) => outcome,
                () = connection.lost() => Err(connection.is_gone()),
            }
        };
        let outcome = self.gate.call(call).await;
        if let Some((connection, before)) = used
            && outcome.as_ref().is_err_and(|error| error.kind() == Kind::Timeout)
            && connection.0.link.received() == before
        {
            // Another server may answer, and this one shall not find what still waits here.
            connection.0.link.cut();
            self.dialer.avoid(connection.0.index);
        }
        outcome
    }

    /// Another connection, after this one was lost.
    async fn connect(&self, lost: Option<Connection>) -> Result<Connection> {
        if let Some(lost) = lost {
            self.dialer.avoid(lost.0.index);
        }
        self.dialer.connect().await
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
    /// Which version the server is.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// Whether it is of no further use.
    pub fn is_lost(&self) -> bool {
        self.0.link.is_lost() || !self.0.lapin.status().connected()
    }

    /// Waits until it is of no further use.
    pub async fn lost(&self) {
        self.0.link.lost().await;
    }

    /// Whether the server takes no messages for now, as it is short of memory or of room on its
    /// disk.
    pub fn is_blocked(&self) -> bool {
        self.0.lapin.status().blocked()
    }

    /// A channel of the caller's own, which ends with the last of its clones.
    ///
    /// # Errors
    /// `Exhausted` where there are too many already.
    pub async fn channel(&self) -> Result<Channel> {
        self.0.lapin.create_channel().await.map_err(|error| self.refused(error))
    }

    /// The same, on which the server confirms what is published.
    ///
    /// # Errors
    /// As [`channel`](Self::channel).
    pub async fn confirming(&self) -> Result<Channel> {
        let channel = self.channel().await?;
        let options = ConfirmSelectOptions::default();
        channel.confirm_select(options).await.map_err(|error| self.refused(error))?;
        Ok(channel)
    }

    /// Publishes a message, and waits until the server has it in every queue that it goes to. False
    /// if one of these would not take it.
    ///
    /// # Errors
    /// `NotFound` where there is no such exchange; `Exhausted` while the server takes none at all.
    pub async fn publish(
        &self,
        exchange: ShortString,
        key: ShortString,
        properties: BasicProperties,
        payload: &[u8],
    ) -> Result<bool> {
        if self.is_blocked() {
            let server = &self.0.server;
            return Err(Error::exhausted(format!("{server} takes no messages"))
                .with_hint("it is short of memory, or of room on its disk"));
        }
        let channel = self.shared().await?;
        let mut waiting = Waiting(Some(&self.0.given_up));
        let options = BasicPublishOptions::default();
        let confirmed = async {
            channel.basic_publish(exchange, key, options, payload, properties).await?.await
        };
        let confirmed = confirmed.await;
        waiting.0 = None;
        match confirmed.map_err(|error| self.refused(error))? {
            Confirmation::Ack(_) => Ok(true),
            Confirmation::Nack(_) => Ok(false),
            Confirmation::NotRequested => Err(Error::internal("a channel that confirms nothing")),
        }
    }

    /// The channel on which all publish.
    async fn shared(&self) -> Result<Arc<Channel>> {
        let usable = || {
            let current = base::lock(&self.0.confirming).clone();
            current.filter(|channel| channel.status().connected())
        };
        if let Some(channel) = usable() {
            if self.0.given_up.load(Relaxed) >= GIVEN_UP {
                self.0.given_up.store(0, Relaxed);
                channel.wait_for_confirms().await.map_err(|error| self.refused(error))?;
            }
            return Ok(channel);
        }
        Box::pin(async {
            let _opening = self.0.opening.lock().await;
            if let Some(channel) = usable() {
                return Ok(channel);
            }
            let channel = Arc::new(self.confirming().await?);
            *base::lock(&self.0.confirming) = Some(Arc::clone(&channel));
            Ok(channel)
        })
        .await
    }

    /// What a caller can do about an error.
    pub fn refused(&self, error: lapin::Error) -> Error {
        fault::error(&self.0.server, error)
    }

    fn is_gone(&self) -> Error {
        Error::unavailable(format!("{}: the connection was lost", self.0.server))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(given_up) = self.0 {
            given_up.fetch_add(1, Relaxed);
        }
    }
}
