//! Virtual hosts and routes: `[[http.route]]`.

use super::cluster::{Cluster, Clusters};
use super::data::text;
use super::listener::{is_name, number, time};
use super::node::{Node, Object};
use super::own::Own;
use super::plugin::Filter;
use super::redirect::{self, Redirect};
use std::fmt;
use toml_edit::{Array, InlineTable, Table, Value, value};

/// How long Envoy waits for an answer that is not told anything else.
const TIMEOUT: &str = "15s";

/// One route.
#[derive(Clone)]
pub(crate) struct Route {
    host: Option<String>,
    path: String,
    /// Whether Envoy asks for this very path.
    exact: bool,
    target: Target,
    mirror: Option<(String, i64)>,
    /// What filters are to it alone.
    pub(crate) own: Own,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq)]
enum Target {
    Upstream(String),
    /// The answer itself: its status and its body.
    Respond(i64, String),
    Redirect(Redirect),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) => f.write_str(name),
            Self::Respond(status, _) => write!(f, "status {status}"),
            Self::Redirect(to) => f.write_str(&to.location),
        }
    }
}

impl Route {
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        if let Some(host) = &self.host {
            table.insert("host", value(host));
        }
        table.insert("path", super::listener::plain(&self.path));
        match &self.target {
            Target::Upstream(name) => table.insert("upstream", value(name)),
            Target::Respond(status, body) => {
                let mut respond = InlineTable::new();
                respond.insert("status", (*status).into());
                if !body.is_empty() {
                    respond.insert("body", text(body));
                }
                table.insert("respond", value(respond))
            }
            Target::Redirect(Redirect { status, location }) => {
                let mut headers = InlineTable::new();
                headers.insert("location", text(location));
                let mut respond = InlineTable::new();
                respond.insert("status", (*status).into());
                respond.insert("headers", headers.into());
                table.insert("respond", value(respond))
            }
        };
        if let Some((upstream, percent)) = &self.mirror {
            table.insert("mirror", value(upstream));
            if *percent != 100 {
                table.insert("mirror-percent", value(*percent));
            }
        }
        table
    }
}

