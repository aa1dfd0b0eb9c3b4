//! What is known of a connection, by the names that Envoy gives it.

use super::connection::Ends;
use ::filter::{Attributes, Value};
use rustls::{ProtocolVersion, ServerConnection};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// A connection as filters see it.
pub(super) struct Known {
    pub(super) ends: Ends,
    pub(super) number: u64,
    pub(super) tls: Option<Secured>,
    pub(super) cluster: String,
    pub(super) server: Arc<OnceLock<Server>>,
}

/// What the client's handshake said.
#[derive(Default)]
pub(super) struct Secured {
    name: Option<String>,
    version: &'static str,
}

impl Secured {
    pub(super) fn new(connection: &ServerConnection) -> Self {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "",
        };
        Self { name: connection.server_name().map(str::to_owned), version }
    }
}

/// The connection to the server, once it is there.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// Our end of it.
    pub(super) local: Option<SocketAddr>,
}

impl Attributes for Known {
    fn get(&self, path: &[&str]) -> Option<Value> {
        let address = |address: SocketAddr| Some(Value::text(address.to_string()));
        let port = |address: SocketAddr| Some(Value::Int(i64::from(address.port())));
        let tls = self.tls.as_ref();
        match path {
            ["source", "address"] => address(self.ends.client),
            ["source", "port"] => port(self.ends.client),
            ["destination", "address"] => address(self.ends.host),
            ["destination", "port"] => port(self.ends.host),
            ["connection", "id"] => Some(Value::Uint(self.number)),
            ["connection", "mtls"] => Some(Value::Bool(false)),
            ["connection", "requested_server_name"] => Some(Value::text(tls?.name.as_deref()?)),
            ["connection", "tls_version"] => Some(Value::text(tls?.version)),
            ["upstream", "address"] => address(self.server.get()?.address),
            ["upstream", "port"] => port(self.server.get()?.address),
            ["upstream", "local_address"] => address(self.server.get()?.local?),
            ["xds", "cluster_name"] => Some(Value::text(&*self.cluster)),
            _ => None,
        }
    }
}
