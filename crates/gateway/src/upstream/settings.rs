//! What an operator decides about one upstream.

use http::client::{Protocol, Tls};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// One upstream: servers that answer alike, and how they are treated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name that routes call it by.
    pub name: String,
    /// Where its servers are.
    pub places: Vec<Place>,
    /// Which of them is asked.
    pub balance: Balance,
    /// The host that its servers are asked for, instead of the client's.
    pub host: Option<String>,
    /// Which version of HTTP is spoken.
    pub protocol: Protocol,
    /// How TLS is spoken to the places that have it.
    pub tls: Option<Arc<Tls>>,
    /// The name that their certificates have to bear, instead of their own.
    pub server_name: Option<String>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a request may take, to the end of its answer, whatever is tried.
    pub request_timeout: Option<Duration>,
    /// How long a server may say nothing, before its answer and within it.
    pub idle_timeout: Duration,
    /// How long nothing may pass through a tunnel, such as a WebSocket.
    pub tunnel_timeout: Duration,
    /// How often names are looked up.
    pub resolve_every: Duration,
    /// How much there may be at once.
    pub limits: Limits,
    /// What is tried again.
    pub retries: Retries,
    /// When a server that fails is left alone.
    pub outlier: Outlier,
    /// How servers are asked whether they are well.
    pub check: Option<Check>,
    /// How many redirects within the upstream are followed.
    pub follow_redirects: usize,
}

/// Where one or several servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whether they speak TLS.
    pub https: bool,
    /// An address, or a name each of whose addresses is a server.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Place {
    /// The address, where it is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Host and port as a URI has them.
    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https://" } else { "" };
        write!(f, "{scheme}{}", self.authority())
    }
}

/// Which of several servers is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Each in its turn.
    RoundRobin,
    /// The one with fewer requests, of two that chance names.
    LeastRequest,
    /// The same for the same.
    RingHash(HashOn),
}

/// What decides in a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// The header field of this name. Requests without it take turns.
    Header(String),
    /// The path, without its query.
    Path,
    /// The client's address.
    Source,
}

/// How much there may be at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests.
    pub requests: usize,
    /// Requests that wait for one of those to end.
    pub queue: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// Connections of HTTP/1.1 to one server.
    pub connections: usize,
    /// Those of them that are kept while nobody uses them.
    pub idle_connections: usize,
    /// The body of a request.
    pub request_body: u64,
}

/// What is tried again.
#[derive(Clone, Debug)]
pub struct Retries {
    /// How often, after the first time.
    pub attempts: usize,
    /// Which answers of servers are not good enough, where sending twice does no harm.
    pub statuses: Vec<u16>,
    /// How many of a hundred requests may be ones that are tried again.
    pub budget: usize,
    /// The longest wait before the first; it doubles with each.
    pub backoff: Duration,
    /// The longest wait of all.
    pub max_backoff: Duration,
}

/// When a server that fails is left alone.
#[derive(Clone, Copy, Debug)]
pub struct Outlier {
    /// After how many failures without a success between them. Never if zero.
    pub failures: u32,
    /// For how long the first time; it doubles with each.
    pub time: Duration,
    /// For how long at the most.
    pub max_time: Duration,
    /// How many of a hundred servers are left alone at once, at the most.
    pub max_ejected: usize,
}

/// How servers are asked whether they are well.
#[derive(Clone, Debug)]
pub struct Check {
    /// The path and query that is asked for; `None`: that a connection can be made is enough.
    pub path: Option<String>,
    /// How often.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// After how many good answers in a row a server is well again.
    pub healthy: u32,
    /// After how many bad ones in a row it is not.
    pub unhealthy: u32,
}