/// Reads a `RouteConfiguration`.
pub(crate) fn read<'a>(
    config: &Object<'a>,
    clusters: &Clusters<'a>,
    filters: &[Filter],
) -> Vec<Route> {
    config.skip(&["name", "validate_clusters", "ignore_port_in_host_matching"]);
    let (mut routes, mut named, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for node in config.items("virtual_hosts") {
        let Some(host) = node.object() else { continue };
        host.skip(&["name"]);
        let wider = Own::read(&host, filters);
        let hosts: Vec<_> = host.items("domains").iter().filter_map(domain).collect();
        for node in host.items("routes") {
            let found = node.object().and_then(|route| {
                let own = Own::read(&route, filters).within(&wider);
                Some(Route { own, ..one(&route, clusters)? })
            });
            let Some(found) = found else {
                without.extend(hosts.iter().map(|host| (host.clone(), node.clone())));
                continue;
            };
            for host in &hosts {
                add(&mut routes, Route { host: host.clone(), ..found.clone() }, &node);
            }
        }
        named.extend(hosts.into_iter().flatten().map(|host| (host, node.clone())));
    }
    for (host, node) in without {
        if let Some(instead) = instead(&routes, host.as_deref(), &node) {
            node.changed(&format!("what it was for goes to `{instead}` now, as others do"));
        }
    }
    for (host, node) in named {
        if falls_through(&routes, &host) {
            node.changed(&format!(
                "`{host}`: what none of these routes is for goes to those of wider hosts"
            ));
        }
    }
    routes
}

/// Who gets what a route was for that is not there.
fn instead<'a>(routes: &'a [Route], host: Option<&str>, node: &Node<'_>) -> Option<&'a Target> {
    let matching = node.value().get("match")?;
    let path = ["prefix", "path", "path_separated_prefix", "pathSeparatedPrefix"];
    let path = path.iter().find_map(|key| matching.get(key)?.as_str());
    // Of an expression nobody knows which paths it is for; `/` is for all of them.
    let path = path.unwrap_or("/");
    let candidates = routes.iter().filter(|route| {
        (route.host.is_none() || route.host.as_deref() == host) && path.starts_with(&route.path)
    });
    let best = candidates.max_by_key(|route| (route.host.is_some(), route.path.len()))?;
    Some(&best.target)
}

/// Whether a host that has routes may be answered by those of others too.
fn falls_through(routes: &[Route], host: &str) -> bool {
    let own = |route: &Route| route.host.as_deref() == Some(host);
    let wider = |route: &Route| match route.host.as_deref() {
        None => true,
        Some(wide) if wide == host => false,
        Some(wide) => wide.strip_prefix('*').is_some_and(|below| host.ends_with(below)),
    };
    !routes.iter().any(|route| own(route) && route.path == "/") && routes.iter().any(wider)
}

/// Adds a route to those before it: here the longest path is asked, and there the first that fits.
fn add(routes: &mut Vec<Route>, new: Route, node: &Node<'_>) {
    let covers = |route: &&Route| {
        let rest = new.path.strip_prefix(&route.path);
        let below =
            |rest: &str| rest.is_empty() || route.path.ends_with('/') || rest.starts_with('/');
        route.host == new.host && !route.exact && rest.is_some_and(below)
    };
    if let Some(first) = routes.iter().find(covers) {
        // The same again is what two domains that differ in their port make.
        let is_same = first.target == new.target && first.own.is_like(&new.own);
        if first.path != new.path || !is_same {
            node.left(&format!(
                "it is never reached: the route for `{}` stands before",
                first.path
            ));
        }
        return;
    }
    let same = |route: &&mut Route| route.host == new.host && route.path == new.path;
    match routes.iter_mut().find(same) {
        Some(first) if new.exact => *first = new,
        Some(first) if first.target == new.target && first.own.is_like(&new.own) => *first = new,
        Some(first) => {
            let (path, target) = (&new.path, &first.target);
            node.changed(&format!(
                "it answers `{path}` too, which led to `{target}`: there is one route for it"
            ));
            *first = new;
        }
        None => routes.push(new),
    }
}

/// A host as routes have it. `None`: there is no such, which was noted.
fn domain(node: &Node<'_>) -> Option<Option<String>> {
    let domain = node.text()?;
    if domain == "*" {
        return Some(None);
    }
    let (name, port) = match domain.rsplit_once(':') {
        Some((name, port)) if port == "*" || port.parse::<u16>().is_ok() => (name, Some(port)),
        _ => (domain, None),
    };
    if !is_name(name.strip_prefix("*.").unwrap_or(name)) {
        node.left(&format!("`{domain}`: a host is a name, or `*.` and a name"));
        return None;
    }
    if port.is_some_and(|port| !matches!(port, "*" | "80" | "443")) {
        node.changed(&format!("`{domain}`: the port of a host is not looked at"));
    }
    Some(Some(name.to_ascii_lowercase()))
}

fn one<'a>(route: &Object<'a>, clusters: &Clusters<'a>) -> Option<Route> {
    route.skip(&["name", "metadata", "stat_prefix"]);
    let (path, exact, differs) = path(route)?;
    if let Some(direct) = route.object("direct_response") {
        let target = respond(&direct)?;
        differs.iter().for_each(|(node, how)| node.changed(how));
        return Some(Route { host: None, path, exact, target, mirror: None, own: Own::default() });
    }
    let Some(action) = route.object("route") else {
        if let Some(action) = route.object("redirect") {
            return redirected(route, &action, path, exact, &differs);
        }
        for kind in ["filter_action", "non_forwarding_action"] {
            route.take(kind);
        }
        route.leave("a route leads to an upstream or a component, or is an answer");
        return None;
    };
    let Some(cluster) = target(route, &action, clusters) else {
        action.hush();
        return None;
    };
    let upstream = cluster.name.clone()?;
    differs.iter().for_each(|(node, how)| node.changed(how));
    let limit = match action.has("timeout") {
        true => time(&action, "timeout"),
        false => Some(TIMEOUT.to_owned()),
    };
    cluster.wish("request-timeout", action.node().clone(), limit.map(Value::from));
    let retries = action.object("retry_policy");
    let at = retries.as_ref().map_or(action.node(), Object::node).clone();
    cluster.wish("retries", at, retries.and_then(|policy| retry(&policy)));
    let host = action.take("host_rewrite_literal");
    let at = host.as_ref().unwrap_or(action.node()).clone();
    let host = host.and_then(|node| {
        let host = node.text()?;
        if !is_name(host) {
            node.left("a host is a name here");
        }
        is_name(host).then(|| text(host))
    });
    cluster.wish("host", at, host);
    for node in action.items("hash_policy") {
        if let Some(on) = node.object().and_then(|policy| hash(&policy)) {
            cluster.wish("hash-on", node, Some(on));
        }
    }
    for upgrade in action.items("upgrade_configs") {
        if upgrade.value().get("upgrade_type").and_then(|it| it.as_str()) != Some("websocket") {
            upgrade.left("no equivalent");
        }
    }
    if let Some(rewrite) = action.take("prefix_rewrite").filter(|it| it.value() != path.as_str()) {
        rewrite.left("the path reaches the upstream as it is");
    }
    let mirror = mirror(&action, clusters);
    Some(Route {
        host: None,
        path,
        exact,
        target: Target::Upstream(upstream),
        mirror,
        own: Own::default(),
    })
}

