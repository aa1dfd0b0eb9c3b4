//! What a guest learns of its client: `x-forwarded-for`, `-proto`, `-host`.
//!
//! Only a trusted proxy may say who its client was; from anyone else the fields are replaced.

use crate::stall::Bodies;
use base::egress::Egress;
use http_types::{HeaderMap, HeaderName, HeaderValue};
use rustls::{ProtocolVersion, ServerConnection};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::OwnedSemaphorePermit;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The number of the next connection.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// The number of one more connection, of all connections of the program.
pub(crate) fn number() -> u64 {
    NUMBER.fetch_add(1, Relaxed)
}

/// What is the same for every request of a connection.
pub(crate) struct Peer {
    address: HeaderValue,
    /// The other end of the connection.
    end: SocketAddr,
    /// Of all connections of the program.
    number: u64,
    proto: HeaderValue,
    trusted: bool,
    /// The address of ours that the connection came to.
    pub(crate) destination: Option<SocketAddr>,
    /// What TLS has agreed on.
    pub(crate) session: Option<Arc<Session>>,
    /// The answers on this connection that are under way.
    pub(crate) bodies: Bodies,
    /// Its place among the connections, also as long as a tunnel lasts that it became.
    _room: Option<OwnedSemaphorePermit>,
}

/// What a client and we agreed on.
pub(crate) struct Session {
    /// `TLSv1.2` or `TLSv1.3`.
    pub(crate) tls_version: &'static str,
    /// The name that the client asked for.
    pub(crate) server_name: Option<String>,
}

impl Session {
    pub(crate) fn of(connection: &ServerConnection) -> Arc<Self> {
        Arc::new(Self {
            tls_version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            server_name: connection.server_name().map(str::to_owned),
        })
    }
}

impl Peer {
    pub(crate) fn new(
        address: IpAddr,
        port: u16,
        tls: bool,
        trusted: &Egress,
        room: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let text = address.to_canonical().to_string();
        Self {
            // An address is always a valid field value.
            address: HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("unknown")),
            end: SocketAddr::new(address.to_canonical(), port),
            number: number(),
            proto: HeaderValue::from_static(if tls { "https" } else { "http" }),
            trusted: trusted.allows_address(None, None, address, port),
            destination: None,
            session: None,
            bodies: Bodies::default(),
            _room: room,
        }
    }

    /// The other end of the connection, and the connection's number.
    pub(crate) fn end(&self) -> (SocketAddr, u64) {
        (self.end, self.number)
    }

    /// Whether the client spoke TLS, to us or to the proxy that we believe.
    pub(crate) fn is_https(&self, headers: &HeaderMap) -> bool {
        match headers.get(PROTO).filter(|_| self.trusted) {
            Some(proto) => proto == "https",
            None => self.proto == "https",
        }
    }

    /// Where a request comes from: the client's address, as far as whom we trust says it.
    pub(crate) fn source(&self, headers: &HeaderMap) -> String {
        let told = headers.get_all(FOR).iter().next_back().filter(|_| self.trusted);
        let told = told.and_then(|value| value.to_str().ok()?.rsplit(',').next());
        let told = told.map(str::trim).filter(|told| !told.is_empty());
        told.or(self.address.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// Puts the fields into a request.
    pub(crate) fn mark(&self, headers: &mut HeaderMap, host: &HeaderValue) {
        if self.trusted {
            let earlier = headers.get_all(FOR).iter().filter_map(|value| value.to_str().ok());
            let mut chain: Vec<&str> = earlier.collect();
            chain.extend(self.address.to_str());
            if let Ok(chain) = HeaderValue::from_str(&chain.join(", ")) {
                headers.insert(FOR, chain);
            }
            headers.entry(PROTO).or_insert_with(|| self.proto.clone());
            headers.entry(HOST).or_insert_with(|| host.clone());
        } else {
            headers.insert(FOR, self.address.clone());
            headers.insert(PROTO, self.proto.clone());
            headers.insert(HOST, host.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(trusted: &[&str]) -> Peer {
        let trusted = Egress::new(trusted.iter().map(|rule| rule.parse().unwrap()));
        Peer::new("10.0.0.9".parse().unwrap(), 1234, false, &trusted, None)
    }

    fn forged() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(FOR, HeaderValue::from_static("1.2.3.4"));
        headers.insert(PROTO, HeaderValue::from_static("https"));
        headers
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        let (peer, mut headers) = (peer(&[]), forged());
        assert!(!peer.is_https(&headers));
        assert_eq!(peer.source(&headers), "10.0.0.9");
        peer.mark(&mut headers, &HeaderValue::from_static("h"));
        assert_eq!(headers.get(FOR).unwrap(), "10.0.0.9");
        assert_eq!(headers.get(PROTO).unwrap(), "http");
        assert_eq!(headers.get(HOST).unwrap(), "h");
    }

    #[test]
    fn a_trusted_proxy_is_believed() {
        let (peer, mut headers) = (peer(&["10.0.0.0/24"]), forged());
        assert!(peer.is_https(&headers));
        assert_eq!(peer.source(&headers), "1.2.3.4");
        peer.mark(&mut headers, &HeaderValue::from_static("h"));
        assert_eq!(headers.get(FOR).unwrap(), "1.2.3.4, 10.0.0.9");
        assert_eq!(peer.source(&HeaderMap::new()), "10.0.0.9");
        assert_eq!(headers.get(PROTO).unwrap(), "https");
    }
}
