//! Listeners: of the one that leads somewhere, `[http]`.

use super::cluster::Clusters;
use super::data::text;
use super::names::Names;
use super::node::{Node, Object};
use super::print::Deployment;
use super::{plugin, route, tls};
use base::units::{Size, show_duration};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use toml_edit::{InlineTable, value};

const MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// Reads all listeners, of which one becomes the server.
pub(crate) fn read<'a>(
    listeners: Vec<Node<'a>>,
    clusters: &Clusters<'a>,
    deployment: &mut Deployment,
    names: &mut Names,
) {
    // The first of those that lead furthest: another may do no more than send clients to HTTPS.
    let best = listeners.iter().map(|node| weight(node.value())).max();
    let best = listeners.iter().position(|node| Some(weight(node.value())) == best);
    let Some(best) = best.and_then(|at| listeners.get(at).cloned()) else { return };
    for node in &listeners {
        let Some(listener) = node.object() else { continue };
        if std::ptr::eq(node.value(), best.value()) {
            server(&listener, clusters, deployment, names);
        } else if alike(node.value(), best.value()) {
            listen(&listener, deployment);
            listener.hush();
        } else {
            listener.leave("there is one server here, and this listener is another");
        }
    }
}

/// Whether there are filters of Wasm, and whether there are clusters behind.
fn weight(value: &Value) -> usize {
    usize::from(holds(value, |_, text| text.ends_with("filters.http.wasm.v3.Wasm"))) * 2
        + usize::from(holds(value, |key, _| key == "cluster"))
}

fn holds(value: &Value, wanted: fn(&str, &str) -> bool) -> bool {
    match value {
        Value::Array(array) => array.iter().any(|value| holds(value, wanted)),
        Value::Object(map) => map.iter().any(|(key, value)| match value {
            Value::String(text) => wanted(key, text),
            value => holds(value, wanted),
        }),
        _ => false,
    }
}

/// Whether two listeners differ in their names and addresses alone.
fn alike(one: &Value, other: &Value) -> bool {
    let rest = |value: &Value| {
        let mut map = value.as_object().cloned().unwrap_or_default();
        map.retain(|key, _| !["name", "address", "stat_prefix"].contains(&key.as_str()));
        map
    };
    rest(one) == rest(other)
}

fn listen(listener: &Object<'_>, deployment: &mut Deployment) {
    let Some(node) = listener.take("address") else { return };
    let Some(address) = address(&node) else { return };
    if deployment.admin.as_ref() == Some(&address) || deployment.listen.contains(&address) {
        node.left("this address is taken already");
    } else {
        deployment.listen.push(address);
    }
}

fn server<'a>(
    listener: &Object<'a>,
    clusters: &Clusters<'a>,
    deployment: &mut Deployment,
    names: &mut Names,
) {
    listener.skip(&["name", "stat_prefix", "traffic_direction", "enable_reuse_port"]);
    listen(listener, deployment);
    for node in listener.items("listener_filters") {
        let name = node.value().get("name").and_then(Value::as_str).unwrap_or_default();
        if !matches!(name, "envoy.filters.listener.tls_inspector" | "tls_inspector") {
            node.left(&format!("{name}: no equivalent"));
        }
    }
    let buffer = listener.number("per_connection_buffer_limit_bytes");
    let chains = listener.items("filter_chains");
    let best = chains.iter().map(|node| weight(node.value())).max();
    let best = chains.iter().position(|node| Some(weight(node.value())) == best);
    for (at, node) in chains.iter().enumerate() {
        let Some(chain) = node.object() else { continue };
        if Some(at) != best {
            chain.leave("there is one server here, and this filter chain is another");
            continue;
        }
        chain.skip(&["name"]);
        if let Some(tls) = tls::downstream(&chain) {
            deployment.http.insert("tls", value(tls));
        }
        for filter in chain.items("filters") {
            network(&filter, clusters, deployment, names);
        }
    }
    // So much of a body waits for a filter in Envoy too.
    if let Some(buffer) = buffer.filter(|bytes| (1..=1 << 30).contains(bytes)) {
        for filter in &mut deployment.filters {
            let mut limits = InlineTable::new();
            limits.insert("buffer", Size(buffer).to_string().into());
            filter.table.insert("limits", value(limits));
        }
    }
}

