//! How a connection comes about: which server is asked, as whom, and what it says.

use super::{Connection, Parts, Settings};
use crate::tls::fault::{self, Wrong};
use crate::tls::{self, Trust};
use async_nats::jetstream::ContextBuilder;
use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, ReconnectToServer, ServerAddr};
use base::{Error, Kind, Result};
use rustls::ClientConfig;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long one server has to answer before another is asked too.
const HEAD_START: Duration = Duration::from_millis(250);
/// An idle connection is asked so often whether it lives; three answers missing, it does not.
const PING: Duration = Duration::from_secs(5);
/// Where nobody listens.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// Makes connections.
pub(super) struct Dialer {
    servers: Vec<ServerAddr>,
    nowhere: ServerAddr,
    identity: Identity,
    credentials: Option<PathBuf>,
    trust: Trust,
    tls: OnceCell<Option<Arc<ClientConfig>>>,
    timeout: Duration,
    /// How long a call may take, which is the longest that an answer is waited for.
    call: Duration,
    /// The server that is asked first.
    first: AtomicUsize,
}

/// Who the client says it is.
#[derive(Clone)]
enum Identity {
    Nobody,
    Token(String),
    User(String, String),
}

impl Dialer {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let wrong = |url: &str| {
            Error::invalid(format!("`{}` is no URL of a NATS server", base::redact(url)))
                .with_hint("for example nats://127.0.0.1:4222")
        };
        let parse = |url: &str| -> Result<ServerAddr> {
            let address: ServerAddr = url.parse().map_err(|_told_by_us| wrong(url))?;
            let known = matches!(address.scheme(), "nats" | "tls");
            if known && !address.host().is_empty() { Ok(address) } else { Err(wrong(url)) }
        };
        let main = parse(&settings.url)?;
        let identity = match (main.username().map(decoded), main.password().map(decoded)) {
            (Some(user), Some(password)) => Identity::User(user, password),
            (Some(token), None) => Identity::Token(token),
            (None, _) => Identity::Nobody,
        };
        if settings.credentials.is_some() && !matches!(identity, Identity::Nobody) {
            return Err(Error::invalid("it is either a password in the URL or `credentials`"));
        }
        let scheme = main.scheme().to_owned();
        let mut servers = vec![main];
        for node in &settings.nodes {
            if node.contains("://") || node.contains('@') {
                return Err(Error::invalid(format!("`{}` is no `host:port`", base::redact(node))));
            }
            servers.push(parse(&format!("{scheme}://{node}"))?);
        }
        Ok(Self {
            first: AtomicUsize::new(fastrand::usize(..servers.len())),
            servers,
            nowhere: parse(NOWHERE)?,
            identity,
            credentials: settings.credentials.clone(),
            trust: settings.trust.clone(),
            tls: OnceCell::new(),
            // Shorter than the call that waits for it, so that it is told what is wrong.
            timeout: (settings.timeout * 3 / 4).min(Duration::from_secs(5)),
            call: settings.timeout,
        })
    }

    /// The servers, as errors name them.
    pub(super) fn name(&self) -> String {
        format!("nats {}", self.hosts().join(","))
    }

    /// Where the servers are, each as `host:port`.
    pub(super) fn hosts(&self) -> Vec<String> {
        self.servers.iter().map(name).collect()
    }

    /// Asks this server last from now on.
    pub(super) fn avoid(&self, index: usize) {
        self.first.store(index + 1, Relaxed);
    }

    /// A connection to the first server that takes one. One that is slow is not waited for alone.
    /// `after`: the one that was lost.
    pub(super) async fn connect(&self, after: Option<usize>) -> Result<Connection> {
        if let Some(index) = after {
            self.avoid(index);
        }
        let options = self.options().await?;
        let first = self.first.load(Relaxed);
        let mut waiting: VecDeque<_> = self.servers.iter().cloned().enumerate().collect();
        waiting.rotate_left(first % self.servers.len().max(1));
        let mut dialing = JoinSet::new();
        let mut refused: Option<Error> = None;
        loop {
            if let Some((index, server)) = waiting.pop_front() {
                let (options, nowhere) = (options.clone(), self.nowhere.clone());
                dialing.spawn(dial(options, server, nowhere, index, self.call));
            }
            let more = !waiting.is_empty();
            tokio::select! {
                dialed = dialing.join_next() => match dialed {
                    Some(Ok(Ok(connection))) => return Ok(connection),
                    Some(Ok(Err(error))) => {
                        // What can be mended says more than that one of many is away.
                        let is_plain = |error: &Error| error.kind() == Kind::Unavailable;
                        if refused.as_ref().is_none_or(is_plain) {
                            refused = Some(error);
                        }
                    }
                    Some(Err(error)) => {
                        refused = Some(Error::internal("connecting to NATS").with_source(error));
                    }
                    None if more => {}
                    None => {
                        let nobody = || Error::unavailable(format!("{} is away", self.name()));
                        return Err(refused.unwrap_or_else(nobody));
                    }
                },
                () = sleep(HEAD_START), if more => {}
            }
        }
    }

    async fn options(&self) -> Result<ConnectOptions> {
        let mut options = ConnectOptions::new()
            .name("wharf")
            .connection_timeout(self.timeout)
            // The gate has the timeout.
            .request_timeout(None)
            .ping_interval(PING)
            .ignore_discovered_servers()
            .retain_servers_order()
            .max_reconnects(1);
        options = match self.identity.clone() {
            Identity::Nobody => options,
            Identity::Token(token) => options.token(token),
            Identity::User(user, password) => options.user_and_password(user, password),
        };
        if let Some(path) = &self.credentials {
            let shown = path.display();
            options = options.credentials_file(path).await.map_err(|error| {
                Error::invalid(format!("the credentials in `{shown}`")).with_source(error)
            })?;
        }
        match self.tls.get_or_try_init(|| self.client()).await? {
            Some(tls) => Ok(options.tls_client_config(ClientConfig::clone(tls))),
            None => Ok(options),
        }
    }

    /// A server may ask for TLS where the URL does not, so it is prepared where it can be.
    async fn client(&self) -> Result<Option<Arc<ClientConfig>>> {
        tls::install();
        let is_asked_for = self.trust.ca().is_some()
            || self.trust.identity().is_some()
            || self.servers.iter().any(ServerAddr::tls_required);
        let trust = self.trust.clone();
        let made = tokio::task::spawn_blocking(move || trust.client(&[])).await;
        match made.map_err(|error| Error::internal("setting up TLS").with_source(error))? {
            Ok(client) => Ok(Some(client)),
            Err(error) if is_asked_for => Err(error),
            Err(_unused) => Ok(None),
        }
    }
}

