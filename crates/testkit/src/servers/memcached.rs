//! memcached, which forgets everything when it ends.

use super::{Recipe, Server, Vendor, answers, folder, free};
use std::net::SocketAddr;
use std::sync::LazyLock;

const MEMCACHED: Recipe =
    Recipe { program: "memcached", package: "memcached", scheme: "memcached" };

pub(super) const VENDOR: Vendor = Vendor {
    name: "memcached",
    url: |address| format!("memcached://{address}"),
    shared: || {
        static SERVER: LazyLock<Server> = LazyLock::new(|| memcached_with(&[]));
        &SERVER
    },
    start: || memcached_with(&[]),
    again: |crashed| {
        let address = crashed.address();
        drop(crashed);
        start_at(address, &[])
    },
};

/// A server of a test's own, with nothing in it, and with these arguments besides.
pub fn memcached_with(arguments: &[&str]) -> Server {
    start_at(free(), arguments)
}

fn start_at(address: SocketAddr, arguments: &[&str]) -> Server {
    let port = address.port().to_string();
    // It refuses to run as root unless told to, and is told so here for everybody.
    let usual = ["-l", "127.0.0.1", "-p", &port, "-U", "0", "-u", "root", "-m", "128"];
    let arguments: Vec<String> =
        usual.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
    let is_ready = |address| answers(address, "version\r\n", "VERSION");
    MEMCACHED.start(folder("memcached"), address, &arguments, is_ready)
}
