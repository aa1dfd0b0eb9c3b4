//! What Istio wraps around filters: `EnvoyFilter` and `WasmPlugin`.

use super::data::{structure, text};
use super::names::Names;
use super::node::Object;
use super::plugin::{self, Filter};
use super::print::Deployment;
use serde_json::Value;
use toml_edit::{InlineTable, Item, Table, value};

/// How one kind of resource is read.
type Read = fn(&Object<'_>, &mut Deployment, &mut Names);

/// How a resource of this kind is read, if it is one.
pub(crate) fn kind(root: &Value) -> Option<Read> {
    match root.get("kind")?.as_str()? {
        "EnvoyFilter" => Some(patches),
        "WasmPlugin" => Some(plugin),
        _ => None,
    }
}

/// The HTTP filters that an `EnvoyFilter` puts into proxies.
fn patches(root: &Object<'_>, deployment: &mut Deployment, names: &mut Names) {
    root.skip(&["apiVersion", "kind", "metadata"]);
    let Some(spec) = root.object("spec") else { return };
    for patch in spec.items("configPatches") {
        let Some(object) = patch.object() else { continue };
        if object.text("applyTo") != Some("HTTP_FILTER") {
            object.leave("only HTTP filters of an `EnvoyFilter` are carried over");
            continue;
        }
        if let Some(value) = object.object("patch").and_then(|patch| {
            patch.skip(&["operation"]);
            patch.take("value")
        }) {
            deployment.filters.extend(plugin::http_filter(&value, names));
        }
    }
}

/// The one filter of a `WasmPlugin`.
fn plugin(root: &Object<'_>, deployment: &mut Deployment, names: &mut Names) {
    root.skip(&["apiVersion", "kind"]);
    let called = root.object("metadata").and_then(|metadata| {
        metadata.skip(&["namespace"]);
        metadata.text("name")
    });
    let Some(spec) = root.object("spec") else { return };
    let name = names.give(called.unwrap_or_default(), spec.node(), "");
    let mut table = Table::new();
    table.insert("source", Item::Value(text(&source(&spec, &name))));
    if let Some(id) = spec.text("pluginName").filter(|id| !id.is_empty()) {
        table.insert("root-id", Item::Value(text(id)));
    }
    let policy = spec.take("failStrategy");
    table.insert(
        "on-failure",
        value(match policy.as_ref().and_then(|policy| policy.value().as_str()) {
            Some("FAIL_OPEN") => "open",
            Some("FAIL_RELOAD") => "reload",
            _ => "closed",
        }),
    );
    let mut environment = InlineTable::new();
    let variables = spec.object("vmConfig").map(|vm| vm.items("env")).unwrap_or_default();
    for variable in variables.iter().filter_map(|node| node.object()) {
        let Some(key) = variable.text("name") else { continue };
        match variable.text("valueFrom") {
            Some("HOST") => {
                variable.node().changed(&format!("`{key}` has to be set here"));
                environment.insert(key, format!("${{env:{key}}}").into());
            }
            _ => drop(variable.text("value").map(|word| environment.insert(key, text(word)))),
        }
    }
    if !environment.is_empty() {
        table.insert("environment", value(environment));
    }
    if let Some(item) = spec.take("pluginConfig").and_then(|node| structure(&node)) {
        table.insert("configuration", item);
    }
    deployment.filters.push(Filter { name, called: String::new(), table });
}

/// The file with the code, which is there or has to be put there.
fn source(spec: &Object<'_>, name: &str) -> String {
    let put = format!("{name}.wasm");
    let Some(url) = spec.take("url") else {
        spec.node().left(&format!("it does not say where its code is: put it into `{put}`"));
        return put;
    };
    let address = url.text().unwrap_or_default();
    if let Some(path) = address.strip_prefix("file://").filter(|path| !path.is_empty()) {
        return path.to_owned();
    }
    url.left(&format!("nothing is fetched here: put {address} into `{put}`"));
    put
}
