//! PostgreSQL, of the newest version that is installed.

use super::{Account, Recipe, Server, Vendor, ask, folder, free, printed};
use crate::certificates::Certificates;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

/// Where Debian puts each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// It runs as nobody's superuser.
const ACCOUNT: Account = Account("postgres");

pub(super) const VENDOR: Vendor = Vendor {
    name: "postgres",
    url: |address| format!("postgres://postgres@{address}/postgres"),
    shared: || {
        static SERVER: LazyLock<Server> = LazyLock::new(|| postgres_with(&[]));
        &SERVER
    },
    start: || postgres_with(&[]),
    again: |crashed| {
        let (folder, address) = crashed.leave();
        start_at(folder, address, &[])
    },
    kept: |address| {
        let own = "(SELECT oid FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)')";
        let all = format!(
            "SELECT relname FROM pg_class WHERE relnamespace IN {own} UNION ALL \
             SELECT proname FROM pg_proc WHERE pronamespace IN {own} UNION ALL \
             SELECT typname FROM pg_type WHERE typnamespace IN {own}"
        );
        psql(address, &all)
    },
};

/// The lines of what SQL says on a server that trusts everybody, each once.
///
/// # Panics
/// If it fails.
pub fn postgres_says(server: &Server, sql: &str) -> BTreeSet<String> {
    psql(server.address(), sql)
}

fn psql(address: SocketAddr, sql: &str) -> BTreeSet<String> {
    let url = (VENDOR.url)(address);
    printed(Command::new(program("psql")).args(["-XAtq", "-d", &url, "-c", sql]))
}

/// A server of a test's own, with nothing in it, and with these settings, such as `fsync=off`,
/// besides. It trusts everybody who connects.
pub fn postgres_with(settings: &[&str]) -> Server {
    start_at(copy(), free(), settings)
}

/// A server that wants a password, of which it knows none.
///
/// # Panics
/// If its folder is not ours.
pub fn postgres_locked() -> Server {
    let folder = copy();
    let rule = "host all all all scram-sha-256\n";
    fs::write(folder.join("data/pg_hba.conf"), rule).expect("the folder is ours");
    start_at(folder, free(), &[])
}

/// A server that speaks TLS, if it is asked to.
pub fn postgres_tls(certificates: &Certificates) -> Server {
    let folder = copy();
    // It reads no key that others may read.
    let files = [
        (&certificates.ca, "ca.pem"),
        (&certificates.server, "server.pem"),
        (&certificates.server_key, "key.pem"),
    ];
    for (from, to) in files {
        let to = folder.join("data").join(to);
        ACCOUNT.run(Command::new("install").args(["-m", "600"]).arg(from).arg(to));
    }
    let settings =
        ["ssl=on", "ssl_ca_file=ca.pem", "ssl_cert_file=server.pem", "ssl_key_file=key.pem"];
    start_at(folder, free(), &settings)
}

/// A standby that follows another server under the name `standby`.
pub fn postgres_standby(primary: &Server) -> Server {
    let folder = folder("postgres");
    ACCOUNT.give(&folder);
    let from = format!(
        "host=127.0.0.1 port={} user=postgres application_name=standby",
        primary.address().port()
    );
    let mut backup = Command::new(program("pg_basebackup"));
    backup.args(["-d", &from, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"]);
    ACCOUNT.run(backup.arg(folder.join("data")));
    start_at(folder, free(), &["hot_standby=on"])
}

/// A folder with a copy of what every server begins with.
fn copy() -> PathBuf {
    let folder = folder("postgres");
    ACCOUNT.give(&folder);
    ACCOUNT.run(Command::new("cp").arg("-a").arg(&*TEMPLATE).arg(folder.join("data")));
    folder
}

/// What every server begins with.
static TEMPLATE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = folder("postgres-template");
    ACCOUNT.give(&folder);
    let data = folder.join("data");
    let mut command = Command::new(program("initdb"));
    command.arg("-D").arg(&data).args(["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"]);
    ACCOUNT.run(command.args(["--locale", "C"]));
    data
});

/// The path of a program, in the newest version that has it.
fn program(name: &str) -> String {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let numbered = versions.filter_map(|version| {
        let number: u32 = version.file_name().to_string_lossy().parse().ok()?;
        let program = version.path().join("bin").join(name);
        program.exists().then(|| (number, program.display().to_string()))
    });
    numbered.max().map_or_else(|| name.to_owned(), |(_, program)| program)
}

fn start_at(folder: PathBuf, address: SocketAddr, settings: &[&str]) -> Server {
    let port = address.port().to_string();
    // Left behind by a crash.
    drop(fs::remove_file(folder.join("data/postmaster.pid")));
    let mut arguments: Vec<String> =
        ["-D", "data", "-p", &port].iter().map(|&argument| argument.to_owned()).collect();
    let here = folder.display();
    let sockets = format!("unix_socket_directories={here}");
    let usual = ["listen_addresses=127.0.0.1", &sockets, "max_connections=400"];
    for setting in usual.iter().chain(settings) {
        arguments.extend(["-c".to_owned(), (*setting).to_owned()]);
    }
    static PROGRAM: LazyLock<String> = LazyLock::new(|| program("postgres"));
    let recipe = Recipe { program: &PROGRAM, package: "postgresql", scheme: "postgres" };
    recipe.start_as(Some(ACCOUNT), folder, address, &arguments, is_ready)
}

/// Whether it lets one in, or says why not, and not only that it is still starting.
fn is_ready(address: SocketAddr) -> bool {
    // The length, version 3.0 of the protocol, who, where.
    let hello = "\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    ask(address, hello)
        .is_some_and(|answer| answer.starts_with(['R', 'E']) && !answer.contains("57P03"))
}
