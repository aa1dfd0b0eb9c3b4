//! memcached: a pool of connections to one server, one call on each at a time.

mod connection;
mod dial;
mod fault;
mod protocol;

use crate::gate::Gate;
use crate::tls::Trust;
use base::{Error, Kind, Result};
use connection::Connection;
use dial::Dialer;
use fault::Fault;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Where the server is, and how calls to it are bounded.
#[derive(Clone)]
pub struct Settings {
    /// `memcached://[user:password@]host[:port]`, or `memcacheds://…` with TLS.
    pub url: String,
    /// Whom to trust, and who the client is, with TLS.
    pub trust: Trust,
    /// How many connections there are at most.
    pub connections: usize,
    /// How long one call may take, with the wait for a connection.
    pub timeout: Duration,
    /// How many calls are on their way, or wait for a connection, at once.
    pub in_flight: usize,
}

/// A way to the server. Connects when it is first needed.
pub struct Memcached {
    gate: Gate,
    dialer: Dialer,
    /// One for each connection that there may be.
    permits: Semaphore,
    /// Connections that nobody uses now. What a call has is not here, so a call whose future is
    /// dropped takes its connection with it.
    idle: Mutex<Vec<Connection>>,
}

impl Memcached {
    /// A way to the server that `settings` name. Connects to nobody yet.
    ///
    /// # Errors
    /// `Invalid` when the URL cannot be read, or asks for what there is not. The message does not
    /// hold the password.
    pub fn new(settings: &Settings) -> Result<Self> {
        let dialer = Dialer::new(settings)?;
        if settings.connections == 0 {
            return Err(Error::invalid("there is at least one connection"));
        }
        let server = format!("memcached {}", dialer.address());
        let gate = Gate::new(server, settings.timeout, settings.in_flight);
        let permits = Semaphore::new(settings.connections.min(Semaphore::MAX_PERMITS));
        Ok(Self { gate, dialer, permits, idle: Mutex::default() })
    }

    /// What it leads to, for messages.
    pub fn server(&self) -> &str {
        self.gate.server()
    }

    /// Makes an exchange with the server.
    async fn call<T>(
        &self,
        exchange: impl AsyncFnOnce(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T> {
        self.gate
            .call(async {
                // The semaphore is never closed, so this waits and does not fail.
                let _permit = self.permits.acquire().await;
                let idle = self.idle().pop();
                let mut connection = match idle {
                    Some(connection) => connection,
                    // In a box, as it is large and seldom done.
                    None => Box::pin(self.dialer.connect()).await.map_err(|it| self.error(it))?,
                };
                let outcome = exchange(&mut connection).await;
                match &outcome {
                    Err(fault) if !fault.is_harmless() => {
                        // The others were made before the server went, too.
                        self.idle().clear();
                    }
                    _ if connection.is_in_step() => self.idle().push(connection),
                    _ => {}
                }
                outcome.map_err(|fault| self.error(fault))
            })
            .await
    }

    /// What the server says it is, e.g. `1.6.18`. Asked first, as it tells a server that is spoken
    /// to with TLS and has none, or the other way round.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn version(&self) -> Result<String> {
        let asked = self.call(async |connection| connection.version().await).await;
        match asked {
            Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Timeout) => {
                let mistaken = Box::pin(self.dialer.mistaken(self.server())).await;
                Err(mistaken.unwrap_or(error))
            }
            asked => asked,
        }
    }

    /// An item. Asked for a second time, if the connection turns out to be gone.
    ///
    /// # Errors
    /// What the server says, or that it is away; `Denied` where it does not let the user in.
    pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let name = named(name)?;
        match self.call(async |connection| connection.get(name).await).await {
            Err(error) if error.kind() == Kind::Unavailable && self.idle().is_empty() => {
                self.call(async |connection| connection.get(name).await).await
            }
            outcome => outcome,
        }
    }

    /// Stores an item for so many seconds: up to thirty days, else it is a date since 1970; 0 is
    /// for ever.
    ///
    /// # Errors
    /// As [`get`](Self::get). `TooLarge` and `Exhausted` where the server has no room; when it is
    /// away nobody knows whether it was stored.
    pub async fn set(&self, name: &str, item: &[u8], seconds: i64) -> Result<()> {
        let name = named(name)?;
        self.call(async |connection| connection.set(name, item, seconds).await).await
    }

    /// Removes an item, if it is there.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn delete(&self, name: &str) -> Result<()> {
        let name = named(name)?;
        self.call(async |connection| connection.delete(name).await).await
    }

    /// The names of all items that begin with `prefix`, made of letters, digits, `.`, `_` and `-`.
    /// Looks at every item that the server has.
    ///
    /// # Errors
    /// As [`get`](Self::get), and where the server is busy with the same.
    pub async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        self.call(async |connection| connection.names(prefix).await).await
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a caller can do about a fault.
    fn error(&self, fault: Fault) -> Error {
        fault.into_error(self.server())
    }
}

/// A name that an item may have: any other could be read as another command.
fn named(name: &str) -> Result<&str> {
    match protocol::is_name(name) {
        true => Ok(name),
        false => Err(Error::internal("a name that memcached does not take")),
    }
}