/// A route that redirects, if it does so to one address.
fn redirected(
    route: &Object<'_>,
    action: &Object<'_>,
    path: String,
    exact: bool,
    differs: &Differs<'_>,
) -> Option<Route> {
    match redirect::read(action, &path, exact) {
        Ok(to) => {
            differs.iter().for_each(|(node, how)| node.changed(how));
            Some(Route {
                host: None,
                path,
                exact,
                target: Target::Redirect(to),
                mirror: None,
                own: Own::default(),
            })
        }
        Err(why) => {
            action.hush();
            route.leave(&why);
            None
        }
    }
}

/// A `DirectResponseAction`.
fn respond(direct: &Object<'_>) -> Option<Target> {
    let status = direct.number("status").and_then(|status| i64::try_from(status).ok());
    let Some(status) = status.filter(|status| (200..=599).contains(status)) else {
        direct.leave("an answer has a status from 200 to 599");
        return None;
    };
    let body = direct.object("body").and_then(|body| body.text("inline_string"));
    Some(Target::Respond(status, body.unwrap_or_default().to_owned()))
}

/// What is not the same here, and where it stands.
type Differs<'a> = Vec<(Node<'a>, String)>;

/// The path of a route, whether it is meant to the letter, and what is not the same here.
fn path<'a>(route: &Object<'a>) -> Option<(String, bool, Differs<'a>)> {
    let Some(matching) = route.object("match") else {
        route.leave("it does not say what it is for");
        return None;
    };
    let leave = |why: &str| {
        matching.hush();
        route.node().left(why);
        route.hush();
    };
    let sensitive = matching.take("case_sensitive");
    let found = ["prefix", "path", "path_separated_prefix"]
        .iter()
        .find_map(|key| Some((*key, matching.take(key)?)));
    let Some((kind, node)) = found else {
        leave("a route is chosen by the host and the beginning of the path");
        return None;
    };
    if let Some((key, _)) = matching.rest().first() {
        leave(&format!("a route is chosen by the host and the path, and not by `{key}`"));
        return None;
    }
    let path = node.text()?;
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '*');
    let dots = path.split('/').any(|part| matches!(part, "." | ".."));
    if !path.starts_with('/') || path.contains(bad) || dots {
        leave(&format!("`{path}` is no path of a route here"));
        return None;
    }
    let mut differs = Vec::new();
    if let Some(node) = sensitive.filter(|node| node.truth() == Some(false)) {
        differs.push((node, "paths differ by case".to_owned()));
    }
    match kind {
        "prefix" if !path.ends_with('/') => {
            let how = format!("`{path}` and what is below it; `{path}x` is not meant here");
            differs.push((node.clone(), how));
        }
        "path" => differs.push((node.clone(), format!("`{path}` and what is below it"))),
        _ => {}
    }
    Some((path.to_owned(), kind == "path", differs))
}

