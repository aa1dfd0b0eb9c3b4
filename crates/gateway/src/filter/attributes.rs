//! What a connection says of its streams, by the names that Envoy gives it.

use crate::forwarded::{Peer, Session};
use ::filter::{Attributes, Value};
use http_types::Version;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// The server that answers a request, once one does: the upstream's name, and the address. It goes
/// with the request.
#[derive(Clone, Default)]
pub(crate) struct Reached(Arc<OnceLock<(String, SocketAddr)>>);

impl Reached {
    pub(crate) fn tell(&self, upstream: &str, address: SocketAddr) {
        // The first server that answers is the one whose answer it is.
        drop(self.0.set((upstream.to_owned(), address)));
    }
}

/// A connection with a client: what it says to filters of HTTP and of bare TCP alike.
pub(crate) struct Link {
    pub(crate) source: SocketAddr,
    pub(crate) destination: Option<SocketAddr>,
    /// What TLS has agreed on.
    pub(crate) session: Option<Arc<Session>>,
    /// Of all connections of the program.
    pub(crate) number: u64,
}

impl Link {
    pub(crate) fn get(&self, path: &[&str]) -> Option<Value> {
        match path {
            ["source", what] => of_address(what, self.source),
            ["destination", what] => of_address(what, self.destination?),
            ["connection", "id"] => Some(Value::Uint(self.number)),
            ["connection", "mtls"] => Some(Value::Bool(false)),
            ["connection", "requested_server_name"] => {
                Some(Value::text(&**self.session.as_ref()?.server_name.as_ref()?))
            }
            ["connection", "tls_version"] => Some(Value::text(self.session.as_ref()?.tls_version)),
            _ => None,
        }
    }
}

/// `address` and `port` of an end of a connection.
pub(crate) fn of_address(what: &str, address: SocketAddr) -> Option<Value> {
    match what {
        "address" => Some(Value::text(address.to_string())),
        "port" => Some(Value::Int(i64::from(address.port()))),
        _ => None,
    }
}

/// A stream of HTTP, and the connection that it is on.
pub(super) struct Connection {
    link: Link,
    reached: Reached,
    version: Version,
    request_id: Arc<str>,
}

impl Connection {
    pub(super) fn new(peer: &Peer, version: Version, request_id: &Arc<str>) -> Self {
        let (source, number) = peer.end();
        let (destination, session) = (peer.destination, peer.session.as_ref().map(Arc::clone));
        let link = Link { source, destination, session, number };
        Self { link, reached: Reached::default(), version, request_id: Arc::clone(request_id) }
    }

    /// To be told which server answers.
    pub(super) fn reached(&self) -> Reached {
        self.reached.clone()
    }
}

impl Attributes for Connection {
    fn get(&self, path: &[&str]) -> Option<Value> {
        match path {
            ["upstream", what] => of_address(what, self.reached.0.get()?.1),
            ["xds", "cluster_name"] => Some(Value::text(&*self.reached.0.get()?.0)),
            ["request", "protocol"] => Some(Value::text(match self.version {
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            })),
            ["request", "id"] => Some(Value::text(&*self.request_id)),
            _ => self.link.get(path),
        }
    }
}
