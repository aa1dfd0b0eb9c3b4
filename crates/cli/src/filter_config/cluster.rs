//! Clusters: `[upstream.NAME]`.

use super::listener::{is_name, number, plain, socket, time};
use super::names::Names;
use super::node::{Node, Object};
use super::tls;
use serde_json::Value as Json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use toml_edit::{Array, InlineTable, Table, Value, value};

const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const MANY: i64 = 10_000_000;

/// What routes want of an upstream, by its key, each with the route's place.
type Wishes<'a> = BTreeMap<&'static str, Vec<(Node<'a>, Option<Value>)>>;

/// All clusters.
#[derive(Default)]
pub(crate) struct Clusters<'a>(Vec<Cluster<'a>>);

/// One cluster, as far as it was carried over.
pub(crate) struct Cluster<'a> {
    /// What it is called there.
    called: &'a str,
    /// What it is called here. `None`: it was not carried over.
    pub(crate) name: Option<String>,
    table: Table,
    /// Where it is said that a hash decides, if it does.
    ring: Option<Node<'a>>,
    wishes: RefCell<Wishes<'a>>,
}

impl<'a> Clusters<'a> {
    pub(crate) fn read(nodes: Vec<Node<'a>>) -> Self {
        let mut names = Names::default();
        Self(nodes.iter().filter_map(|node| one(node, &mut names)).collect())
    }

    /// The cluster of this name, if it was carried over.
    pub(crate) fn find(&self, name: &str) -> Option<&Cluster<'a>> {
        self.0.iter().find(|cluster| cluster.called == name && cluster.name.is_some())
    }

    /// The sections, with what routes want of them.
    pub(crate) fn finish(self) -> Vec<(String, Table)> {
        self.0.into_iter().filter_map(Cluster::finish).collect()
    }
}

impl<'a> Cluster<'a> {
    /// A route wants its upstream to have this, or not to.
    pub(crate) fn wish(&self, key: &'static str, node: Node<'a>, value: Option<Value>) {
        self.wishes.borrow_mut().entry(key).or_default().push((node, value));
    }

    fn finish(mut self) -> Option<(String, Table)> {
        let mut wishes = self.wishes.take();
        let hash = wishes.remove("hash-on");
        if let Some(ring) = self.ring {
            match hash.as_ref().and_then(|hash| hash.first()) {
                Some((_, Some(on))) => {
                    self.table.insert("balance", value("ring-hash"));
                    self.table.insert("hash-on", value(on.clone()));
                }
                _ => ring.left("no route says what is hashed, so servers take turns"),
            }
        }
        for (key, wishes) in wishes {
            let Some(chosen) = wishes.iter().find_map(|(_, value)| value.clone()) else { continue };
            let same = |value: &Option<Value>| {
                value.as_ref().is_some_and(|it| it.to_string() == chosen.to_string())
            };
            for (node, _) in wishes.iter().filter(|(_, value)| !same(value)) {
                let chosen = chosen.to_string();
                node.changed(&format!(
                    "an upstream has one `{key}`, and that of another route is taken: {chosen}"
                ));
            }
            self.table.insert(key, value(chosen));
        }
        Some((self.name?, self.table))
    }
}

fn one<'a>(node: &Node<'a>, names: &mut Names) -> Option<Cluster<'a>> {
    let object = node.object()?;
    let called = object.text("name").unwrap_or_default();
    object.skip(&["alt_stat_name", "metadata", "dns_lookup_family", "respect_dns_ttl"]);
    let kind = object.take("type").map_or(Some("STATIC"), |kind| kind.value().as_str());
    let mut cluster =
        Cluster { called, name: None, table: Table::new(), ring: None, wishes: RefCell::default() };
    if !matches!(kind, Some("STATIC" | "STRICT_DNS" | "LOGICAL_DNS")) {
        let kind = kind.unwrap_or("such a type");
        object.leave(&format!("`{called}`: servers are addresses and names here, and no {kind}"));
        return Some(cluster);
    }
    let tls = tls::upstream(&object);
    let endpoints = endpoints(&object, tls.is_some());
    if endpoints.is_empty() {
        object.leave(&format!("`{called}` has no server that could be carried over"));
        return Some(cluster);
    }
    let matters = "; filters that call it have to say so too";
    cluster.name = Some(names.give(called, node, matters));
    let table = &mut cluster.table;
    table.insert("endpoints", value(endpoints));
    cluster.ring = balance(&object, table);
    if let Some(http2) = http2(&object) {
        table.insert("http2", value(http2));
    }
    if let Some(tls) = tls.filter(|tls| !tls.is_empty()) {
        table.insert("tls", value(tls));
    }
    for (key, ours) in
        [("connect_timeout", "connect-timeout"), ("dns_refresh_rate", "resolve-every")]
    {
        if let Some(time) = time(&object, key) {
            table.insert(ours, value(time));
        }
    }
    limits(&object, table);
    ejection(&object, table);
    health(&object, table);
    Some(cluster)
}