/// The cluster of a route that leads to one.
fn target<'c, 'a>(
    route: &Object<'a>,
    action: &Object<'a>,
    clusters: &'c Clusters<'a>,
) -> Option<&'c Cluster<'a>> {
    let name = if let Some(name) = action.text("cluster") {
        name
    } else if let Some(weighted) = action.object("weighted_clusters") {
        weighted.hush();
        let entries = weighted.items("clusters");
        let weight = |node: &&Node<'_>| node.value().get("weight").and_then(|it| it.as_u64());
        let mut heavy = entries.iter().filter(|node| weight(node) != Some(0));
        match (heavy.next().and_then(|node| node.value().get("name")?.as_str()), heavy.next()) {
            (Some(name), None) => name,
            _ => {
                route.leave("a route leads to one upstream; `mirror` of a route sends copies");
                return None;
            }
        }
    } else {
        route.leave("it names no cluster");
        return None;
    };
    let cluster = clusters.find(name);
    if cluster.is_none() {
        route.leave(&format!("cluster `{name}` was not carried over"));
    }
    cluster
}

/// `retries` of an upstream.
fn retry(policy: &Object<'_>) -> Option<Value> {
    let mut retries = InlineTable::new();
    let on = policy.take("retry_on")?;
    let mut statuses = Array::new();
    for word in on.text()?.split(',').map(str::trim) {
        match word {
            "5xx" | "gateway-error" => statuses = [502, 503, 504].into_iter().collect(),
            "retriable-status-codes" => {}
            // Always tried again.
            "connect-failure" | "refused-stream" | "reset-before-request" => {}
            word => on.left(&format!("`{word}`: no equivalent")),
        }
    }
    for node in policy.items("retriable_status_codes") {
        match node.number().and_then(|status| i64::try_from(status).ok()) {
            Some(status @ 502..=504) if statuses.len() < 3 => statuses.push(status),
            Some(502..=504) => {}
            _ => node.left("only 502, 503 and 504 are tried again"),
        }
    }
    let attempts = number(policy, "num_retries", 10).unwrap_or(1);
    retries.insert("attempts", attempts.into());
    if !statuses.is_empty() {
        retries.insert("statuses", statuses.into());
    }
    if let Some(wait) = policy.object("retry_back_off") {
        for (key, ours) in [("base_interval", "backoff"), ("max_interval", "max-backoff")] {
            if let Some(time) = time(&wait, key) {
                retries.insert(ours, time.into());
            }
        }
    }
    Some(retries.into())
}

/// `hash-on` of an upstream.
fn hash(policy: &Object<'_>) -> Option<Value> {
    if let Some(header) = policy.object("header") {
        let name = header.text("header_name")?;
        let good = |c: char| c.is_ascii_alphanumeric() || "!#%&'*+-.^_`|~".contains(c);
        return name.chars().all(good).then(|| text(&format!("header:{name}")));
    }
    let properties = policy.object("connection_properties")?;
    (properties.truth("source_ip") == Some(true)).then(|| "source".into())
}

/// Where copies go, and how many of a hundred.
fn mirror<'a>(action: &Object<'a>, clusters: &Clusters<'a>) -> Option<(String, i64)> {
    let mut policies = action.items("request_mirror_policies").into_iter();
    let first = policies.next()?;
    for more in policies {
        more.left("copies go to one upstream");
    }
    let policy = first.object()?;
    let name = policy.text("cluster")?;
    let Some(upstream) = clusters.find(name).and_then(|cluster| cluster.name.clone()) else {
        policy.leave(&format!("cluster `{name}` was not carried over"));
        return None;
    };
    let fraction = policy.object("runtime_fraction").and_then(|fraction| {
        fraction.skip(&["runtime_key"]);
        fraction.object("default_value")
    });
    let Some(fraction) = fraction else { return Some((upstream, 100)) };
    let numerator = fraction.number("numerator").unwrap_or(0);
    let per_hundred = match fraction.text("denominator") {
        None | Some("HUNDRED") => Some(numerator),
        Some("TEN_THOUSAND") if numerator.is_multiple_of(100) => Some(numerator / 100),
        Some("MILLION") if numerator.is_multiple_of(10_000) => Some(numerator / 10_000),
        Some(_) => None,
    };
    let percent = per_hundred.and_then(|percent| i64::try_from(percent.min(100)).ok());
    if percent.is_none() {
        fraction.leave("copies are so many of a hundred");
    }
    Some((upstream, percent?))
}
