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

/// The connection of a stream.
pub(super) struct Connection {
    source: SocketAddr,
    destination: Option<SocketAddr>,
    session: Option<Arc<Session>>,
    reached: Reached,
    number: u64,
    version: Version,
    request_id: Arc<str>,
}

impl Connection {
    pub(super) fn new(peer: &Peer, version: Version, request_id: &Arc<str>) -> Self {
        let (source, number) = peer.end();
        let (destination, session) = (peer.destination, peer.session.as_ref().map(Arc::clone));
        let (reached, request_id) = (Reached::default(), Arc::clone(request_id));
        Self { source, destination, session, reached, number, version, request_id }
    }

    /// To be told which server answers.
    pub(super) fn reached(&self) -> Reached {
        self.reached.clone()
    }
}

impl Attributes for Connection {
    fn get(&self, path: &[&str]) -> Option<Value> {
        match path {
            ["source", "address"] => Some(Value::text(self.source.to_string())),
            ["source", "port"] => Some(Value::Int(i64::from(self.source.port()))),
            ["destination", "address"] => Some(Value::text(self.destination?.to_string())),
            ["destination", "port"] => Some(Value::Int(i64::from(self.destination?.port()))),
            ["connection", "requested_server_name"] => {
                Some(Value::text(&**self.session.as_ref()?.server_name.as_ref()?))
            }
            ["connection", "tls_version"] => Some(Value::text(self.session.as_ref()?.tls_version)),
            ["upstream", "address"] => Some(Value::text(self.reached.0.get()?.1.to_string())),
            ["upstream", "port"] => Some(Value::Int(i64::from(self.reached.0.get()?.1.port()))),
            ["xds", "cluster_name"] => Some(Value::text(&*self.reached.0.get()?.0)),
            ["connection", "id"] => Some(Value::Uint(self.number)),
            ["connection", "mtls"] => Some(Value::Bool(false)),
            ["request", "protocol"] => Some(Value::text(match self.version {
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            })),
            ["request", "id"] => Some(Value::text(&*self.request_id)),
            _ => None,
        }
    }
}
