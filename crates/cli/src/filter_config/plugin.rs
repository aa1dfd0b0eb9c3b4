//! HTTP filters: of Wasm, `[filter.NAME]`.

use super::data::{configuration, text};
use super::names::Names;
use super::node::{Node, Object};
use serde_json::Value;
use toml_edit::{Array, InlineTable, Item, Table, value};

pub(crate) const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";
const MEANS_NOTHING: &str =
    "means nothing here: there is one compiler, and code is compiled before it is used";

/// A filter with its section.
pub(crate) struct Filter {
    pub(crate) name: String,
    /// The name of its entry in `http_filters`.
    pub(crate) called: String,
    pub(crate) table: Table,
}

/// Reads one entry of `http_filters`. `None`: it is none of Wasm, which was noted.
pub(crate) fn http_filter(node: &Node<'_>, names: &mut Names) -> Option<Filter> {
    let object = node.object()?;
    let called = object.text("name").unwrap_or_default();
    let Some(config) = object.object("typed_config") else {
        // Routes are Wharf's own; old files name the router without its type.
        match called {
            "envoy.filters.http.router" | "envoy.router" => {}
            _ => object.leave(&format!("{called}: no equivalent")),
        }
        return None;
    };
    let Some((kind, inner)) = config.any() else {
        config.hush();
        object.leave(&format!("{called}: it does not say of what type it is"));
        return None;
    };
    match kind {
        WASM => {}
        ROUTER => {
            inner.skip(&["start_child_span", "suppress_envoy_headers", "dynamic_stats"]);
            return None;
        }
        _ => {
            inner.hush();
            object.leave(&format!(
                "{}: no equivalent",
                if called.is_empty() { kind } else { called }
            ));
            return None;
        }
    }
    if object.truth("disabled") == Some(true) {
        object.node().left("disabled: it stands before no route unless the route asks for it");
        inner.hush();
        return None;
    }
    object.skip(&["is_optional"]);
    let filter = inner.object("config").map(|config| plugin(&config, names)).unwrap_or_else(|| {
        inner.leave("it has no `config`");
        None
    });
    filter.map(|filter| Filter { called: called.to_owned(), ..filter })
}

/// Reads a `PluginConfig`.
fn plugin(config: &Object<'_>, names: &mut Names) -> Option<Filter> {
    let called = config.text("name").unwrap_or_default();
    let vm = config.object("vm_config");
    let runtime = vm.as_ref().and_then(|vm| vm.text("runtime"));
    if let (Some("envoy.wasm.runtime.null"), Some(vm)) = (runtime, &vm) {
        vm.hush();
        config.leave(&format!("{called}: it is compiled into Envoy, and no Wasm"));
        return None;
    }
    let name = names.give(called, config.node(), "");
    let mut table = Table::new();
    let code = vm.as_ref().and_then(|vm| vm.object("code"));
    let file = code.map_or_else(
        || {
            config.node().left("it does not say where its code is");
            format!("{name}.wasm")
        },
        |code| source(&code, &name),
    );
    table.insert("source", Item::Value(text(&file)));
    if let Some(id) = config.text("root_id").filter(|id| !id.is_empty()) {
        table.insert("root-id", Item::Value(text(id)));
    }
    table.insert("on-failure", value(on_failure(config)));
    if config.truth("allow_on_headers_stop_iteration") == Some(true) {
        table.insert("headers-stop", value("iteration"));
    }
    if let Some(reload) = config.take("reload_config") {
        reload.changed("here a filter is started anew at once, and waits after five failures");
    }
    if let Some(vm) = vm {
        machine(&vm, &mut table);
    }
    if let Some(allowed) = capabilities(config) {
        table.insert("capabilities", value(allowed));
    }
    if let Some(item) = config.object("configuration").and_then(|it| configuration(&it)) {
        table.insert("configuration", item);
    }
    Some(Filter { name, called: called.to_owned(), table })
}

/// The file with the code, which is there or has to be put there.
fn source(code: &Object<'_>, name: &str) -> String {
    let put = format!("{name}.wasm");
    if let Some(local) = code.object("local") {
        if let Some(file) = local.text("filename").filter(|file| !file.is_empty()) {
            return file.to_owned();
        }
        local.leave(&format!("code has a file here: put it into `{put}`"));
    } else if let Some(remote) = code.object("remote") {
        let uri = remote.object("http_uri").and_then(|uri| {
            let text = uri.text("uri");
            uri.hush();
            text
        });
        let sum = remote.text("sha256").filter(|sum| !sum.is_empty());
        let sum = sum.map(|sum| format!(", whose SHA-256 is {sum},")).unwrap_or_default();
        let uri = uri.unwrap_or("the code");
        remote.leave(&format!("nothing is fetched here: put {uri}{sum} into `{put}`"));
    } else {
        code.leave(&format!("put the code into `{put}`"));
    }
    put
}

fn on_failure(config: &Object<'_>) -> &'static str {
    let open = config.truth("fail_open") == Some(true);
    if let Some(node) = config.take("failure_policy") {
        match (node.value().as_str(), node.value().as_u64()) {
            (Some("FAIL_RELOAD"), _) | (_, Some(1)) => return "reload",
            (Some("FAIL_OPEN"), _) | (_, Some(3)) => return "open",
            (Some("FAIL_CLOSED"), _) | (_, Some(2)) => return "closed",
            (Some("UNSPECIFIED"), _) | (_, Some(0)) => {}
            _ => node.left("there is no such policy"),
        }
    }
    // What Envoy does that is not told anything else.
    if open { "open" } else { "closed" }
}

/// Reads what is left of a `VmConfig`.
fn machine(vm: &Object<'_>, table: &mut Table) {
    if let Some(id) = vm.text("vm_id").filter(|id| !id.is_empty()) {
        table.insert("vm-id", Item::Value(text(id)));
    }
    for key in ["allow_precompiled", "nack_on_code_cache_miss"] {
        if let Some(node) = vm.take(key).filter(|node| node.value() != &Value::Bool(false)) {
            node.left(MEANS_NOTHING);
        }
    }
    if let Some(item) = vm.object("configuration").and_then(|it| configuration(&it)) {
        table.insert("vm-configuration", item);
    }
    let Some(variables) = vm.object("environment_variables") else { return };
    let mut environment = InlineTable::new();
    for node in variables.items("host_env_keys") {
        let Some(key) = node.text() else { continue };
        environment.insert(key, format!("${{env:{key}}}").into());
        node.changed(&format!("`{key}` has to be set here, and is passed over by Envoy"));
    }
    for (key, node) in variables.object("key_values").map(|it| it.rest()).unwrap_or_default() {
        if let Some(word) = node.text() {
            environment.insert(key, text(word));
        }
    }
    if !environment.is_empty() {
        table.insert("environment", value(environment));
    }
}

/// What the filter may use. An empty list allows everything, as a missing one does; one whose
/// names are all unknown here allows nothing.
fn capabilities(config: &Object<'_>) -> Option<Array> {
    let restriction = config.object("capability_restriction_config")?;
    let allowed = restriction.object("allowed_capabilities")?.rest();
    let known = ::filter::callable();
    let mut array = Array::new();
    for (name, node) in &allowed {
        match known.contains(name) {
            true => array.push(text(name)),
            false => node.left("no host call, callback or function of WASI here has this name"),
        }
    }
    (!allowed.is_empty()).then_some(array)
}
