//! Queues of Azure Storage, as Azurite has them: a server that keeps what it has confirmed over a
//! crash, which Azurite alone does not.

use super::{Recipe, Server, Vendor, folder, free, installed, listens};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

/// What is run by the Node.js that has Azurite.
const SERVE: &str = include_str!("azure_queue/serve.js");
/// The version that `cargo xtask setup` installs, in the place where that keeps it.
const AZURITE: &str = "azurite-3.37.0";

pub(super) const VENDOR: Vendor = Vendor {
    name: "azure-queue",
    url: |address| format!("azure-queue://{address}/devstoreaccount1"),
    shared: || {
        static SERVER: LazyLock<Server> = LazyLock::new(azure_queue);
        &SERVER
    },
    start: azure_queue,
    again: |crashed| {
        let (folder, address) = crashed.leave();
        start_at(folder, address, &[])
    },
    kept,
};

/// Where each server has its data.
static FOLDERS: LazyLock<Mutex<HashMap<SocketAddr, PathBuf>>> = LazyLock::new(Mutex::default);

/// A server of a test's own, with nothing in it.
pub fn azure_queue() -> Server {
    start_at(folder("azure-queue"), free(), &[])
}

fn start_at(folder: PathBuf, address: SocketAddr, more: &[&str]) -> Server {
    static NODE: LazyLock<String> =
        LazyLock::new(|| installed(AZURITE).join("node").display().to_string());
    fs::write(folder.join("serve.js"), SERVE).expect("the folder is ours");
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).insert(address, folder.clone());
    let recipe = Recipe { program: &NODE, package: "nodejs", scheme: "azure-queue" };
    let modules = installed(AZURITE).join("node_modules").display().to_string();
    let port = address.port().to_string();
    let usual = ["serve.js", &modules, "--queueHost", "127.0.0.1", "--queuePort", &port];
    let quiet = ["--location", ".", "--silent", "--skipApiVersionCheck", "--disableTelemetry"];
    let arguments = [&usual[..], &quiet, more].concat();
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    recipe.start(folder, address, &arguments, listens)
}

/// The names of all queues, as the file has them.
fn kept(address: SocketAddr) -> BTreeSet<String> {
    let folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folders.get(&address).expect("it was started here");
    let Ok(file) = fs::read(folder.join("__azurite_db_queue__.json")) else {
        return BTreeSet::new();
    };
    let file: serde_json::Value = serde_json::from_slice(&file).expect("it is whole");
    let collections = file.get("collections").and_then(|all| all.as_array());
    let collections = collections.into_iter().flatten();
    let queues = collections
        .filter(|one| one.get("name").is_some_and(|name| name == "$QUEUES_COLLECTION$"))
        .filter_map(|one| one.get("data")?.as_array())
        .flatten();
    queues.filter_map(|queue| Some(queue.get("name")?.as_str()?.to_owned())).collect()
}
