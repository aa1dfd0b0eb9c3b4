//! Redis.

use super::{Recipe, Server, Vendor, answers, folder, free};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

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

fn start_at(folder: PathBuf, address: SocketAddr, arguments: &[&str]) -> Server {
    let port = address.port().to_string();
    let usual = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "yes",
        "--dir",
        ".",
        "--repl-diskless-sync-delay",
        "0",
    ];
    let arguments: Vec<String> =
        usual.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
    // One that wants a password says so.
    let is_ready = |address| ["+PONG", "-NOAU"].iter().any(|it| answers(address, "PING\r\n", it));
    REDIS.start(folder, address, &arguments, is_ready)
}
