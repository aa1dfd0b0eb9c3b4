//! memcached, which forgets everything when it ends.

use super::{Recipe, Server, Vendor, answers, asked, folder, free, listens, marked};
use crate::certificates::Certificates;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
    kept: |address| {
        // While it looks through its items for itself, it is busy.
        let is_whole = |said: &str| said.ends_with("END\r\n") || said.starts_with("BUSY");
        let dump = || asked(address, "lru_crawler metadump hash\r\n", is_whole);
        let mut said = dump();
        while said.starts_with("BUSY") {
            said = dump();
        }
        marked(&format!("\n{said}"), "\nkey=", " ")
    },
};

/// A server of a test's own, with nothing in it, and with these arguments besides.
pub fn memcached_with(arguments: &[&str]) -> Server {
    start_at(free(), arguments)
}

/// A server that lets in who is one of these, as `user:password`.
///
/// # Panics
/// If there is no file for them.
pub fn memcached_with_users(users: &[&str], arguments: &[&str]) -> Server {
    let folder = folder("memcached");
    let file = write_users(&folder, users);
    let arguments = [&["-Y", &file], arguments].concat();
    // It says so to everybody else.
    let is_ready = |address| answers(address, "version\r\n", "CLIENT_ERROR");
    launch(folder, free(), &arguments, is_ready)
}

/// A server that speaks TLS alone, and lets in who is one of these, as `user:password`: everybody
/// where there are none.
///
/// # Panics
/// If there is no file for them.
pub fn memcached_tls(certificates: &Certificates, users: &[&str], arguments: &[&str]) -> Server {
    let folder = folder("memcached");
    let (certificate, key) = (certificates.server.display(), certificates.server_key.display());
    let files = format!("ssl_chain_cert={certificate},ssl_key={key}");
    let mut all = vec!["-Z", "-o", &files];
    let file = write_users(&folder, users);
    if !users.is_empty() {
        all.extend(["-Y", &file]);
    }
    all.extend(arguments);
    launch(folder, free(), &all, listens)
}

fn write_users(folder: &Path, users: &[&str]) -> String {
    let file = folder.join("users");
    fs::write(&file, users.join("\n") + "\n").expect("the folder is ours");
    file.display().to_string()
}

fn start_at(address: SocketAddr, arguments: &[&str]) -> Server {
    let is_ready = |address| answers(address, "version\r\n", "VERSION");
    launch(folder("memcached"), address, arguments, is_ready)
}

fn launch(
    folder: PathBuf,
    address: SocketAddr,
    arguments: &[&str],
    is_ready: impl Fn(SocketAddr) -> bool,
) -> Server {
    let port = address.port().to_string();
    // It refuses to run as root unless told to, and is told so here for everybody.
    let usual = ["-l", "127.0.0.1", "-p", &port, "-U", "0", "-u", "root", "-m", "128"];
    let arguments: Vec<String> =
        usual.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
    MEMCACHED.start(folder, address, &arguments, is_ready)
}
