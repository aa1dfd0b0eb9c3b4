//! Redis, and what speaks its protocol: one server, the master that Sentinels name, or a cluster.
//!
//! All calls share one connection, whose commands are pipelined; one that was lost is made anew by
//! the next call.

mod cluster;
mod durability;
mod fault;
mod listen;
mod script;
mod sentinel;

use crate::gate::Gate;
use crate::look;
use crate::tls::Trust;
use base::{Error, Kind, Result, Secret};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::SentinelClient;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, ServerErrorKind,
    TlsCertificates, Value,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;

pub use cluster::Master;
pub use durability::{has_replicas, word};
pub use listen::Listening;
pub use script::{Call, Script};

/// Where the server is, and how calls to it are bounded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://…` with TLS.
    pub url: String,
    /// How the servers are arranged.
    pub mode: Mode,
    /// Who the client is to Sentinels.
    pub login: Login,
    /// Further nodes of a cluster, or further Sentinels, as `host:port`.
    pub nodes: Vec<String>,
    /// Whom to trust, and who the client is, with TLS.
    pub trust: Trust,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many calls are on their way at once.
    pub in_flight: usize,
}

/// Who the client is to Sentinels, which know other users than the servers behind them, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// A user of theirs; without one, the password is that of the user `default`.
    pub user: Option<String>,
    /// The password, where they have one.
    pub password: Option<Secret>,
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
    /// Where the servers are, or the Sentinels, each as `host:port`.
    hosts: Vec<String>,
    has_tls: bool,
    config: AsyncConnectionConfig,
    /// How long connecting may take.
    connect: Duration,
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
    /// And its nodes one by one, as far as the settings name them.
    Cluster(Box<ClusterClient>, Vec<Client>),
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
    /// `Invalid` when the URL or a node cannot be read, and where there is a login for Sentinels
    /// and none of them. The message does not hold a password.
    pub fn new(settings: &Settings) -> Result<Self> {
        check(settings)?;
        let shown = base::redact(&settings.url);
        let wrong = |error: RedisError| {
            Error::invalid(format!("`{shown}` is no URL of a Redis server")).with_source(error)
        };
        let info = settings.url.as_str().into_connection_info().map_err(wrong)?;
        let connect = settings.timeout.min(Duration::from_secs(5));
        let link = match &settings.mode {
            Mode::Single => Link::Single(Box::new(single(&info, &settings.trust).map_err(wrong)?)),
            Mode::Sentinel(master) => {
                let client = sentinel::client(&info, settings, master)?;
                Link::Sentinel(Box::new(Mutex::new(client)))
            }
            Mode::Cluster => {
                let (client, nodes) = cluster::client(&info, settings, connect)?;
                Link::Cluster(Box::new(client), nodes)
            }
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
            hosts: hosts(&info, &settings.nodes),
            has_tls: has_tls(&info),
            config,
            connect,
            current: StdMutex::default(),
            connecting: Mutex::default(),
            answered: AtomicU64::default(),
        })
    }

    /// What it leads to, for messages.
    pub fn server(&self) -> &str {
        self.gate.server()
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.gate.timeout()
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
                        if fault::is_lost(&error) {
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
        let nodes = self.recognised(self.info().await).await?;
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
        matches!(self.link, Link::Cluster(..))
    }

    fn has_sentinels(&self) -> bool {
        matches!(self.link, Link::Sentinel(_))
    }

    fn admit(&self, node: &HashMap<String, String>) -> Result<()> {
        let word = |name: &str| node.get(name).map(String::as_str).unwrap_or_default();
        let server = self.server();
        crate::version::admit(server, word("redis_version"), (6, 2))?;
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
        let strange = || look::stranger(self.server(), "Redis");
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
            Link::Cluster(client, _) => client.get_async_connection().await.map(Connection::All),
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
}

/// What can be found wrong without the URL.
fn check(settings: &Settings) -> Result<()> {
    let Login { user, password } = &settings.login;
    match &settings.mode {
        Mode::Sentinel(_) if user.is_some() && password.is_none() => {
            Err(Error::invalid("`sentinel-user` has a `sentinel-password`"))
        }
        Mode::Sentinel(_) => Ok(()),
        Mode::Single | Mode::Cluster if user.is_some() || password.is_some() => {
            Err(Error::invalid("`sentinel-user` and `sentinel-password` are for Sentinels")
                .with_hint("add `sentinel = \"NAME OF THE MASTER\"`"))
        }
        Mode::Single | Mode::Cluster => Ok(()),
    }
}

/// Where the servers are that the settings name. A socket is nobody else's.
fn hosts(info: &ConnectionInfo, nodes: &[String]) -> Vec<String> {
    let first = match info.addr() {
        ConnectionAddr::Tcp(..) | ConnectionAddr::TcpTls { .. } => Some(info.addr().to_string()),
        _ => None,
    };
    first.into_iter().chain(nodes.iter().cloned()).collect()
}

/// A client of one server.
fn single(info: &ConnectionInfo, trust: &Trust) -> Result<Client, RedisError> {
    match certificates(info, trust) {
        Some(certificates) => Client::build_with_tls(info.clone(), certificates),
        None => Client::open(info.clone()),
    }
}

fn has_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

/// What TLS needs, where there is any.
fn certificates(info: &ConnectionInfo, trust: &Trust) -> Option<TlsCertificates> {
    has_tls(info).then(|| TlsCertificates {
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
