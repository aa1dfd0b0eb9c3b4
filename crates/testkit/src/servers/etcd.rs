//! etcd: one server, or a cluster of three.

use super::{Recipe, Server, Vendor, ask, asked, folder, free, marked};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

const ETCD: Recipe = Recipe { program: "etcd", package: "etcd-server", scheme: "etcd" };

pub(super) const VENDOR: Vendor = Vendor {
    name: "etcd",
    url: |address| format!("etcd://{address}"),
    shared: || {
        static SERVER: LazyLock<Server> = LazyLock::new(|| etcd_with(&[]));
        &SERVER
    },
    start: || etcd_with(&[]),
    again: |crashed| {
        let (folder, address) = crashed.leave();
        start_at(folder, address, &[])
    },
    kept: |address| {
        // Every key there can be, in Base64, and without its value.
        let all = r#"{"key":"AA==","range_end":"AA==","keys_only":true}"#;
        let said = |path: &str, body: &str| {
            let length = body.len();
            let request =
                format!("POST /v3/{path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
            let said = asked(address, &request, |_| false);
            assert!(said.contains(" 200 "), "{path}: {said}");
            said
        };
        let mut kept = marked(&said("kv/range", all), "\"key\":\"", "\"");
        kept.extend(marked(&said("lease/leases", "{}"), "\"ID\":\"", "\""));
        kept
    },
};

/// A server of a test's own, with nothing in it, and with these arguments besides.
pub fn etcd_with(arguments: &[&str]) -> Server {
    start_at(folder("etcd"), free(), arguments)
}

/// A server that wants a password: that of `root` is this one.
///
/// # Panics
/// If it does not take it.
pub fn etcd_locked(password: &str) -> Server {
    let server = etcd_with(&[]);
    let user = format!(r#"{{"name":"root","password":"{password}"}}"#);
    for (path, body) in [
        ("user/add", user.as_str()),
        ("role/add", r#"{"name":"root"}"#),
        ("user/grant", r#"{"user":"root","role":"root"}"#),
        ("enable", "{}"),
    ] {
        let length = body.len();
        let request =
            format!("POST /v3/auth/{path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
        let said = ask(server.address(), &request).unwrap_or_default();
        assert!(said.contains(" 200 "), "{path}: {said}");
    }
    server
}

/// One that speaks TLS alone, with a certificate and its key, and with these arguments besides.
pub fn etcd_with_tls(certificate: &Path, key: &Path, arguments: &[&str]) -> Server {
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let address = free();
    let client = format!("https://{address}");
    let mut all = alone(&client);
    all.extend(["--cert-file", &certificate, "--key-file", &key].map(str::to_owned));
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    start(folder("etcd"), address, &all)
}

fn start_at(folder: PathBuf, address: SocketAddr, arguments: &[&str]) -> Server {
    let mut all = alone(&format!("http://{address}"));
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    start(folder, address, &all)
}

/// The arguments of a server without others.
fn alone(client: &str) -> Vec<String> {
    // Nobody asks for it there.
    let peer = "http://127.0.0.1:1";
    arguments("alone", client, "http://127.0.0.1:0", peer, &format!("alone={peer}"))
}

fn arguments(name: &str, client: &str, listen: &str, peer: &str, all: &str) -> Vec<String> {
    let arguments = [
        "--name",
        name,
        "--data-dir",
        "data",
        "--listen-client-urls",
        client,
        "--advertise-client-urls",
        client,
        "--listen-peer-urls",
        listen,
        "--initial-advertise-peer-urls",
        peer,
        "--initial-cluster",
        all,
        "--logger",
        "zap",
    ];
    arguments.map(str::to_owned).to_vec()
}

fn start(folder: PathBuf, address: SocketAddr, arguments: &[String]) -> Server {
    let log = folder.join("log");
    let is_ready = |_| {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        said.contains("published local member to cluster")
            && said.contains("serving client traffic")
    };
    ETCD.start(folder, address, arguments, is_ready)
}

/// A cluster of three, each of which can crash alone.
pub struct EtcdCluster {
    nodes: Vec<ClusterNode>,
}

struct ClusterNode {
    address: SocketAddr,
    arguments: Vec<String>,
    server: Mutex<Option<Server>>,
}

/// A cluster of a test's own, with nothing in it.
///
/// # Panics
/// If it cannot be started.
pub fn etcd_cluster() -> EtcdCluster {
    let nodes: Vec<_> = (1..=3).map(|number| (format!("node{number}"), free(), free())).collect();
    let all: Vec<_> = nodes.iter().map(|(name, _, peer)| format!("{name}=http://{peer}")).collect();
    let all = all.join(",");
    let nodes = nodes.iter().map(|(name, address, peer)| {
        let peer = format!("http://{peer}");
        let arguments = arguments(name, &format!("http://{address}"), &peer, &peer, &all);
        ClusterNode { address: *address, arguments, server: Mutex::default() }
    });
    let cluster = EtcdCluster { nodes: nodes.collect() };
    // None is ready before another is.
    std::thread::scope(|threads| {
        for node in &cluster.nodes {
            threads.spawn(|| node.start(folder("etcd-node")));
        }
    });
    cluster
}

impl EtcdCluster {
    /// Where the nodes listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    /// The settings of a binding on them.
    ///
    /// # Panics
    /// Never: there are three.
    pub fn settings(&self) -> String {
        let mut addresses = self.nodes.iter().map(|node| node.address);
        let first = addresses.next().expect("there are three");
        let rest: Vec<String> = addresses.map(|address| format!("'{address}'")).collect();
        format!("url = 'etcd://{first}', nodes = [{}]", rest.join(", "))
    }

    /// A node's process.
    ///
    /// # Panics
    /// If there is no such node, or it is crashed.
    pub fn with<T>(&self, node: usize, then: impl FnOnce(&Server) -> T) -> T {
        let server = self.nodes.get(node).expect("there are three").server.lock();
        then(server.unwrap_or_else(PoisonError::into_inner).as_ref().expect("it runs"))
    }

    /// Starts a node again after its crash: with its data, at its address.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn again(&self, node: usize) {
        let node = self.nodes.get(node).expect("there are three");
        let crashed = node.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (folder, _) = crashed.expect("it ran").leave();
        node.start(folder);
    }
}

impl ClusterNode {
    fn start(&self, folder: PathBuf) {
        let server = start(folder, self.address, &self.arguments);
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }
}
