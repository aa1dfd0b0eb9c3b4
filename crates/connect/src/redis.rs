//! Redis, and what speaks its protocol: one server, the master that Sentinels name, or a cluster.
//!
//! All calls share one connection, whose commands are pipelined; one that was lost is made anew by
//! the next call.

mod cluster;

use crate::gate::Gate;
use crate::tls::Trust;
use base::{Error, Kind, Result};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, ServerErrorKind,
    TlsCertificates, TlsMode, Value,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;

pub use cluster::Master;

/// Where the server is, and how calls to it are bounded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://…` with TLS.
    pub url: String,
    /// How the servers are arranged.
    pub mode: Mode,
    /// Further nodes of a cluster, or further Sentinels, as `host:port`.
    pub nodes: Vec<String>,
    /// Whom to trust, and who the client is, with TLS.
    pub trust: Trust,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many calls are on their way at once.
    pub in_flight: usize,
}

/// How the servers are arranged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One server.
    Single,
    /// The URL leads to a Sentinel, which knows the master of this name.
    Sentinel(String),
    /// The URL leads to a node of a cluster.
    Cluster,
}

impl Mode {
    /// What the keys `cluster`, `sentinel` and `nodes` of a binding mean together.
    ///
    /// # Errors
    /// `Invalid` where they contradict each other.
    pub fn of(cluster: bool, sentinel: Option<&str>, nodes: &[String]) -> Result<Self> {
        match (sentinel, cluster) {
            (Some(_), true) => {
                Err(Error::invalid("it is either `cluster` or `sentinel`, not both"))
            }
            (Some(master), false) => Ok(Self::Sentinel(master.to_owned())),
            (None, true) => Ok(Self::Cluster),
            (None, false) if nodes.is_empty() => Ok(Self::Single),
            (None, false) => Err(Error::invalid("`nodes` are those of a cluster, or Sentinels")
                .with_hint("add `cluster = true` or `sentinel = \"NAME OF THE MASTER\"`")),
        }
    }
}

/// A way to the server. Connects when it is first needed.
pub struct Redis {
    gate: Gate,
    link: Link,
    config: AsyncConnectionConfig,
    /// The connection that calls share, and which one it is.
    current: StdMutex<Option<(u64, Connection)>>,
    /// Held by the call that makes one; the others wait for it. How many were made.
    connecting: Mutex<u64>,
    /// How many calls were answered.
    answered: AtomicU64,
}

enum Link {
    Single(Box<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
    Cluster(Box<ClusterClient>),
}

/// One connection. Cheap to clone.
#[derive(Clone)]
pub enum Connection {
    /// To one server.
    One(MultiplexedConnection),
    /// To all nodes of a cluster.
    All(ClusterConnection),
}

impl Redis {
    /// A way to the server that `settings` name. Connects to nobody yet.
    ///
    /// # Errors
    /// `Invalid` when the URL or a node cannot be read. The message does not hold the password.
    pub fn new(settings: &Settings) -> Result<Self> {
        let shown = base::redact(&settings.url);
        let wrong = |error: RedisError| {
            Error::invalid(format!("`{shown}` is no URL of a Redis server")).with_source(error)
        };
        let info = settings.url.as_str().into_connection_info().map_err(wrong)?;
        let connect = settings.timeout.min(Duration::from_secs(5));
        let link = match &settings.mode {
            Mode::Single => {
                let client = match certificates(&info, &settings.trust) {
                    Some(certificates) => Client::build_with_tls(info.clone(), certificates),
                    None => Client::open(info.clone()),
                };
                Link::Single(Box::new(client.map_err(wrong)?))
            }
            Mode::Sentinel(master) => {
                let client = sentinel(&info, settings, master)?;
                Link::Sentinel(Box::new(Mutex::new(client)))
            }
            Mode::Cluster => Link::Cluster(Box::new(cluster::client(&info, settings, connect)?)),
        };
        let server = match &settings.mode {
            Mode::Single => format!("redis {}", info.addr()),
            Mode::Sentinel(master) => format!("redis master `{master}` of {}", info.addr()),
            Mode::Cluster => format!("redis cluster {}", info.addr()),
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect))
            // The gate has the timeout.
            .set_response_timeout(None);
        Ok(Self {
            gate: Gate::new(server, settings.timeout, settings.in_flight),
            link,
            config,
            current: StdMutex::default(),
            connecting: Mutex::default(),
            answered: AtomicU64::default(),
        })
    }

