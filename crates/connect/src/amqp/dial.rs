//! How a connection comes about: which server is asked, as whom, and what it says.

use super::wire::{Link, Wires};
use super::{Connection, Parts, Settings, fault};
use crate::look::speaks_tls;
use crate::tls::Trust;
use crate::url::{Target, address, decode};
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use base::{Error, Kind, Result, Secret, within};
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection as Lapin, ConnectionProperties};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

/// The server takes a client of which it hears nothing for twice this long for gone, and the client
/// the server.
const HEARTBEAT: u16 = 10;
/// The most bytes in a frame. The library keeps room for 32 in each direction.
const FRAME: u32 = 32 << 10;
/// Who may be there where the URL names nobody: on the server's own machine.
const GUEST: &str = "guest";
/// Where queues are if the URL does not say.
const VHOST: &str = "/";

/// Makes connections.
pub(super) struct Dialer {
    hosts: Vec<String>,
    has_tls: bool,
    user: String,
    password: Secret,
    vhost: String,
    trust: Trust,
    tls: OnceCell<Arc<ClientConfig>>,
    /// How long one server has to take a connection.
    timeout: Duration,
    /// The server that is asked first.
    first: AtomicUsize,
}

/// Ends a connection that nobody waits for any more.
struct Cutting<'a>(Option<&'a Link>);

impl Dialer {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let wrong = || {
            let shown = base::redact(&settings.url);
            Error::invalid(format!("`{shown}` is no URL of an AMQP server"))
                .with_hint("for example amqp://127.0.0.1:5672")
        };
        let (target, vhost) = read(&settings.url).ok_or_else(wrong)?;
        let (user, password) =
            target.user.unwrap_or_else(|| (GUEST.to_owned(), Secret::new(GUEST)));
        let mut hosts = vec![target.host];
        for node in &settings.nodes {
            let shown = || Error::invalid(format!("`{}` is no `host:port`", base::redact(node)));
            hosts.push(address(node, port(target.tls)).ok_or_else(shown)?);
        }
        // Shorter than the call that waits for it, so that it is told what is wrong.
        let all = (settings.timeout * 3 / 4).min(Duration::from_secs(10));
        let count = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
        Ok(Self {
            first: AtomicUsize::new(fastrand::usize(..hosts.len())),
            hosts,
            has_tls: target.tls,
            user,
            password,
            vhost,
            trust: settings.trust.clone(),
            tls: OnceCell::new(),
            timeout: all / count,
        })
    }

    /// The servers, as errors name them.
    pub(super) fn name(&self) -> String {
        format!("amqp {}", self.hosts.join(","))
    }

    /// Where the servers are, each as `host:port`.
    pub(super) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Asks this server last from now on.
    pub(super) fn avoid(&self, index: usize) {
        self.first.store(index + 1, Relaxed);
    }

    /// That a server which does not answer would, if it were spoken to through TLS.
    pub(super) async fn mistaken(&self) -> Option<Error> {
        for host in self.hosts.iter().filter(|_| !self.has_tls) {
            if speaks_tls(host).await {
                return Some(fault::only_tls(&format!("amqp {host}")));
            }
        }
        None
    }

    /// A connection to the first server that takes one.
    pub(super) async fn connect(&self) -> Result<Connection> {
        let first = self.first.load(Relaxed);
        let mut refused: Option<Error> = None;
        for turn in 0..self.hosts.len() {
            let index = first.wrapping_add(turn) % self.hosts.len();
            let Some(host) = self.hosts.get(index) else { continue };
            let server = format!("amqp {host}");
            let error = match within(self.timeout, self.dial(index, host, &server)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_elapsed) => {
                    let time = base::units::show_duration(self.timeout);
                    Error::unavailable(format!("{server} takes no connection within {time}"))
                }
            };
            // What can be mended says more than that one of many is away.
            if refused.as_ref().is_none_or(|error| error.kind() == Kind::Unavailable) {
                refused = Some(error);
            }
        }
        Err(refused.unwrap_or_else(|| Error::internal("there is no server to connect to")))
    }

    async fn dial(&self, index: usize, host: &str, server: &str) -> Result<Connection> {
        let of_way = |error: io::Error| fault::of_way(server, error);
        let stream = TcpStream::connect(host).await.map_err(of_way)?;
        stream.set_nodelay(true).map_err(of_way)?;
        let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let link = Link::new();
        let wire = match self.has_tls {
            false => link.over(stream),
            true => {
                let to = ServerName::try_from(name.to_owned()).map_err(|error| {
                    Error::invalid(format!("{server} has no name of a host")).with_source(error)
                })?;
                let tls = TlsConnector::from(Arc::clone(self.client().await?));
                link.over(tls.connect(to, stream).await.map_err(of_way)?)
            }
        };
        let uri = self.uri(name, port.parse().unwrap_or_default());
        let runtime = Tokio::current();
        let runtime = Runtime::new(RuntimeParts::new(runtime.clone(), Wires(runtime)));
        let wire = Mutex::new(Some(AsyncTcpStream::Plain(wire)));
        let hand_over = async move |_: AMQPUri, _: Runtime<_>| {
            let wire = base::lock(&wire).take();
            wire.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted).into())
        };
        let options = ConnectionProperties::default().with_connection_name("wharf".into());
        let mut cutting = Cutting(Some(&link));
        let made = Lapin::connector(uri, runtime, hand_over, options).await;
        let lapin = made.map_err(|error| fault::error(server, error))?;
        cutting.0 = None;
        let (product, version) = link.greeting();
        if product != "RabbitMQ" {
            return Err(Error::unsupported(format!("{server} is `{product}`, and not RabbitMQ")));
        }
        Ok(Connection(Arc::new(Parts {
            server: server.to_owned(),
            index,
            version,
            lapin,
            link: Arc::clone(&link),
            confirming: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            given_up: AtomicUsize::new(0),
        })))
    }

    fn uri(&self, host: &str, port: u16) -> AMQPUri {
        AMQPUri {
            // What it says is done already.
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.user.clone(),
                    password: self.password.reveal().to_owned(),
                },
                host: host.to_owned(),
                port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString {
                frame_max: Some(FRAME),
                heartbeat: Some(HEARTBEAT),
                ..AMQPQueryString::default()
            },
        }
    }

    async fn client(&self) -> Result<&Arc<ClientConfig>> {
        let make = async || {
            let trust = self.trust.clone();
            // It may read the system's authorities.
            let made = tokio::task::spawn_blocking(move || trust.client(&[])).await;
            made.map_err(|error| Error::internal("setting up TLS").with_source(error))?
        };
        self.tls.get_or_try_init(make).await
    }
}