fn endpoints(cluster: &Object<'_>, secure: bool) -> Array {
    let mut found: Vec<String> = Vec::new();
    let Some(assignment) = cluster.object("load_assignment") else { return Array::new() };
    assignment.skip(&["cluster_name"]);
    for group in assignment.items("endpoints") {
        let Some(group) = group.object() else { continue };
        group.skip(&["locality", "load_balancing_weight"]);
        if group.take("priority").is_some_and(|priority| priority.number() != Some(0)) {
            group.leave("there are no servers that wait until others are ill");
            continue;
        }
        let servers = group.items("lb_endpoints");
        let weights: Vec<_> =
            servers.iter().map(|it| it.value().get("load_balancing_weight")).collect();
        let even = weights.iter().all(|weight| Some(weight) == weights.first());
        for server in servers {
            let Some(server) = server.object() else { continue };
            if let Some(weight) = server.take("load_balancing_weight").filter(|_| !even) {
                weight.left("each server is asked as often as the others");
            }
            let Some(endpoint) = server.object("endpoint") else { continue };
            endpoint.skip(&["hostname"]);
            let Some((host, port)) = endpoint.take("address").and_then(|it| socket(&it)) else {
                continue;
            };
            let address = host.parse::<std::net::Ipv6Addr>().is_ok();
            if port == 0 || !(address || is_name(host)) {
                endpoint.leave(&format!("`{host}:{port}` is no server"));
                continue;
            }
            let host = if address { format!("[{host}]") } else { host.to_ascii_lowercase() };
            let scheme = if secure { "https://" } else { "" };
            let text = format!("{scheme}{host}:{port}");
            if !found.contains(&text) {
                found.push(text);
            }
        }
    }
    found.into_iter().collect()
}

/// Writes who is asked; where a hash decides, routes say which.
fn balance<'a>(cluster: &Object<'a>, table: &mut Table) -> Option<Node<'a>> {
    let node = cluster.take("lb_policy")?;
    match node.value().as_str() {
        Some("ROUND_ROBIN") => {}
        Some("LEAST_REQUEST") => {
            table.insert("balance", value("least-request"));
            cluster.skip(&["least_request_lb_config"]);
        }
        Some("RING_HASH") => return Some(node),
        Some("MAGLEV") => {
            node.changed("a ring takes the place of Maglev's table");
            return Some(node);
        }
        other => {
            let other = other.unwrap_or("no text");
            node.changed(&format!("{other}: servers take turns"));
        }
    }
    None
}

/// Whether HTTP/2 alone is spoken.
fn http2(cluster: &Object<'_>) -> Option<bool> {
    if let Some(options) = cluster.take("http2_protocol_options") {
        drop(options.object());
        return Some(true);
    }
    let options = cluster.object("typed_extension_protocol_options")?;
    let (_, inner) = options.object(OPTIONS)?.any()?;
    inner.skip(&["auto_config"]);
    if let Some(node) = inner.take("use_downstream_protocol_config") {
        node.changed("what is spoken does not follow the client: without TLS it is HTTP/1.1");
    }
    let explicit = inner.object("explicit_http_config")?;
    if let Some(options) = explicit.take("http2_protocol_options") {
        drop(options.object());
        return Some(true);
    }
    explicit.take("http_protocol_options").map(|_| false)
}

/// `limits` and `retries.budget`, of the circuit breakers.
fn limits(cluster: &Object<'_>, table: &mut Table) {
    let Some(breakers) = cluster.object("circuit_breakers") else { return };
    let mut limits = InlineTable::new();
    for node in breakers.items("thresholds") {
        let Some(threshold) = node.object() else { continue };
        let priority = threshold.take("priority");
        if priority
            .is_some_and(|it| it.value() != &Json::from("DEFAULT") && it.value() != &Json::from(0))
        {
            threshold.leave("requests have no priority here");
            continue;
        }
        for (key, ours) in [
            ("max_requests", "requests"),
            ("max_pending_requests", "queue"),
            ("max_connections", "connections"),
        ] {
            if let Some(number) = number(&threshold, key, MANY) {
                limits.insert(ours, number.into());
            }
        }
        if let Some(retries) = threshold.take("max_retries") {
            retries.left("retries are bounded by `retries.budget`: so many of a hundred requests");
        }
    }
    if !limits.is_empty() {
        table.insert("limits", value(limits));
    }
}

fn ejection(cluster: &Object<'_>, table: &mut Table) {
    let Some(outlier) = cluster.object("outlier_detection") else { return };
    outlier.skip(&["interval", "enforcing_consecutive_5xx"]);
    let mut ejection = InlineTable::new();
    if let Some(failures) = number(&outlier, "consecutive_5xx", 1_000_000) {
        ejection.insert("failures", failures.into());
    }
    for (key, ours) in [("base_ejection_time", "time"), ("max_ejection_time", "max-time")] {
        if let Some(time) = time(&outlier, key) {
            ejection.insert(ours, time.into());
        }
    }
    if let Some(percent) = number(&outlier, "max_ejection_percent", 100) {
        ejection.insert("max-percent", percent.into());
    }
    if !ejection.is_empty() {
        table.insert("ejection", value(ejection));
    }
}

fn health(cluster: &Object<'_>, table: &mut Table) {
    let mut checks = cluster.items("health_checks").into_iter();
    let Some(first) = checks.next() else { return };
    for more in checks {
        more.left("a server is asked in one way");
    }
    let Some(check) = first.object() else { return };
    let Some(http) = check.object("http_health_check") else {
        check.leave("servers are asked over HTTP");
        return;
    };
    let Some(node) = http.take("path") else { return };
    let Some(path) = node.text() else { return };
    if !path.starts_with('/') || path.contains(|c: char| !c.is_ascii_graphic() || c == '#') {
        node.left("this is no path");
        return;
    }
    let mut health = Table::new();
    health.insert("path", plain(path));
    for key in ["interval", "timeout"] {
        if let Some(time) = time(&check, key) {
            health.insert(key, value(time));
        }
    }
    for (key, ours) in [("healthy_threshold", "healthy"), ("unhealthy_threshold", "unhealthy")] {
        if let Some(times) = number(&check, key, 1000) {
            health.insert(ours, value(times));
        }
    }
    table.insert("health", value(health.into_inline_table()));
}
