//! etcd: one server, or the nodes of a cluster.
//!
//! All calls of a binding go to one node, over one connection; to the next one when that is lost or
//! does not answer. Any node will do, because each passes writes on to the leader.

mod answer;

use crate::gate::Gate;
use crate::look::Meant;
use crate::tls::Trust;
use crate::url::{Target, address};
use answer::Fault;
use base::{Error, Kind, Result};
use bytes::Bytes;
use etcd_client::{
    Certificate, Client, ConnectOptions, GetOptions, GetResponse, Identity, LeaseGrantResponse,
    PutResponse, TlsOptions, Txn, TxnResponse, WatchOptions, WatchResponse, WatchStream,
};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::OnceCell;

/// The port where nothing else is said.
const PORT: u16 = 2379;
/// How long a connection may be silent before it is asked whether it lives. The server hangs up on
/// clients that ask more often than every five seconds.
const SILENCE: Duration = Duration::from_secs(10);
/// How long it has to answer that.
const SIGN: Duration = Duration::from_secs(5);
/// The largest answer that is taken: as many of the largest values as one request asks for.
const ANSWER: usize = 256 << 20;
/// The largest message of a watch. The server splits what is above the size of its requests.
const MESSAGE: usize = 64 << 20;

/// It answers HTTP too. Where it wants TLS it says so; a proxy before it may say that it is away.
const MEANT: Meant = Meant {
    vendor: "etcd",
    name: "etcd",
    line: "GET /version HTTP/1.0\r\n\r\n",
    is_own: |said| {
        let said = String::from_utf8_lossy(said);
        let is_away = said.starts_with("HTTP/1") && said.get(8..10) == Some(" 5");
        is_away || said.contains("etcdserver") || said.contains("HTTPS server")
    },
};

/// Where the servers are, and how calls to them are bounded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `etcd://[user:password@]host[:port]`, or `etcds://…` with TLS.
    pub url: String,
    /// Further nodes of the cluster, as `host:port`.
    pub nodes: Vec<String>,
    /// Whom to trust, and who the client is, with TLS.
    pub trust: Trust,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many calls are on their way at once.
    pub in_flight: usize,
}

/// A way to the servers. Connects when it is first needed.
pub struct Etcd {
    gate: Gate,
    options: ConnectOptions,
    nodes: Vec<Node>,
    /// The node that calls go to.
    current: AtomicUsize,
}

struct Node {
    /// `host:port`
    host: String,
    /// `http://host:port`
    address: String,
    client: OnceCell<Client>,
}

/// A watch that the server has begun.
pub struct Watch {
    /// What comes.
    pub stream: WatchStream,
    /// What the server said first, with the revision that it was at.
    pub created: WatchResponse,
    node: usize,
}

impl Etcd {
    /// A way to the servers that `settings` name. Connects to nobody yet.
    ///
    /// # Errors
    /// `Invalid` when the URL, a node or a certificate cannot be read. The message does not hold
    /// the password.
    pub fn new(settings: &Settings) -> Result<Self> {
        let Some(Target { user, host, tls }) = Target::read(&settings.url, "etcd", PORT) else {
            let shown = base::redact(&settings.url);
            return Err(Error::invalid(format!("`{shown}` is no URL of an etcd server"))
                .with_hint("for example etcd://user:password@host:2379"));
        };
        let mut hosts = vec![host];
        for node in &settings.nodes {
            let host = address(node, PORT)
                .ok_or_else(|| Error::invalid(format!("`{node}` is no `host:port`")))?;
            hosts.push(host);
        }
        let scheme = if tls { "https" } else { "http" };
        let node = |host: &String| {
            let address = format!("{scheme}://{host}");
            Node { host: host.clone(), address, client: OnceCell::new() }
        };
        // A node that cannot be reached leaves time for the others.
        let each = settings.timeout / u32::try_from(hosts.len()).unwrap_or(u32::MAX);
        let mut options = ConnectOptions::new()
            .with_connect_timeout(each.min(Duration::from_secs(5)))
            .with_keep_alive(SILENCE, SIGN)
            // The server hangs up on who asks while nothing is under way; TCP may.
            .with_keep_alive_while_idle(false)
            .with_tcp_keepalive(3 * SILENCE)
            // A node that lost the others says so, instead of letting calls wait.
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some((name, password)) = user {
            options = options.with_user(name, password.reveal());
        }
        if tls {
            options = options.with_tls(certificates(&settings.trust));
        }
        let gate =
            Gate::new(format!("etcd {}", hosts.join(",")), settings.timeout, settings.in_flight);
        let nodes = hosts.iter().map(node).collect();
        Ok(Self { gate, options, nodes, current: AtomicUsize::new(0) })
    }

