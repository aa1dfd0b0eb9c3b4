//! From a target to a connection that speaks HTTP: look-up, rules, TCP, TLS, handshake.
//!
//! A connection goes to an address that passed the rules and to no other: between the check and
//! `connect` nothing is resolved again.

use super::connection::{Http1, Http2};
use super::destination::{Destination, Reach};
use super::network::Network;
use super::stream::{Stream, Transport};
use super::target::{Key, Protocol};
use super::{Error, Settings, classify};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

/// How long one address may be tried before the next joins in (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// More addresses than this are a trick, not a service.
const ADDRESSES: usize = 16;
/// When a silent connection is asked whether the peer is still there, and how long it may think.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// What one HTTP/2 stream, and one connection, may send before the guest has read it.
const STREAM_WINDOW: u32 = 1 << 18;
const CONNECTION_WINDOW: u32 = 1 << 21;

/// A connection that was just made.
pub(super) enum Dialed {
    Http1(Http1),
    Http2(Http2),
}

/// What dialing needs to know of the client.
pub(super) struct Dialer {
    pub(super) network: Arc<Network>,
    pub(super) reach: Reach,
    pub(super) settings: Settings,
    /// Look-ups under way. A system look-up cannot be cancelled, so it keeps its permit.
    pub(super) lookups: Arc<Semaphore>,
}

impl Dialer {
    /// Connects, in time.
    pub(super) async fn dial(&self, key: &Key, deadline: Instant) -> Result<Dialed, Error> {
        let addresses = self.addresses(key, deadline).await?;
        let socket = self.network.socket(deadline).await?;
        let connecting = Box::pin(self.connect(key, addresses, socket));
        timeout_at(deadline, connecting).await.unwrap_or(Err(Error::ConnectionTimeout))
    }

    /// The addresses that may be connected to for this target.
    async fn addresses(&self, key: &Key, deadline: Instant) -> Result<Vec<SocketAddr>, Error> {
        let egress = match &self.reach {
            Reach::Rules(egress) => egress,
            Reach::Only(destination) => return Ok(vec![destination.address]),
        };
        let found = match key.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.look_up(&key.host, deadline).await?,
        };
        if found.is_empty() {
            let rcode = Some("NODATA".to_owned());
            return Err(Error::DnsError { rcode, info_code: None });
        }
        let (scheme, host) = (Some(key.scheme()), Some(key.host.as_str()));
        let allowed: Vec<_> = interleave(found)
            .into_iter()
            .filter(|address| egress.allows_address(scheme, host, *address, key.port))
            .map(|address| SocketAddr::new(address, key.port))
            .take(ADDRESSES)
            .collect();
        if allowed.is_empty() {
            return Err(Error::DestinationIpProhibited);
        }
        Ok(allowed)
    }

    async fn look_up(&self, host: &str, deadline: Instant) -> Result<Vec<IpAddr>, Error> {
        let deadline = deadline.min(super::after(self.settings.lookup_timeout));
        let (resolver, host) = (self.network.resolver(), host.to_owned());
        let permit = timeout_at(deadline, Arc::clone(&self.lookups).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(Error::DnsTimeout) };
        let lookup = Handle::current().spawn(async move {
            let found = resolver.resolve(&host).await;
            drop(permit);
            found
        });
        match timeout_at(deadline, lookup).await {
            Ok(Ok(Ok(found))) => Ok(found),
            Ok(Ok(Err(error))) => {
                tracing::debug!(%error, "name look-up failed");
                Err(classify::lookup(&error))
            }
            Ok(Err(error)) => Err(Error::InternalError(Some(error.to_string()))),
            Err(_) => Err(Error::DnsTimeout),
        }
    }

    /// Connects to the one place that the client has, and leaves it to others to speak, in time.
    pub(super) async fn open(&self, patience: Duration) -> Result<Stream, Error> {
        let Reach::Only(destination) = &self.reach else { return Err(Error::ConfigurationError) };
        let deadline = super::after(self.settings.connect_timeout);
        let socket = self.network.socket(deadline).await?;
        let connecting = async {
            let tcp = attempt(destination.address).await?;
            let transport = match &destination.tls {
                None => Transport::Plain(tcp),
                Some((tls, name)) => handshake(tls.bare(), name.clone(), tcp).await?,
            };
            Ok(Stream::new(transport, patience, socket))
        };
        timeout_at(deadline, connecting).await.unwrap_or(Err(Error::ConnectionTimeout))
    }

    async fn connect(
        &self,
        key: &Key,
        addresses: Vec<SocketAddr>,
        socket: OwnedSemaphorePermit,
    ) -> Result<Dialed, Error> {
        let tcp = race(addresses).await?;
        let (transport, http2) = if key.https {
            self.secure(key, tcp).await?
        } else {
            (Transport::Plain(tcp), key.protocol == Protocol::Http2)
        };
        let stream = TokioIo::new(Stream::new(transport, self.settings.write_timeout, socket));
        if http2 { self.http2(stream).await } else { self.http1(stream).await }
    }

    /// TLS, and whether ALPN chose HTTP/2.
    async fn secure(&self, key: &Key, tcp: TcpStream) -> Result<(Transport, bool), Error> {
        let (name, config) = match &self.reach {
            Reach::Only(Destination { tls: Some((tls, name)), .. }) => {
                (name.clone(), tls.for_protocol(key.protocol))
            }
            _ => {
                let name = ServerName::try_from(key.host.clone());
                let name = name.map_err(|_invalid| Error::HttpRequestUriInvalid)?;
                (name, self.network.tls(key.protocol).await?)
            }
        };
        let transport = handshake(config, name, tcp).await?;
        let http2 = transport.alpn() == Some(b"h2");
        if key.protocol == Protocol::Http2 && !http2 {
            return Err(Error::HttpProtocolError);
        }
        Ok((transport, http2))
    }

    async fn http1(&self, stream: TokioIo<Stream>) -> Result<Dialed, Error> {
        let limit = self.settings.response_headers;
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_header_size(limit)
            .max_buf_size(limit.max(64 << 10))
            .handshake(stream)
            .await
            .map_err(|error| classify::hyper(&error, classify::Phase::Head))?;
        Ok(Dialed::Http1(Http1::drive(sender, connection)))
    }

    async fn http2(&self, stream: TokioIo<Stream>) -> Result<Dialed, Error> {
        // What is a little too large is let through here, because only our own count can tell
        // the guest so; h2 answers what is far too large with a bare protocol error.
        let limit = self.settings.response_headers.saturating_mul(2);
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(limit).unwrap_or(u32::MAX))
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .max_send_buf_size(256 << 10)
            .handshake(stream)
            .await
            .map_err(|error| classify::hyper(&error, classify::Phase::Head))?;
        Ok(Dialed::Http2(Http2::drive(sender, connection)))
    }
}

