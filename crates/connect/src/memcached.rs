//! memcached: a pool of connections to one server, one call on each at a time.

use crate::gate::Gate;
use async_memcached::{AsciiProtocol as _, Client, Error as ClientError, ErrorKind, Status};
use base::{Error, Kind, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Where the server is, and how calls to it are bounded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `memcached://host[:port]`.
    pub url: String,
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
    /// `tcp://host:port`, as the client wants it.
    address: String,
    /// One for each connection that there may be.
    permits: Semaphore,
    /// Connections that nobody uses now. What a call has is not here, so a call whose future is
    /// dropped takes its connection with it.
    idle: Mutex<Vec<Client>>,
}

impl Memcached {
    /// A way to the server that `settings` name. Connects to nobody yet.
    ///
    /// # Errors
    /// `Invalid` when the URL cannot be read, or asks for what there is not.
    pub fn new(settings: &Settings) -> Result<Self> {
        let address = address(&settings.url)?;
        if settings.connections == 0 {
            return Err(Error::invalid("there is at least one connection"));
        }
        let gate = Gate::new(format!("memcached {address}"), settings.timeout, settings.in_flight);
        let permits = Semaphore::new(settings.connections.min(Semaphore::MAX_PERMITS));
        let address = format!("tcp://{address}");
        Ok(Self { gate, address, permits, idle: Mutex::default() })
    }

    /// What it leads to, for messages.
    pub fn server(&self) -> &str {
        self.gate.server()
    }

    /// Makes an exchange with the server.
    async fn call<T>(
        &self,
        exchange: impl AsyncFnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T> {
        self.gate
            .call(async {
                // The semaphore is never closed, so this waits and does not fail.
                let _permit = self.permits.acquire().await;
                let idle = self.idle().pop();
                let mut client = match idle {
                    Some(client) => client,
                    None => Client::new(&self.address).await.map_err(|it| self.classify(it))?,
                };
                let outcome = exchange(&mut client).await;
                if client.is_closed() || outcome.as_ref().is_err_and(is_lost) {
                    // The others were made before the server went, too.
                    self.idle().clear();
                } else {
                    self.idle().push(client);
                }
                outcome.map_err(|error| self.classify(error))
            })
            .await
    }

    /// What the server says it is, e.g. `1.6.18`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn version(&self) -> Result<String> {
        let version = self.call(async |client| client.version().await).await?;
        Ok(version.trim().to_owned())
    }

    /// An item. Asked for a second time, if the connection turns out to be gone.
    ///
    /// # Errors
    /// What the server says, or that it is away.
    pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let found = match self.call(async |client| client.get(name).await).await {
            Err(error) if error.kind() == Kind::Unavailable && self.idle().is_empty() => {
                self.call(async |client| client.get(name).await).await
            }
            outcome => outcome,
        };
        Ok(found?.and_then(|item| item.data))
    }

    /// Stores an item for so many seconds: up to thirty days, else it is a date since 1970; 0 is
    /// for ever.
    ///
    /// # Errors
    /// As [`get`](Self::get). `TooLarge` and `Exhausted` where the server has no room; when it is
    /// away nobody knows whether it was stored.
    pub async fn set(&self, name: &str, item: &[u8], seconds: i64) -> Result<()> {
        self.call(async |client| client.set(name, item, Some(seconds), None).await).await
    }

    /// Removes an item, if it is there.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.call(async |client| match client.delete(name).await {
            Err(ClientError::Protocol(Status::NotFound)) => Ok(()),
            outcome => outcome,
        })
        .await
    }

    /// The names of all items that begin with `prefix`, made of letters, digits, `.`, `_` and `-`.
    /// Looks at every item that the server has.
    ///
    /// # Errors
    /// As [`get`](Self::get), and where the server is busy with the same.
    pub async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        self.call(async |client| {
            let mut names = Vec::new();
            let mut dump = client.dump_keys().await?;
            while let Some(item) = dump.next().await {
                let name = String::from_utf8_lossy(&item?.key).into_owned();
                if name.starts_with(prefix) {
                    names.push(name);
                }
            }
            Ok(names)
        })
        .await
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a caller can do about an error of the server.
    fn classify(&self, error: ClientError) -> Error {
        let kind = match &error {
            ClientError::Connect(_) | ClientError::Io(_) | ClientError::ConnectionClosed => {
                Kind::Unavailable
            }
            ClientError::Protocol(Status::Error(ErrorKind::Server(words))) => {
                match words.as_str() {
                    words if words.contains("too large") => Kind::TooLarge,
                    words if words.contains("out of memory") => Kind::Exhausted,
                    _ => Kind::Unavailable,
                }
            }
            ClientError::Protocol(Status::Error(ErrorKind::Client(words))) => {
                match words.contains("unauthenticated") {
                    true => Kind::Denied,
                    false => Kind::Internal,
                }
            }
            ClientError::Protocol(_) | ClientError::ParseError(_) => {
                return Error::invalid(format!(
                    "{} does not speak as memcached does; is it one?",
                    self.server()
                ))
                .with_source(error);
            }
        };
        Error::new(kind, self.server().to_owned()).with_source(error)
    }
}

/// Whether the connection is of no further use.
fn is_lost(error: &ClientError) -> bool {
    matches!(error, ClientError::Io(_) | ClientError::ConnectionClosed)
}

/// `host:port` of a URL.
fn address(url: &str) -> Result<String> {
    let shown = base::redact(url);
    let wrong = |what: &str| {
        Error::invalid(format!("`{shown}` {what}")).with_hint("write `memcached://HOST[:PORT]`")
    };
    let Some(authority) = url.strip_prefix("memcached://") else {
        return Err(wrong("is no URL of a memcached server"));
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.contains('@') {
        return Err(wrong("has a user, and memcached knows none in its text protocol"));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().ok().filter(|port| *port != 0)),
        None => (authority, Some(11211)),
    };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&letter);
    match port {
        Some(port) if !host.is_empty() && host.chars().all(plain) => Ok(format!("{host}:{port}")),
        _ => Err(wrong("is no URL of a memcached server")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_port() {
        assert_eq!(address("memcached://cache.example").unwrap(), "cache.example:11211");
        assert_eq!(address("memcached://10.0.0.1:11212/").unwrap(), "10.0.0.1:11212");
        for wrong in ["memcached:", "memcached://", "memcached://h:0", "memcached://h/path"] {
            assert_eq!(address(wrong).unwrap_err().kind(), Kind::Invalid, "{wrong}");
        }
        let user = address("memcached://me:hunter2@h").unwrap_err();
        assert!(!user.to_string().contains("hunter2"), "{user}");
    }
}
