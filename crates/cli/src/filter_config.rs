//! `wharf filter-config`: the deployment file for what an Envoy configuration says of filters.

mod cluster;
mod data;
mod istio;
mod listener;
mod names;
mod node;
mod own;
mod plugin;
mod print;
mod redirect;
mod route;
mod tls;

use crate::args::FilterConfigArgs;
use crate::console;
use crate::exit::{Exit, Failure};
use base::{Error, Kind};
use cluster::Clusters;
use names::Names;
use node::{Node, Notes, Object};
use plugin::Filter;
use print::Deployment;
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

/// The most that is read. The largest configurations that people write have a few MiB.
const FILE_MAX: u64 = 16 << 20;

/// Prints the file, and says what is not in it.
pub(crate) fn filter_config(args: &FilterConfigArgs) -> Result<ExitCode, Failure> {
    let shown = match args.file.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => format!("`{}`", args.file.display()),
    };
    let value = parse(&read(&args.file, &shown)?, &shown)?;
    let notes = Notes::default();
    let deployment = convert(Node::root(&value, &notes));
    let Some(deployment) = deployment.filter(|it| it.is_of_use() || !notes.is_empty()) else {
        let text = format!(
            "error: {shown} is no Envoy configuration\n  hint: what is read is a bootstrap with \
             `static_resources`, a listener, HTTP filters, and Istio's `EnvoyFilter` and \
             `WasmPlugin`"
        );
        return Err(Failure::new(Exit::Input, text));
    };
    if !notes.is_empty() {
        console::say(notes.render("", "  ").trim_end());
    }
    if !deployment.is_of_use() {
        let text = format!("error: nothing of {shown} could be carried over");
        return Err(Failure::new(Exit::Input, text));
    }
    console::give(deployment.text(&notes).trim_end());
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path, shown: &str) -> Result<String, Failure> {
    let refused = |error| Error::unreadable(format!("cannot read {shown}"), error, Kind::Invalid);
    let mut bytes = Vec::new();
    let read = if path.to_str() == Some("-") {
        std::io::stdin().lock().take(FILE_MAX + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(refused)?;
    if bytes.len() as u64 > FILE_MAX {
        let text = format!("error: {shown} has more than {} MiB", FILE_MAX >> 20);
        return Err(Failure::new(Exit::Input, text));
    }
    String::from_utf8(bytes).map_err(|_bytes| {
        let text = format!("error: {shown} is no Envoy configuration: it is no text");
        Failure::new(Exit::Input, text)
    })
}

/// Reads YAML, of which JSON is a part. How deep it is, and how much its aliases stand for, is
/// bounded by the library's own budget.
fn parse(text: &str, shown: &str) -> Result<Value, Failure> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.to_string();
        // The first line says what and where; those below show the place.
        let line = error.lines().next().unwrap_or_default();
        let line = node::clean(line.strip_prefix("error: ").unwrap_or(line));
        let text = format!("error: {shown} is no Envoy configuration: it cannot be read as YAML");
        Failure::new(Exit::Input, format!("{text}\n  {line}"))
    })
}

/// What there is to say of any form of configuration that is known. `None`: it is none.
fn convert(root: Node<'_>) -> Option<Deployment> {
    let mut deployment = Deployment::default();
    let mut names = Names::default();
    if root.value().is_array() {
        deployment.filters = bare(&root, &mut names);
        return Some(deployment);
    }
    let known = root.value().as_object()?;
    let has = |key: &str| known.contains_key(key) || known.contains_key(&node::camel(key));
    if has("static_resources") {
        bootstrap(&root.object()?, &mut deployment, &mut names);
    } else if has("filter_chains") {
        let clusters = Clusters::default();
        listener::read(vec![root], &clusters, &mut deployment, &mut names);
    } else if has("http_filters") {
        let object = root.object()?;
        deployment.filters = bare(&object.take("http_filters")?, &mut names);
    } else if let Some(read) = istio::kind(root.value()) {
        read(&root.object()?, &mut deployment, &mut names);
    } else if has("typed_config") {
        deployment.filters.extend(plugin::http_filter(&root, &mut names));
    } else {
        return None;
    }
    Some(deployment)
}

fn bootstrap(root: &Object<'_>, deployment: &mut Deployment, names: &mut Names) {
    if let Some(admin) = root.object("admin") {
        admin.skip(&["access_log", "access_log_path", "profile_path"]);
        deployment.admin = admin.take("address").and_then(|it| listener::address(&it));
        if deployment.admin.is_some() {
            admin.node().changed("has the health and the metrics of Wharf, at paths of its own");
        }
    }
    let Some(resources) = root.object("static_resources") else { return };
    let clusters = Clusters::read(resources.items("clusters"));
    listener::read(resources.items("listeners"), &clusters, deployment, names);
    deployment.upstreams = clusters.finish();
}

/// Filters that stand for themselves.
fn bare(list: &Node<'_>, names: &mut Names) -> Vec<Filter> {
    list.items().iter().filter_map(|node| plugin::http_filter(node, names)).collect()
}
