//! What an operator decides about HTTP in.

use base::egress::Egress;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One address to listen on.
#[derive(Clone)]
pub struct Listener {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// The certificate, for TLS, with both versions of HTTP in its ALPN.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Limits and habits of all listeners.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that serve connections.
    pub threads: usize,
    /// Connections that are open at once; more wait to be accepted.
    pub max_connections: usize,
    /// How long the head of a request may take, also after an earlier request on the connection.
    pub header_timeout: Duration,
    /// How long a client may take none of an answer's bytes.
    pub write_timeout: Duration,
    /// Bytes of the head of a request.
    pub max_head: usize,
    /// Header fields of a request.
    pub max_headers: usize,
    /// Requests at once on one HTTP/2 connection.
    pub max_streams: u32,
    /// Whether requests are written down.
    pub access_log: bool,
    /// Peers whose `x-forwarded-*` fields are believed, as address rules.
    pub trusted_proxies: Egress,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, |threads| threads.get()),
            max_connections: 10_000,
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            max_head: 64 << 10,
            max_headers: 128,
            max_streams: 128,
            access_log: false,
            trusted_proxies: Egress::default(),
        }
    }
}