/// Connects to one server, for as long as the connection lasts and not again.
async fn dial(
    options: ConnectOptions,
    server: ServerAddr,
    nowhere: ServerAddr,
    index: usize,
    timeout: Duration,
) -> Result<Connection> {
    let (tell, lost) = watch::channel(false);
    let pool = vec![server.clone(), nowhere.clone()];
    let turns = AtomicUsize::new(0);
    let chosen = server.clone();
    // The library asks where to connect to before it does. The second time the connection is lost,
    // and the library is sent where nobody listens: then it gives up, with what waits to be sent.
    let options = options.reconnect_to_server_callback(move |_, _| {
        let addr = match turns.fetch_add(1, Relaxed) {
            0 => chosen.clone(),
            _ => {
                tell.send_replace(true);
                nowhere.clone()
            }
        };
        std::future::ready(Some(ReconnectToServer { addr, delay: Some(Duration::ZERO) }))
    });
    let client = options.connect(pool).await.map_err(|error| refused(&server, error))?;
    let jetstream = ContextBuilder::new()
        // Longer than the gate's, which tells what happened.
        .timeout(timeout * 2)
        .build(client.clone());
    let name = name(&server);
    Ok(Connection(Arc::new(Parts { name, index, client, jetstream, lost })))
}

fn name(server: &ServerAddr) -> String {
    match server.host().contains(':') {
        true => format!("[{}]:{}", server.host(), server.port()),
        false => format!("{}:{}", server.host(), server.port()),
    }
}

/// What a caller can do about a server that takes no connection.
fn refused(server: &ServerAddr, error: ConnectError) -> Error {
    let name = name(server);
    let (kind, hint) = match (error.kind(), fault::said(&error).and_then(fault::wrong)) {
        (_, Some(Wrong::Certificate(hint))) => (Kind::Invalid, Some(hint)),
        (_, Some(Wrong::Plain)) => {
            (Kind::Invalid, Some("the server does not speak TLS; write nats://…"))
        }
        (ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication, _) => {
            (Kind::Denied, Some("check the user and password, the token or the credentials"))
        }
        _ => (Kind::Unavailable, None),
    };
    let error = Error::new(kind, format!("connecting to nats {name}")).with_source(error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Undoes the URL's `%40` and the like.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%')
            .then(|| str::from_utf8(after.get(..2)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialer(url: &str, nodes: &[&str]) -> Result<Dialer> {
        Dialer::new(&Settings {
            url: url.to_owned(),
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
            credentials: None,
            trust: Trust::default(),
            timeout: Duration::from_secs(1),
            in_flight: 1,
        })
    }

    #[test]
    fn urls_say_where_and_who() {
        let made = dialer("nats://u:p%40ss@a:1", &["b:2", "[::1]:3"]).unwrap();
        assert_eq!(made.name(), "nats a:1,b:2,[::1]:3");
        assert!(matches!(made.identity, Identity::User(u, p) if u == "u" && p == "p@ss"));
        let made = dialer("tls://t%2Fk@a", &["b"]).unwrap();
        assert_eq!(made.name(), "nats a:4222,b:4222");
        assert!(made.servers.iter().all(ServerAddr::tls_required));
        assert!(matches!(made.identity, Identity::Token(token) if token == "t/k"));
    }

    #[test]
    fn wrong_urls_are_told_without_the_password() {
        for url in ["nats://", "ws://u:hunter2@a", "nats://u:hunter2@a:x", "nats:a"] {
            let error = dialer(url, &[]).err().unwrap();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert!(dialer("nats://a", &["nats://u:hunter2@b"]).is_err());
    }
}
