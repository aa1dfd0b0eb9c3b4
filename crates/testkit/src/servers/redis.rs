//! Redis: one server, a master with its Sentinels, a cluster.

mod many;

use super::{Recipe, Server, Vendor, answers, folder, free, listens};
use crate::certificates::Certificates;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

pub use many::{Cluster, Sentinels};

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
};

/// A server of a test's own, with nothing in it, and with these arguments besides.
pub fn redis_with(arguments: &[&str]) -> Server {
    start_at(folder("redis"), free(), arguments)
}

/// A server that speaks TLS alone and wants to see a certificate of its clients.
pub fn redis_tls(certificates: &Certificates) -> Server {
    let address = free();
    let port = address.port().to_string();
    let path = |path: &std::path::Path| path.display().to_string();
    let arguments = [
        ["--port", "0"],
        ["--tls-port", &port],
        ["--tls-cert-file", &path(&certificates.server)],
        ["--tls-key-file", &path(&certificates.server_key)],
        ["--tls-ca-cert-file", &path(&certificates.ca)],
    ];
    let arguments: Vec<&str> = arguments.as_flattened().to_vec();
    launch(folder("redis"), address, &arguments, listens)
}

fn start_at(folder: PathBuf, address: SocketAddr, arguments: &[&str]) -> Server {
    // One that wants a password says so.
    let is_ready = |address| ["+PONG", "-NOAU"].iter().any(|it| answers(address, "PING\r\n", it));
    launch(folder, address, arguments, is_ready)
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