    /// What it leads to, for messages.
    pub fn server(&self) -> &str {
        self.gate.server()
    }

    /// Sends one command.
    ///
    /// # Errors
    /// What the server says, or that it is away; then nobody knows whether the command took
    /// effect.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        self.call(async |connection| command.query_async(connection).await).await
    }

    /// Sends a command that changes nothing; a second time, if its connection turns out to be gone.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn read<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        self.read_at(Master::ANY, command).await
    }

    /// Makes several exchanges with the server that belong together, under one timeout.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn call<T>(
        &self,
        exchange: impl AsyncFnOnce(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T> {
        let (mut used, answered) = (None, self.answered.load(Relaxed));
        let outcome = self
            .gate
            .call(async {
                let (number, mut connection) = self.connection().await?;
                used = Some(number);
                match exchange(&mut connection).await {
                    Ok(value) => {
                        self.answered.fetch_add(1, Relaxed);
                        Ok(value)
                    }
                    Err(error) => {
                        if is_lost(&error) {
                            self.discard(number);
                        }
                        Err(self.classify(error))
                    }
                }
            })
            .await;
        if let (Err(error), Some(number)) = (&outcome, used)
            && error.kind() == Kind::Timeout
            && self.answered.load(Relaxed) == answered
        {
            // Nobody was answered meanwhile. By now another may be the master.
            self.discard(number);
        }
        outcome
    }

    /// Has the next call connect anew, if nobody has yet.
    fn discard(&self, number: u64) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|(other, _)| *other == number) {
            *current = None;
        }
    }

    /// What each server says of itself, once it is known to be what was meant: Redis of version 6.2
    /// or newer, and neither a replica nor a node of a cluster but where a cluster is meant.
    ///
    /// # Errors
    /// What it is instead, and what to do about it.
    pub async fn probe(&self) -> Result<Vec<HashMap<String, String>>> {
        let nodes = self.info().await?;
        nodes.iter().try_for_each(|node| self.admit(node))?;
        Ok(nodes)
    }

    /// The answers of all nodes: the client asks every node of a cluster, and says which said what.
    pub fn each_node(&self, answer: Value) -> Vec<Value> {
        match answer {
            Value::Map(nodes) if self.is_cluster() => {
                nodes.into_iter().map(|(_, said)| said).collect()
            }
            answer => vec![answer],
        }
    }

    fn is_cluster(&self) -> bool {
        matches!(self.link, Link::Cluster(_))
    }

    fn admit(&self, node: &HashMap<String, String>) -> Result<()> {
        let word = |name: &str| node.get(name).map(String::as_str).unwrap_or_default();
        let (server, version) = (self.server(), word("redis_version"));
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (6, 2) {
            return Err(Error::unsupported(format!(
                "{server} is version {version}, and 6.2 is needed"
            )));
        }
        // In a cluster the client finds the masters by itself.
        if word("role") == "slave" && !self.is_cluster() {
            return Err(Error::unavailable(format!("{server} is a read-only replica"))
                .with_hint("name its master, or a Sentinel that knows it"));
        }
        if word("redis_mode") == "cluster" && !self.is_cluster() {
            return Err(Error::invalid(format!("{server} is a node of a cluster"))
                .with_hint("add `cluster = true`"));
        }
        Ok(())
    }

    async fn info(&self) -> Result<Vec<HashMap<String, String>>> {
        let strange = || {
            let name = self.server();
            Error::invalid(format!("{name} does not speak as Redis does; is it one?"))
        };
        let said: Value = match self.read(&redis::cmd("INFO")).await {
            Err(error) if error.kind() == Kind::Corrupt => {
                return Err(strange().with_source(error));
            }
            answer => answer?,
        };
        let read = |said: Value| {
            let text: String =
                redis::from_redis_value(said).map_err(|error| strange().with_source(error))?;
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            Ok(lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
        };
        self.each_node(said).into_iter().map(read).collect()
    }

    /// A connection of its own, for commands that block.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub async fn connect(&self) -> Result<Connection> {
        let made = match &self.link {
            Link::Single(client) => client
                .get_multiplexed_async_connection_with_config(&self.config)
                .await
                .map(Connection::One),
            Link::Sentinel(client) => client
                .lock()
                .await
                .get_async_connection_with_config(&self.config)
                .await
                .map(Connection::One),
            Link::Cluster(client) => client.get_async_connection().await.map(Connection::All),
        };
        made.map_err(|error| match error.kind() {
            // What a connection begins with comes from the URL: a database that is not there.
            ErrorKind::Server(ServerErrorKind::ResponseError) => {
                Error::invalid(self.server().to_owned())
                    .with_source(error)
                    .with_hint("is everything in the URL what the server has?")
            }
            _ => self.classify(error),
        })
    }

    async fn connection(&self) -> Result<(u64, Connection)> {
        if let Some(current) = &*self.current() {
            return Ok(current.clone());
        }
        // In a box, as what is done for the first call only would make all of them large.
        Box::pin(async {
            let mut number = self.connecting.lock().await;
            if let Some(current) = &*self.current() {
                return Ok(current.clone());
            }
            let made = self.connect().await?;
            *number += 1;
            *self.current() = Some((*number, made.clone()));
            Ok((*number, made))
        })
        .await
    }

    fn current(&self) -> MutexGuard<'_, Option<(u64, Connection)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a caller can do about an error of the server.
    fn classify(&self, error: RedisError) -> Error {
        let code = error.code().unwrap_or_default();
        let kind = match error.kind() {
            _ if error.is_timeout() => Kind::Timeout,
            _ if is_half(&error) => Kind::Unavailable,
            ErrorKind::AuthenticationFailed => Kind::Denied,
            _ if matches!(code, "NOAUTH" | "WRONGPASS" | "NOPERM") => Kind::Denied,
            _ if code == "OOM" => Kind::Exhausted,
            _ if matches!(code, "MISCONF" | "NOREPLICAS" | "UNBLOCKED") => Kind::Unavailable,
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask,
            )
            | ErrorKind::ClusterConnectionNotFound
            | ErrorKind::MasterNameNotFoundBySentinel => Kind::Unavailable,
            ErrorKind::InvalidClientConfig | ErrorKind::RESP3NotSupported => Kind::Invalid,
            ErrorKind::Server(_) if code == "WRONGTYPE" => Kind::Corrupt,
            ErrorKind::Server(_) | ErrorKind::Extension => Kind::Internal,
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Kind::Corrupt,
            _ => Kind::Unavailable,
        };
        Error::new(kind, self.server().to_owned()).with_source(error)
    }
}

