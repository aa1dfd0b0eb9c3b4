//! Servers of Redis that belong together.

use super::{DURABLE, REDIS, is_up, redis_with, start_at, tls};
use crate::certificates::Certificates;
use crate::servers::{Server, answers, ask, folder, free, listens, wait};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// A master with one replica, and three Sentinels that know it as `main`.
pub struct Sentinels {
    /// Who was the master at first.
    pub master: Server,
    /// Who takes its place.
    pub replica: Server,
    sentinels: Vec<Server>,
}

impl Sentinels {
    /// Those for all tests of this program.
    pub fn shared() -> &'static Self {
        static SENTINELS: LazyLock<Sentinels> = LazyLock::new(Sentinels::start);
        &SENTINELS
    }

    /// Starts all five, and waits until each knows the others.
    ///
    /// # Panics
    /// If one does not start.
    pub fn start() -> Self {
        let master = redis_with(DURABLE);
        let port = master.address().port().to_string();
        let replica = redis_with(&[&["--replicaof", "127.0.0.1", &port], DURABLE].concat());
        wait("the replica follows", || {
            ask(replica.address(), "INFO replication\r\n")
                .is_some_and(|said| said.contains("master_link_status:up"))
        });
        let sentinels: Vec<Server> = (0..3).map(|_| sentinel(&port, 2, "")).collect();
        for sentinel in &sentinels {
            wait("the Sentinels know each other", || {
                answers(sentinel.address(), "SENTINEL CKQUORUM main\r\n", "+OK 3 usable")
            });
            wait("the Sentinels know the replica", || {
                ask(sentinel.address(), "SENTINEL REPLICAS main\r\n")
                    .is_some_and(|said| said.starts_with("*1"))
            });
        }
        Self { master, replica, sentinels }
    }

    /// The settings of a binding on them.
    ///
    /// # Panics
    /// Never: there are three.
    pub fn settings(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(Server::address).collect();
        let [first, rest @ ..] = addresses.as_slice() else { unreachable!("there are three") };
        let rest: Vec<String> = rest.iter().map(|address| format!("'{address}'")).collect();
        format!("url = 'redis://{first}', sentinel = 'main', nodes = [{}]", rest.join(", "))
    }
}

/// A Sentinel alone, with these lines of settings besides, which knows a server as `main`.
///
/// # Panics
/// If it does not start.
pub fn sentinel_of(master: &Server, settings: &str) -> Server {
    sentinel(&master.address().port().to_string(), 1, settings)
}

/// A Sentinel alone that speaks TLS alone, to a server that does too and that it knows as `main`.
///
/// # Panics
/// If it does not start.
pub fn sentinel_tls(master: &Server, certificates: &Certificates) -> Server {
    let address = free();
    let mut arguments = vec!["--port".to_owned(), "0".to_owned()];
    arguments.extend(tls(address.port(), certificates));
    let master = master.address().port().to_string();
    sentinel_at(address, &master, 1, "", &arguments, listens)
}

/// A Sentinel of a master at this port, so many of which have to agree.
fn sentinel(master: &str, quorum: usize, settings: &str) -> Server {
    sentinel_at(free(), master, quorum, settings, &[], is_up)
}

fn sentinel_at(
    address: SocketAddr,
    master: &str,
    quorum: usize,
    settings: &str,
    further: &[String],
    is_ready: impl Fn(SocketAddr) -> bool,
) -> Server {
    let folder = folder("sentinel");
    let settings = format!(
        "port {}\nbind 127.0.0.1\ndir .\nsentinel monitor main 127.0.0.1 {master} {quorum}\n\
         sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n\
         {settings}",
        address.port()
    );
    fs::write(folder.join("sentinel.conf"), settings).expect("the folder is ours");
    let mut arguments = vec!["sentinel.conf".to_owned(), "--sentinel".to_owned()];
    arguments.extend_from_slice(further);
    REDIS.start(folder, address, &arguments, is_ready)
}

/// Three masters that share the keys.
pub struct Cluster {
    /// The masters.
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// The one for all tests of this program.
    pub fn shared() -> &'static Self {
        static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);
        &CLUSTER
    }

    /// Starts three and joins them.
    ///
    /// # Panics
    /// If one does not start.
    pub fn start() -> Self {
        let nodes: Vec<Server> = (0..3).map(|_| node(None, &[])).collect();
        let addresses: Vec<SocketAddr> = nodes.iter().map(Server::address).collect();
        Self::join(nodes, &addresses, &[])
    }

    /// Starts three that speak TLS to each other, and to clients that show a certificate, and joins
    /// them. Returns also where they do so.
    ///
    /// # Panics
    /// If one does not start.
    pub fn start_tls(certificates: &Certificates) -> (Self, Vec<SocketAddr>) {
        let addresses: Vec<SocketAddr> = (0..3).map(|_| free()).collect();
        let nodes = addresses.iter().map(|address| {
            let mut arguments = tls(address.port(), certificates);
            arguments.extend(["--tls-cluster".to_owned(), "yes".to_owned()]);
            node(None, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let path = |path: &Path| path.display().to_string();
        let (ca, certificate) = (path(&certificates.ca), path(&certificates.client));
        let key = path(&certificates.client_key);
        let options = ["--tls", "--cacert", &ca, "--cert", &certificate, "--key", &key];
        let cluster = Self::join(nodes.collect(), &addresses, &options);
        (cluster, addresses)
    }

    /// Joins nodes with a client that has these options.
    fn join(nodes: Vec<Server>, addresses: &[SocketAddr], options: &[&str]) -> Self {
        let mut create = Command::new("redis-cli");
        create.args(options).args(["--cluster", "create"]);
        create.args(addresses.iter().map(SocketAddr::to_string));
        create.arg("--cluster-yes").stdout(Stdio::null());
        let created = create.status().expect("redis-cli comes with redis-server");
        assert!(created.success(), "redis-cli: {created}");
        let cluster = Self { nodes };
        cluster.wait();
        cluster
    }

    /// Waits until all of them are joined.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait(&self) {
        for node in &self.nodes {
            wait("the cluster is whole", || {
                ask(node.address(), "CLUSTER INFO\r\n")
                    .is_some_and(|said| said.contains("cluster_state:ok"))
            });
        }
    }

    /// Starts a node again after its crash.
    ///
    /// # Panics
    /// If it does not start.
    pub fn again(&mut self, index: usize) {
        let crashed = self.nodes.remove(index);
        self.nodes.insert(index, node(Some(crashed), &[]));
        self.wait();
    }

    /// The settings of a binding on it.
    ///
    /// # Panics
    /// Never: there are three.
    pub fn settings(&self) -> String {
        let mut urls = self.nodes.iter().map(Server::url);
        let rest: Vec<String> =
            self.nodes.iter().skip(1).map(|node| format!("'{}'", node.address())).collect();
        let first = urls.next().expect("there are three");
        format!("url = '{first}', cluster = true, nodes = [{}]", rest.join(", "))
    }
}

fn node(crashed: Option<Server>, arguments: &[&str]) -> Server {
    let (folder, address) = match crashed {
        Some(crashed) => crashed.leave(),
        None => (folder("redis"), free()),
    };
    let bus = free().port().to_string();
    let settings = [
        "--cluster-enabled",
        "yes",
        "--cluster-config-file",
        "nodes.conf",
        "--cluster-node-timeout",
        "1000",
        "--cluster-port",
        &bus,
    ];
    start_at(folder, address, &[&settings, DURABLE, arguments].concat())
}
