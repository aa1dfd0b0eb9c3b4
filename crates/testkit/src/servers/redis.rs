//! Redis.

use super::{Recipe, Server, answers, folder, free};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

const REDIS: Recipe = Recipe { program: "redis-server", package: "redis-server", scheme: "redis" };

/// One server for all tests of this program, which writes to the disk before it answers.
pub fn redis() -> &'static Server {
    static SERVER: LazyLock<Server> = LazyLock::new(|| redis_with(&["--appendfsync", "always"]));
    &SERVER
}

/// A server of a test's own, with nothing in it, and with these arguments besides.
pub fn redis_with(arguments: &[&str]) -> Server {
    start_at(folder("redis"), free(), arguments)
}

/// The same server after its crash: with its data, at its address.
pub fn redis_again(crashed: Server, arguments: &[&str]) -> Server {
    let (folder, address) = crashed.leave();
    start_at(folder, address, arguments)
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
