//! What is known of a connection, by the names that Envoy gives it.

use crate::filter::{Link, of_address};
use ::filter::{Attributes, Value};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// A connection as filters see it.
pub(super) struct Known {
    pub(super) link: Link,
    pub(super) cluster: String,
    pub(super) server: Arc<OnceLock<Server>>,
}

/// The connection to the server, once it is there.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// Our end of it.
    pub(super) local: Option<SocketAddr>,
}

impl Attributes for Known {
    fn get(&self, path: &[&str]) -> Option<Value> {
        match path {
            ["upstream", "local_address"] => of_address("address", self.server.get()?.local?),
            ["upstream", what] => of_address(what, self.server.get()?.address),
            ["xds", "cluster_name"] => Some(Value::text(&*self.cluster)),
            _ => self.link.get(path),
        }
    }
}