/// Whether the connection ended in the middle of an answer. The client says so as of an answer that
/// nobody can read, and only in words; those of values that are not what was asked for are others.
fn is_half(error: &RedisError) -> bool {
    let said = error.detail().unwrap_or_default();
    said.starts_with("Parse error at") && said.contains("Unexpected end of input")
}

/// Whether the connection is of no further use: broken, or to who is no longer the master.
fn is_lost(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_connection_dropped()
        || is_half(error)
        || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly))
}

fn sentinel(info: &ConnectionInfo, all: &Settings, master: &str) -> Result<SentinelClient> {
    let wrong = |error: RedisError| Error::invalid("the Sentinels").with_source(error);
    let settings = info.redis_settings();
    let addresses = std::iter::once(Ok(info.addr().clone())).chain(all.nodes.iter().map(|node| {
        let (host, port) = address(node)?;
        Ok(ConnectionAddr::Tcp(host, port))
    }));
    let addresses: Vec<_> = addresses.collect::<Result<_>>()?;
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)
        .map_err(wrong)?
        .set_client_to_redis_db(settings.db());
    if let Some(user) = settings.username() {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = settings.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates(info, &all.trust) {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    builder.build().map_err(wrong)
}

/// What TLS needs, where there is any.
fn certificates(info: &ConnectionInfo, trust: &Trust) -> Option<TlsCertificates> {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. }).then(|| TlsCertificates {
        client_tls: trust.identity().map(|(certificate, key)| ClientTlsConfig {
            client_cert: certificate.to_vec(),
            client_key: key.to_vec(),
        }),
        root_cert: trust.ca().map(<[u8]>::to_vec),
    })
}

fn address(node: &str) -> Result<(String, u16)> {
    let parts = node.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parts {
        Some((host, port)) if !host.is_empty() => Ok((host.to_owned(), port)),
        _ => Err(Error::invalid(format!("`{node}` is no `host:port`"))),
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(command),
            Self::All(all) => all.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(commands, offset, count),
            Self::All(all) => all.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::All(all) => all.get_db(),
        }
    }
}
