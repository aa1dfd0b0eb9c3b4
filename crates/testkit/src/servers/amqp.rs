//! RabbitMQ, for the backend of AMQP.

use super::{Recipe, Server, Vendor, answers, folder, free, listens, printed};
use crate::certificates::Certificates;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

const RABBITMQ: Recipe = Recipe {
    // The one in the path becomes another user first, and forgets what it was told.
    program: "/usr/lib/rabbitmq/bin/rabbitmq-server",
    package: "rabbitmq-server",
    scheme: "amqp",
};

const EPMD: Recipe = Recipe { program: "epmd", package: "erlang-base", scheme: "epmd" };

/// What every node lets in knows this word.
const COOKIE: &str = "wharf";

pub(super) const VENDOR: Vendor = Vendor {
    name: "amqp",
    url: |address| format!("amqp://{address}"),
    shared: || {
        static SERVER: LazyLock<Server> = LazyLock::new(|| amqp_with(&[]));
        &SERVER
    },
    start: || amqp_with(&[]),
    again: |crashed| {
        let (folder, address) = crashed.leave();
        start_at(folder, address, &[listener(address)])
    },
    kept: |address| {
        let ours = |name: &String| !name.is_empty() && !name.starts_with("amq.");
        let queues = told(address, &["list_queues", "--no-table-headers", "name"]);
        let exchanges = told(address, &["list_exchanges", "--no-table-headers", "name"]);
        queues.into_iter().chain(exchanges).filter(ours).collect()
    },
};

/// Where nodes find each other: for all of this program, as one that a node starts outlives it.
static NAMES: LazyLock<Server> = LazyLock::new(|| {
    let address = free();
    let arguments = ["-address", "127.0.0.1", "-port", &address.port().to_string()];
    EPMD.start(folder("epmd"), address, &arguments.map(str::to_owned), listens)
});

/// A server of a test's own, with nothing in it and with these lines in its configuration.
pub fn amqp_with(lines: &[&str]) -> Server {
    let address = free();
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    start_at(folder("amqp"), address, &[&[listener(address)], lines.as_slice()].concat())
}

/// A server that speaks TLS alone and wants to see a certificate of its clients.
pub fn amqp_tls(certificates: &Certificates) -> Server {
    let address = free();
    let lines = [
        "listeners.tcp = none".to_owned(),
        format!("listeners.ssl.1 = {address}"),
        format!("ssl_options.cacertfile = {}", certificates.ca.display()),
        format!("ssl_options.certfile = {}", certificates.server.display()),
        format!("ssl_options.keyfile = {}", certificates.server_key.display()),
        "ssl_options.verify = verify_peer".to_owned(),
        "ssl_options.fail_if_no_peer_cert = true".to_owned(),
    ];
    start_at(folder("amqp"), address, &lines)
}

/// What the program that controls a server prints, line by line.
///
/// # Panics
/// If it fails.
pub fn amqp_told(server: &Server, arguments: &[&str]) -> BTreeSet<String> {
    told(server.address(), arguments)
}

fn told(address: SocketAddr, arguments: &[&str]) -> BTreeSet<String> {
    let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmqctl");
    command.envs(environment()).env("HOME", std::env::temp_dir());
    command.args(["--quiet", "--node", &node(address), "--erlang-cookie", COOKIE]).args(arguments);
    printed(&mut command)
}

fn listener(address: SocketAddr) -> String {
    format!("listeners.tcp.1 = {address}")
}

fn node(address: SocketAddr) -> String {
    format!("wharf-{}@localhost", address.port())
}

/// What all programs of Erlang are told here.
fn environment() -> Vec<(&'static str, String)> {
    vec![
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("ERL_EPMD_PORT", NAMES.address().port().to_string()),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
    ]
}

fn start_at(folder: PathBuf, address: SocketAddr, lines: &[String]) -> Server {
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).expect("the folder is ours");
        folder.join(name).display().to_string()
    };
    let settings =
        format!("{}\nlog.console = true\nlog.console.level = warning\n", lines.join("\n"));
    let arguments =
        format!("+S 1:1 -setcookie {COOKIE} -kernel inet_dist_use_interface {{127,0,0,1}}");
    let mut environment = environment();
    environment.extend([
        // So that the script becomes the server, instead of waiting for it.
        ("detached", "true".to_owned()),
        ("HOME", folder.display().to_string()),
        ("RABBITMQ_CONFIG_FILE", write("rabbitmq.conf", &settings)),
        ("RABBITMQ_DIST_PORT", free().port().to_string()),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", write("plugins", "[].\n")),
        ("RABBITMQ_LOGS", "-".to_owned()),
        ("RABBITMQ_LOG_BASE", folder.display().to_string()),
        ("RABBITMQ_MNESIA_BASE", folder.join("data").display().to_string()),
        ("RABBITMQ_NODENAME", node(address)),
        ("RABBITMQ_PID_FILE", folder.join("pid").display().to_string()),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", arguments),
    ]);
    let has_tls = lines.iter().any(|line| line.starts_with("listeners.ssl"));
    let is_ready = move |address| match has_tls {
        true => listens(address),
        false => answers(address, "AMQP\0\0\u{9}\u{1}", "\u{1}\0\0"),
    };
    RABBITMQ.start_in(None, &environment, folder, address, &[], is_ready)
}