fn network<'a>(
    node: &Node<'a>,
    clusters: &Clusters<'a>,
    deployment: &mut Deployment,
    names: &mut Names,
) {
    let Some(filter) = node.object() else { return };
    let name = filter.text("name").unwrap_or_default();
    let config = filter.object("typed_config");
    match config.as_ref().and_then(Object::any) {
        Some((MANAGER, manager)) => manage(&manager, clusters, deployment, names),
        other => {
            config.iter().for_each(Object::hush);
            other.iter().for_each(|(_, inner)| inner.hush());
            filter.leave(&format!("{name}: no equivalent"));
        }
    }
}

/// Reads an `HttpConnectionManager`.
fn manage<'a>(
    manager: &Object<'a>,
    clusters: &Clusters<'a>,
    deployment: &mut Deployment,
    names: &mut Names,
) {
    // What Wharf does at any rate.
    manager.skip(&["stat_prefix", "generate_request_id", "internal_address_config"]);
    if let Some(codec) = manager.take("codec_type").filter(|codec| codec.value() != "AUTO") {
        codec.changed("what clients speak is found out, as with `AUTO`");
    }
    for upgrade in manager.items("upgrade_configs") {
        if upgrade.value().get("upgrade_type").and_then(Value::as_str) != Some("websocket") {
            upgrade.left("no equivalent");
        }
    }
    if let Some(log) = manager.take("access_log") {
        log.changed("requests are logged in Wharf's own form, on standard error");
        deployment.http.insert("access-log", value(true));
    }
    let http = &mut deployment.http;
    if let Some(time) = time(manager, "request_headers_timeout") {
        http.insert("header-timeout", value(time));
    }
    if let Some(kib) = number(manager, "max_request_headers_kb", 16 << 10) {
        http.insert("max-header-size", value(format!("{kib}KiB")));
    }
    if let Some(options) = manager.object("common_http_protocol_options")
        && let Some(count) = number(&options, "max_headers_count", 10_000)
    {
        http.insert("max-headers", value(count));
    }
    if let Some(options) = manager.object("http2_protocol_options")
        && let Some(count) = number(&options, "max_concurrent_streams", 1_000_000)
    {
        let mut http2 = InlineTable::new();
        http2.insert("max-streams", count.into());
        http.insert("http2", value(http2));
    }
    for node in manager.items("http_filters") {
        deployment.filters.extend(plugin::http_filter(&node, names));
    }
    if let Some(config) = manager.object("route_config") {
        deployment.routes = route::read(&config, clusters, &deployment.filters);
    }
}

/// A number from 1 to `most`; what is beyond is noted.
pub(crate) fn number(object: &Object<'_>, key: &str, most: i64) -> Option<i64> {
    let node = object.take(key)?;
    let number = i64::try_from(node.number()?).ok().filter(|number| (1..=most).contains(number));
    if number.is_none() {
        node.left(&format!("expected 1 to {most}"));
    }
    number
}

/// An address that a server may listen on.
pub(crate) fn address(node: &Node<'_>) -> Option<String> {
    let (host, port) = socket(node)?;
    let host: Option<IpAddr> = host.parse().ok();
    if host.is_none() {
        node.left("a server listens on an address, and not on a name");
    }
    Some(SocketAddr::new(host?, port).to_string())
}

/// The name or address of a `SocketAddress`, and its port.
pub(crate) fn socket<'a>(node: &Node<'a>) -> Option<(&'a str, u16)> {
    let object = node.object()?;
    let Some(socket) = object.object("socket_address") else {
        object.leave("only addresses of the network are known");
        return None;
    };
    if let Some(protocol) = socket.take("protocol").filter(|node| node.value() != "TCP") {
        protocol.left("only TCP is spoken");
        socket.hush();
        return None;
    }
    let host = socket.text("address")?;
    let port = socket.number("port_value").and_then(|port| u16::try_from(port).ok());
    if port.is_none() {
        socket.leave("it has no number of a port");
    }
    Some((host, port?))
}

/// A time as the deployment file writes it; nothing for none, and what is beyond is noted.
pub(crate) fn time(object: &Object<'_>, key: &str) -> Option<String> {
    let node = object.take(key)?;
    let time = node.duration().filter(|time| !time.is_zero())?;
    if !(Duration::from_millis(1)..=Duration::from_hours(24)).contains(&time) {
        node.left("a time is 1ms to 24h");
        return None;
    }
    Some(show_duration(time))
}

/// Whether this is the name of a host.
pub(crate) fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.chars().all(good) && !name.starts_with(['-', '.'])
}

/// Text of the file as a key's value.
pub(crate) fn plain(word: &str) -> toml_edit::Item {
    toml_edit::Item::Value(text(word))
}