async fn handshake(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    tcp: TcpStream,
) -> Result<Transport, Error> {
    let tls = TlsConnector::from(config).connect(name, tcp).await;
    Ok(Transport::Tls(Box::new(tls.map_err(|error| classify::tls(&error))?)))
}

/// The first of several addresses that answers; each later one starts a little later, or as soon
/// as one before it failed. If none answers, the first failure is the answer.
async fn race(addresses: Vec<SocketAddr>) -> Result<TcpStream, Error> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut first = None;
    loop {
        match waiting.next() {
            Some(address) => attempts.push(attempt(address)),
            None if attempts.is_empty() => {
                return Err(first.unwrap_or(Error::DestinationUnavailable));
            }
            None => {}
        }
        tokio::select! {
            biased;
            Some(outcome) = attempts.next() => match outcome {
                Ok(stream) => return Ok(stream),
                Err(error) => first = first.or(Some(error)),
            },
            () = tokio::time::sleep(HEAD_START), if waiting.len() > 0 => {}
        }
    }
}

async fn attempt(address: SocketAddr) -> Result<TcpStream, Error> {
    let tune = |stream: TcpStream| {
        stream.set_nodelay(true)?;
        let keep_alive = socket2::TcpKeepalive::new().with_time(KEEP_ALIVE);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
        Ok(stream)
    };
    let stream = TcpStream::connect(address).await.and_then(tune);
    stream.map_err(|error| {
        tracing::debug!(%address, %error, "connecting failed");
        classify::connect(&error)
    })
}

/// Families in turn, the first address's first (RFC 8305, section 4), each address once.
fn interleave(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut seen = Vec::new();
    for address in addresses {
        if !seen.contains(&address) && seen.len() < 4 * ADDRESSES {
            seen.push(address);
        }
    }
    let first_is_v6 = seen.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        seen.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    while first.len() + second.len() > 0 {
        turns.extend(first.next());
        turns.extend(second.next());
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::interleave;
    use std::net::IpAddr;

    #[test]
    fn families_take_turns_and_nobody_comes_twice() {
        let ip = |text: &&str| text.parse::<IpAddr>().unwrap();
        let given = ["::1", "::2", "::1", "1.1.1.1", "::3", "2.2.2.2"];
        let turns = ["::1", "1.1.1.1", "::2", "2.2.2.2", "::3"];
        let given = given.iter().map(ip).collect();
        assert_eq!(interleave(given), turns.iter().map(ip).collect::<Vec<_>>());
    }
}
