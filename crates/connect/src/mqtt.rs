//! MQTT 5: a connection for all that is published, and others for sessions that are subscribed.
//!
//! A connection that is lost stays lost, with all that waited on it, and the next call makes a new
//! one: nothing is sent again by itself, long after its caller was told that the server is away.

mod connection;
mod dial;
mod fault;
mod wire;

use crate::gate::Gate;
use crate::look::{self, Meant};
use crate::tls::Trust;
use base::{Error, Kind, Result};
use dial::Dialer;
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use connection::{Arrivals, Arrived, Connection, Room};
pub use rumqttc::v5::mqttbytes::QoS;
pub use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};

/// It hangs up on who speaks another language.
const MEANT: Meant = Meant { vendor: "mqtt", name: "MQTT", line: look::GET, is_own: |_said| false };

/// Where the server is, and how calls to it are bounded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `mqtt://[user:password@]host[:port]`, or `mqtts://…` with TLS.
    pub url: String,
    /// Whom to trust, and who the client is, with TLS.
    pub trust: Trust,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many calls are on their way at once.
    pub in_flight: usize,
}

/// What a server keeps for a client while that is away.
#[derive(Clone, Debug)]
pub struct Session {
    /// By which the server knows it. Who connects with the id of another takes its session over.
    pub id: String,
    /// What the server kept is forgotten first.
    pub is_clean: bool,
    /// For so long it is kept without a connection. In whole seconds.
    pub expiry: Duration,
    /// So many messages come before the first of them is acknowledged.
    pub window: u16,
    /// A topic whose retained message the server clears when the connection is lost.
    pub clears: Option<String>,
}

/// What the server says of itself when it lets a client in.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whether it had the session.
    pub is_known: bool,
    /// For how long it keeps the session.
    pub expiry: Duration,
    /// The most bytes of a packet that it takes.
    pub packet: usize,
    /// So many messages it takes before it has acknowledged the first.
    pub window: u16,
    /// Whether messages are acknowledged.
    pub acknowledges: bool,
    /// Whether it keeps the last message of a topic.
    pub retains: bool,
    /// Whether it knows wildcards.
    pub wildcards: bool,
}

/// A way to the server. Connects when it is first needed.
pub struct Mqtt {
    gate: Gate,
    dialer: Dialer,
    timeout: Duration,
    session: Session,
    /// The connection that publications share.
    current: StdMutex<Option<Connection>>,
    /// Held by the call that makes one; the others wait for it.
    connecting: Mutex<()>,
}

impl Mqtt {
    /// A way to the server that `settings` name, where publications go out in this session.
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// `Invalid` when the URL cannot be read. The message does not hold the password.
    pub fn new(settings: &Settings, session: Session) -> Result<Self> {
        let dialer = Dialer::new(settings)?;
        Ok(Self {
            gate: Gate::new(dialer.server(), settings.timeout, settings.in_flight),
            dialer,
            timeout: settings.timeout,
            session,
            current: StdMutex::default(),
            connecting: Mutex::default(),
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

    /// What came of the first call, or that what answers there is no MQTT, or only with TLS or
    /// without, where it shows so.
    ///
    /// # Errors
    /// The call's own; `Invalid` of another kind of server.
    pub async fn recognised<T>(&self, first: Result<T>) -> Result<T> {
        let first = match first {
            Err(error) if look::is_in_doubt(&error) => {
                Err(Box::pin(self.dialer.mistaken()).await.unwrap_or(error))
            }
            first => first,
        };
        MEANT.recognised(first, &[self.dialer.host().to_owned()]).await
    }

    /// Makes exchanges on the connection that all share, under one timeout. `begin` is done first
    /// on each new connection.
    ///
    /// # Errors
    /// The exchange's own; `Unavailable` where the connection was lost and `Timeout` where nothing
    /// was answered: then nobody knows whether it took effect.
    pub async fn call<T, F, B>(
        &self,
        begin: impl FnOnce(Connection, Arrivals) -> B + Send,
        exchange: impl FnOnce(Connection) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
        B: Future<Output = Result<()>> + Send,
    {
        let mut used = None;
        let outcome = self
            .gate
            .call(async {
                let connection = self.connection(begin).await?;
                let (connection, _) = used.insert((connection.clone(), connection.received()));
                exchange(connection.clone()).await
            })
            .await;
        if let Err(error) = &outcome
            && error.kind() == Kind::Timeout
            && let Some((connection, before)) = used
            && connection.received() == before
        {
            // It shall not find what still waits there.
            connection.give_up("the server does not answer");
        }
        outcome
    }

    /// A connection of its own, for a session.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses; as [`call`](Self::call).
    pub async fn session(&self, session: &Session) -> Result<(Connection, Arrivals)> {
        self.gate.call(Box::pin(self.dialer.connect(session))).await
    }

    /// Makes exchanges on a connection of a session's, under the same timeout.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn within<T>(&self, exchange: impl Future<Output = Result<T>>) -> Result<T> {
        let late = |_elapsed| {
            Err(Error::timeout(format!("{} did not answer in time", self.gate.server())))
        };
        timeout(self.timeout, exchange).await.unwrap_or_else(late)
    }

    async fn connection<B>(
        &self,
        begin: impl FnOnce(Connection, Arrivals) -> B + Send,
    ) -> Result<Connection>
    where
        B: Future<Output = Result<()>> + Send,
    {
        if let Some(connection) = self.usable() {
            return Ok(connection);
        }
        // In a box, as what is done for the first call only would make all of them large.
        Box::pin(async {
            let _connecting = self.connecting.lock().await;
            if let Some(connection) = self.usable() {
                return Ok(connection);
            }
            let (made, arrivals) = self.dialer.connect(&self.session).await?;
            begin(made.clone(), arrivals).await?;
            *self.current() = Some(made.clone());
            Ok(made)
        })
        .await
    }

    fn usable(&self) -> Option<Connection> {
        self.current().clone().filter(|connection| !connection.is_lost())
    }

    fn current(&self) -> MutexGuard<'_, Option<Connection>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