    /// What it leads to, for messages.
    pub fn server(&self) -> &str {
        self.gate.server()
    }

    /// How many nodes it knows.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// What came of the first call, or that what answers there is no etcd, where it shows so.
    ///
    /// # Errors
    /// The call's own; `Invalid` of another kind of server.
    pub async fn recognised<T>(&self, first: Result<T>) -> Result<T> {
        let hosts: Vec<String> = self.nodes.iter().map(|node| node.host.clone()).collect();
        MEANT.recognised(first, &hosts).await
    }

    /// Reads keys.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn range(&self, key: &[u8], options: GetOptions) -> Result<GetResponse> {
        let range = |client: Client, (key, options): (Vec<u8>, GetOptions)| async move {
            client.kv_client().max_decoding_message_size(ANSWER).get(key, Some(options)).await
        };
        self.read((key.to_vec(), options), range).await
    }

    /// Runs a transaction that changes nothing.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn look(&self, txn: Txn) -> Result<TxnResponse> {
        let look = |client: Client, txn| async move {
            client.kv_client().max_decoding_message_size(ANSWER).txn(txn).await
        };
        self.read(txn, look).await
    }

    /// Writes a key, whatever is there.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn put(&self, key: Vec<u8>, value: Bytes) -> Result<PutResponse> {
        let put = |client: Client, (key, value): (Vec<u8>, Bytes)| async move {
            client.kv_client().put(key, value, None).await
        };
        self.write((key, value), put).await
    }

    /// Runs a transaction.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn commit(&self, txn: Txn) -> Result<TxnResponse> {
        self.write(txn, |client, txn| async move { client.kv_client().txn(txn).await }).await
    }

    /// A lease of so many whole seconds, or of more where the server gives none that are so short.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn grant(&self, ttl: Duration) -> Result<LeaseGrantResponse> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let grant = |client: Client, seconds| async move {
            client.lease_client().grant(seconds, None).await
        };
        self.write(seconds, grant).await
    }

    /// Ends a lease, and what is kept for it.
    ///
    /// # Errors
    /// As [`write`](Self::write); `NotFound` for one that ended before.
    pub async fn revoke(&self, lease: i64) -> Result<()> {
        let revoke =
            |client: Client, lease| async move { client.lease_client().revoke(lease).await };
        self.write(lease, revoke).await.map(drop)
    }

    /// Begins a watch, and returns when the server has begun it too.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn watch(&self, key: &[u8], options: WatchOptions) -> Result<Watch> {
        let node = AtomicUsize::new(0);
        let watch = |client: Client, (key, options): (Vec<u8>, WatchOptions)| {
            node.store(self.current(), Relaxed);
            async move {
                let mut client = client.watch_client().max_decoding_message_size(MESSAGE);
                let mut stream = client.watch(key, Some(options)).await?;
                match stream.message().await? {
                    Some(created) => Ok((stream, created)),
                    None => Err(etcd_client::Error::WatchError("the stream ended".to_owned())),
                }
            }
        };
        let (stream, created) = self.read((key.to_vec(), options), watch).await?;
        if created.canceled() && created.compact_revision() == 0 {
            let reason = created.cancel_reason().to_owned();
            return Err(self.error(Fault::of_server(&reason)));
        }
        Ok(Watch { stream, created, node: node.into_inner() })
    }

    /// Makes a call that changes nothing; again, at the next node, if the connection is lost.
    ///
    /// # Errors
    /// What the server says, or that it is away.
    pub async fn read<R: Clone + Send + Sync, T: Send, F>(
        &self,
        request: R,
        exchange: impl Fn(Client, R) -> F + Send + Sync,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        self.call(request, exchange, Fault::is_lost).await
    }

    /// Makes a call that changes something; at the next node only if it was certainly not sent.
    ///
    /// # Errors
    /// What the server says, or that it is away; then nobody knows whether the call took effect.
    pub async fn write<R: Clone + Send + Sync, T: Send, F>(
        &self,
        request: R,
        exchange: impl Fn(Client, R) -> F + Send + Sync,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        self.call(request, exchange, Fault::is_unsent).await
    }

    async fn call<R: Clone + Send + Sync, T: Send, F>(
        &self,
        request: R,
        exchange: impl Fn(Client, R) -> F + Send + Sync,
        again: fn(&Fault) -> bool,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let asked = AtomicUsize::new(self.current());
        let outcome = self
            .gate
            .call(async {
                let mut attempts = self.nodes.len().max(2);
                loop {
                    let at = self.current();
                    asked.store(at, Relaxed);
                    let fault = match self.attempt(at, request.clone(), &exchange).await {
                        Ok(value) => return Ok(value),
                        Err(fault) => fault,
                    };
                    if fault.is_lost() {
                        self.leave(at);
                    }
                    attempts -= 1;
                    if attempts == 0 || !again(&fault) {
                        return Err(self.error(fault));
                    }
                }
            })
            .await;
        if matches!(&outcome, Err(error) if error.kind() == Kind::Timeout) {
            self.leave(asked.into_inner());
        }
        outcome
    }

    async fn attempt<R: Clone + Send + Sync, T: Send, F>(
        &self,
        node: usize,
        request: R,
        exchange: &(impl Fn(Client, R) -> F + Send + Sync),
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let Some(node) = self.nodes.get(node) else {
            return Err(Fault::of_server("there is no such node"));
        };
        let connect = || Box::pin(Client::connect([&node.address], Some(self.options.clone())));
        let client = node.client.get_or_try_init(connect).await;
        let client = client.map_err(|error| Fault::new(error).before_sending())?;
        match Box::pin(exchange(client.clone(), request.clone())).await.map_err(Fault::new) {
            // Users or roles changed, which is no fault of the call: it was not looked at.
            Err(fault) if fault.wants_another_token() => {
                let renewed = Box::pin(client.refresh_token()).await;
                renewed.map_err(|error| Fault::new(error).before_sending())?;
                Box::pin(exchange(client.clone(), request)).await.map_err(Fault::new)
            }
            outcome => outcome,
        }
    }

    fn current(&self) -> usize {
        self.current.load(Relaxed)
    }

    /// Has calls go to the node after this one, unless they already do.
    fn leave(&self, node: usize) {
        let next = (node + 1) % self.nodes.len().max(1);
        let _already = self.current.compare_exchange(node, next, Relaxed, Relaxed);
    }

    fn error(&self, fault: Fault) -> Error {
        fault.into_error(self.server())
    }

    /// What a caller can do about an error of the client, outside a call.
    pub fn classify(&self, error: etcd_client::Error) -> Error {
        self.error(Fault::new(error))
    }

    /// Whether calls still go to the node that this watch is at.
    pub fn is_at_current_node(&self, watch: &Watch) -> bool {
        watch.node == self.current()
    }

    /// Has calls go to another node than the one that this watch was at.
    pub fn leave_node_of(&self, watch: &Watch) {
        self.leave(watch.node);
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("gate", &self.gate).finish_non_exhaustive()
    }
}

fn certificates(trust: &Trust) -> TlsOptions {
    let options = TlsOptions::new();
    let options = match trust.ca() {
        Some(ca) => options.ca_certificate(Certificate::from_pem(ca)),
        None => options.with_native_roots(),
    };
    match trust.identity() {
        Some((certificate, key)) => options.identity(Identity::from_pem(certificate, key)),
        None => options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        let settings = Settings {
            url: "etcd://u:secret@h/x".to_owned(),
            nodes: Vec::new(),
            trust: Trust::default(),
            timeout: Duration::from_secs(1),
            in_flight: 1,
        };
        let error = Etcd::new(&settings).unwrap_err().to_string();
        assert!(error.contains("etcd://u:***@h/x"), "{error}");
    }
}