impl Drop for Cutting<'_> {
    fn drop(&mut self) {
        if let Some(link) = self.0 {
            link.cut();
        }
    }
}

/// Where a URL leads, and to which virtual host.
fn read(url: &str) -> Option<(Target, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, vhost) = match rest.split_once('/') {
        None | Some((_, "")) => (rest, VHOST.to_owned()),
        Some((host, path)) if !path.contains(['/', '?']) => (host, decode(path)?),
        Some(_) => return None,
    };
    let target = Target::read(&format!("{scheme}://{host}"), "amqp", port(scheme == "amqps"))?;
    (vhost.len() <= 255).then_some((target, vhost))
}

fn port(has_tls: bool) -> u16 {
    if has_tls { 5671 } else { 5672 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_and_who() {
        let said = |url: &str| {
            let (target, vhost) = read(url).unwrap();
            let user = target.user.map(|(user, _)| user);
            (target.host, target.tls, user, vhost)
        };
        let plain = ("h:5672".to_owned(), false, None, "/".to_owned());
        assert_eq!(said("amqp://h"), plain);
        assert_eq!(said("amqp://h/"), plain);
        let full = ("[::1]:7".to_owned(), true, Some("a b".to_owned()), "shop/1".to_owned());
        assert_eq!(said("amqps://a%20b:p%40@[::1]:7/shop%2F1"), full);
        assert_eq!(said("amqps://h/v").0, "h:5671");
        for wrong in ["amqp:h", "amqp://", "amqp://h/a/b", "amqp://h/v?heartbeat=1", "amqp://u@h"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for url in ["amqp://u:hunter2@h:x", "amqp://u:hunter2@h/a/b", "http://u:hunter2@h"] {
            let error = Dialer::new(&Settings {
                url: url.to_owned(),
                nodes: Vec::new(),
                trust: Trust::default(),
                timeout: Duration::from_secs(1),
                in_flight: 1,
            });
            let error = error.err().unwrap();
            assert_eq!(error.kind(), Kind::Invalid, "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
