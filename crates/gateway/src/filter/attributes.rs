//! What a connection says of its streams, by the names that Envoy gives it.

use crate::forwarded::Peer;
use ::filter::{Attributes, Value};
use http_types::Version;
use std::net::SocketAddr;
use std::sync::Arc;

/// The connection of a stream.
pub(super) struct Connection {
    source: Option<SocketAddr>,
    number: u64,
    version: Version,
    request_id: Arc<str>,
}

impl Connection {
    pub(super) fn new(peer: &Peer, version: Version, request_id: &Arc<str>) -> Self {
        let (address, port, number) = peer.end();
        let source = address.parse().ok().map(|address| SocketAddr::new(address, port));
        Self { source, number, version, request_id: Arc::clone(request_id) }
    }
}

impl Attributes for Connection {
    fn get(&self, path: &[&str]) -> Option<Value> {
        match path {
            ["source", "address"] => Some(Value::text(self.source?.to_string())),
            ["source", "port"] => Some(Value::Int(i64::from(self.source?.port()))),
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
