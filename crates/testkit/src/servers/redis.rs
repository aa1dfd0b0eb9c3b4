//! Redis: one server, a master with its Sentinels, a cluster.

mod many;

use super::{Recipe, Server, Vendor, answers, asked, folder, free, listens};
use crate::certificates::Certificates;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

pub use many::{Cluster, Sentinels, sentinel_of, sentinel_tls};

const REDIS: Recipe = Recipe { program: "redis-server", package: "redis-server", scheme: "redis" };

/// It writes to the disk before it answers.
const DURABLE: &[&str] = &["--appendfsync", "always"];

pub(super) const VENDOR: Vendor = Vendor {
    name: "redis",
    url: |address| format!("redis://{address}"),
    shared: || {
        static SERVER: LazyLock<Server> = LazyLock::new(|| redis_with(DURABLE));
        &SERVER
    },
    start: || redis_with(DURABLE),
    again: |crashed| {
        let (folder, address) = crashed.leave();
        start_at(folder, address, DURABLE)
    },
    kept: |address| {
        let said = asked(address, "KEYS *\r\nQUIT\r\n", |_| false);
        // Between the names stand their lengths.
        let names = said.lines().filter(|line| !line.starts_with(['*', '$', '+']));
        names.map(str::to_owned).collect()
    },
};

/// A server of a test's own, with nothing in it, and with these arguments besides.
pub fn redis_with(arguments: &[&str]) -> Server {
    start_at(folder("redis"), free(), arguments)
}

/// A server that speaks TLS alone and wants to see a certificate of its clients.
pub fn redis_tls(certificates: &Certificates) -> Server {
    let address = free();
    let tls = tls(address.port(), certificates);
    let mut arguments = vec!["--port", "0"];
    arguments.extend(tls.iter().map(String::as_str));
    launch(folder("redis"), address, &arguments, listens)
}

/// The arguments of a server that speaks TLS at this port, to other servers too.
fn tls(port: u16, certificates: &Certificates) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let arguments = [
        ["--tls-port", &port.to_string()],
        ["--tls-cert-file", &path(&certificates.server)],
        ["--tls-key-file", &path(&certificates.server_key)],
        ["--tls-client-cert-file", &path(&certificates.client)],
        ["--tls-client-key-file", &path(&certificates.client_key)],
        ["--tls-ca-cert-file", &path(&certificates.ca)],
        ["--tls-replication", "yes"],
    ];
    arguments.as_flattened().iter().map(|it| (*it).to_owned()).collect()
}

fn start_at(folder: PathBuf, address: SocketAddr, arguments: &[&str]) -> Server {
    launch(folder, address, arguments, is_up)
}

/// Whether it answers. One that wants a password says so.
fn is_up(address: SocketAddr) -> bool {
    ["+PONG", "-NOAU"].iter().any(|it| answers(address, "PING\r\n", it))
}

/// Later arguments win.
fn launch(
    folder: PathBuf,
    address: SocketAddr,
    arguments: &[&str],
    is_ready: impl Fn(SocketAddr) -> bool,
) -> Server {
    let port = address.port().to_string();
    let usual = [
        ["--port", &port],
        ["--bind", "127.0.0.1"],
        ["--save", ""],
        ["--appendonly", "yes"],
        ["--dir", "."],
        ["--repl-diskless-sync-delay", "0"],
    ];
    let arguments: Vec<String> =
        usual.as_flattened().iter().chain(arguments).map(|it| (*it).to_owned()).collect();
    REDIS.start(folder, address, &arguments, is_ready)
}
