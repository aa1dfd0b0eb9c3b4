//! MariaDB, for the backend of MySQL.

use super::{Account, Recipe, Server, Vendor, ask, folder, free, printed};
use crate::certificates::Certificates;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

const MARIADB: Recipe = Recipe { program: "mariadbd", package: "mariadb-server", scheme: "mysql" };

const ACCOUNT: Account = Account("mysql");

pub(super) const VENDOR: Vendor = Vendor {
    name: "mysql",
    url: |address| format!("mysql://root@{address}/wharf"),
    shared: || {
        static SERVER: LazyLock<Server> = LazyLock::new(|| mysql_with(&[]));
        &SERVER
    },
    start: || mysql_with(&[]),
    again: |crashed| {
        let (folder, address) = crashed.leave();
        start_at(folder, address, &[])
    },
    kept: |address| {
        let all = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'wharf' \
                   UNION ALL SELECT routine_name FROM information_schema.routines \
                   WHERE routine_schema = 'wharf'";
        let port = address.port().to_string();
        let server = ["--no-defaults", "-h", "127.0.0.1", "-P", &port, "-u", "root"];
        printed(Command::new("mariadb").args(server).args(["-N", "-B", "-e", all]))
    },
};

/// A server of a test's own, with a database `wharf` and nothing in it, and with these arguments,
/// such as `--read-only`, besides. It takes `root` without a password.
pub fn mysql_with(arguments: &[&str]) -> Server {
    start_at(copy(), free(), arguments)
}

/// A server that speaks TLS, if it is asked to, with these arguments besides.
pub fn mysql_tls(certificates: &Certificates, arguments: &[&str]) -> Server {
    let option = |name: &str, path: &std::path::Path| format!("--ssl-{name}={}", path.display());
    let files = [
        option("ca", &certificates.ca),
        option("cert", &certificates.server),
        option("key", &certificates.server_key),
    ];
    mysql_with(&[&files.each_ref().map(String::as_str), arguments].concat())
}

/// What every server begins with.
static TEMPLATE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = folder("mysql-template");
    ACCOUNT.give(&folder);
    let data = folder.join("data");
    let mut command = Command::new("mariadb-install-db");
    command.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
    command.arg(format!("--tmpdir={}", folder.display()));
    command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    ACCOUNT.run(&command);
    data
});

/// A folder with a copy of what every server begins with.
fn copy() -> PathBuf {
    let folder = folder("mysql");
    ACCOUNT.give(&folder);
    fs::write(folder.join("init.sql"), "CREATE DATABASE IF NOT EXISTS wharf;\n")
        .expect("the folder is ours");
    ACCOUNT.run(Command::new("cp").arg("-a").arg(&*TEMPLATE).arg(folder.join("data")));
    folder
}

fn start_at(folder: PathBuf, address: SocketAddr, arguments: &[&str]) -> Server {
    let path = |name: &str| folder.join(name).display().to_string();
    let usual = [
        "--no-defaults".to_owned(),
        format!("--datadir={}", path("data")),
        // One that starts removes what it takes for a crashed one's, wherever it is.
        format!("--tmpdir={}", folder.display()),
        format!("--port={}", address.port()),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--socket={}", path("s")),
        format!("--pid-file={}", path("pid")),
        format!("--init-file={}", path("init.sql")),
        "--skip-name-resolve".to_owned(),
        "--innodb-buffer-pool-size=64M".to_owned(),
        "--max-connections=400".to_owned(),
    ];
    let arguments: Vec<String> =
        usual.into_iter().chain(arguments.iter().map(|it| (*it).to_owned())).collect();
    // It greets whom it takes.
    let is_ready = |address| ask(address, "").is_some_and(|greeting| greeting.contains("MariaDB"));
    MARIADB.start_as(Some(ACCOUNT), folder, address, &arguments, is_ready)
}
