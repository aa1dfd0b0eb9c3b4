//! `wharf check`: everything that `serve` would find wrong, and what it would serve.

use crate::app::{App, Host, Open, Purpose, limits};
use crate::args::{CheckArgs, Format, Granted};
use crate::capabilities::Opened;
use crate::console;
use crate::exit::Failure;
use crate::inspect::name_json;
use crate::program::{self, Program};
use crate::serve::{plan, warn};
use base::units::{Size, show_duration};
use deployment::{Binding, FilterUse, Http, Route, Target, Tcp};
use engine::{Capability as _, How, Limits, Use};
use keyvalue::host::KeyValue;
use keyvalue::host::cache::Caches;
use messaging::host::Messaging;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// Opens everything, serves nothing, and says what there is.
pub(crate) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let checked = open(args);
    if let (Format::Json, Err(failure)) = (args.format, &checked) {
        console::give(&format!("{:#}", json!({ "mistakes": failure.mistakes() })));
    }
    checked
}

fn open(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let granted = Granted { env: Vec::new(), dir: Vec::new(), wasi: Vec::new() };
    let plan = plan(&args.deployment, &[], &granted)?;
    let (filter, _telemetry) = program::start_log(&args.common, &plan.app.log)?;
    warn(&plan);
    let program = Program::new(&args.common)?;
    program::runtime()?.block_on(async {
        let host =
            Host { program: &program, filter: &filter, purpose: Purpose::Serve, earlier: None };
        let (app, triggers) = App::open(plan, host).await?;
        let triggers = triggers.len();
        let text = match args.format {
            Format::Json => format!("{:#}", json(&app, triggers)),
            Format::Text => text(&app, triggers),
        };
        console::give(&text);
        Ok(ExitCode::SUCCESS)
    })
}

/// Each limit's key in the file and its value.
fn rows(limits: &Limits) -> Vec<(&'static str, String)> {
    let size = |bytes: u64| Size(bytes).to_string();
    let count = |count: usize| count.to_string();
    let bytes = |bytes: usize| Size(bytes as u64).to_string();
    let time = |time: Duration| show_duration(time);
    vec![
        ("memory", size(limits.memory)),
        ("tables", count(limits.tables)),
        ("table-elements", count(limits.table_elements)),
        ("instances", count(limits.instances)),
        ("stack", bytes(limits.stack)),
        ("handles", count(limits.handles)),
        ("hostcall-buffer", bytes(limits.hostcall_buffer)),
        ("hostcalls", count(limits.hostcalls)),
        ("hostcall-timeout", time(limits.hostcall_timeout)),
        ("request-timeout", time(limits.request_timeout)),
        ("concurrency", count(limits.concurrency)),
        ("queue", count(limits.queue)),
        ("queue-timeout", time(limits.queue_timeout)),
        ("request-body", size(limits.request_body)),
        ("response-body", size(limits.response_body)),
        ("header-size", bytes(limits.header_size)),
        ("log-rate", limits.log_rate.to_string()),
        ("outbound", count(limits.outbound)),
    ]
}

fn offer(open: &Open) -> Vec<(String, String)> {
    match &open.opened {
        Opened::KeyValue(store) => {
            store.offer().rows().into_iter().map(|(word, level)| (word.to_owned(), level)).collect()
        }
        Opened::Cache(cache) => {
            cache.offer().rows().into_iter().map(|(word, level)| (word.to_owned(), level)).collect()
        }
        Opened::Messaging(broker) => broker
            .offer()
            .rows()
            .into_iter()
            .map(|(word, level)| (word.to_owned(), level))
            .collect(),
        Opened::Config(_) => Vec::new(),
    }
}

/// How each binding that a component may open does what the component calls.
fn portability<'a>(
    app: &'a App,
    component: &'a deployment::Component,
) -> impl Iterator<Item = (&'a Binding<()>, Vec<Use>)> + 'a {
    let imports = app.guests.get(&component.name).map(|loaded| loaded.guest.imports());
    app.bindings.iter().filter_map(move |open| {
        let of = &*open.of;
        if !component.granted(of.capability).contains(&of.name) {
            return None;
        }
        let uses = match &open.opened {
            Opened::KeyValue(store) => keyvalue::host::uses(imports?, store.offer()),
            Opened::Cache(cache) => keyvalue::host::cache::uses(imports?, cache.offer()),
            Opened::Messaging(broker) => messaging::host::uses(imports?, broker.offer()),
            Opened::Config(_) => return None,
        };
        Some((of, uses))
    })
}

fn text(app: &App, triggers: usize) -> String {
    let mut lines = vec![format!("app {}: right", app.plan.name)];
    for component in &app.plan.components {
        let Some(loaded) = app.guests.get(&component.name) else { continue };
        lines.push(format!("component {} ({})", component.name, component.source.display()));
        for import in loaded.guest.imports().iter().filter(|import| import.asks()) {
            lines.push(format!("  imports {}", import.name));
        }
        for export in loaded.guest.exports() {
            lines.push(format!("  exports {}", export.name));
        }
        for (Binding { capability, name, .. }, uses) in portability(app, component) {
            let native: Vec<_> = uses.iter().filter(|it| it.how == How::Native).collect();
            if !native.is_empty() {
                let native: Vec<_> = native.iter().map(|it| it.function.as_str()).collect();
                lines.push(format!("  {capability} {name} native: {}", native.join(", ")));
            }
            for Use { function, how } in uses.iter().filter(|it| it.how != How::Native) {
                lines.push(format!("  {capability} {name} {function}: {how}"));
            }
        }
        for rule in &component.egress {
            lines.push(format!("  egress  {rule}"));
        }
        for (limit, value) in rows(&limits(component)) {
            lines.push(format!("  limit   {limit} = {value}"));
        }
    }
    for open in &app.bindings {
        let of = &open.of;
        lines.push(format!("{} binding {} = {} ({})", of.capability, of.name, of.url, of.backend));
        lines.extend(offer(open).iter().map(|(word, level)| format!("  offers  {word} = {level}")));
    }
    for upstream in &app.plan.upstreams {
        let endpoints: Vec<_> = upstream.endpoints.iter().map(ToString::to_string).collect();
        let (name, balance) = (&upstream.name, &upstream.balance);
        lines.push(format!("upstream {name} = {balance} of {}", endpoints.join(", ")));
    }
    for (name, made) in &app.filters {
        lines.push(format!("filter {name} of Proxy-Wasm {}", made.abi()));
    }
    for (http, route) in routes(app) {
        let host = route.host.as_deref().unwrap_or("*");
        let to = way(filters(http, route), &leads_to(&route.target));
        lines.push(format!("route {host}{} -> {to}", route.path));
    }
    for tcp in &app.plan.tcp {
        let scheme = if tcp.tls.is_some() { "tls" } else { "tcp" };
        let to = way(names(&tcp.filters), &format!("upstream {}", tcp.upstream));
        let (name, listen) = (&tcp.name, listen(tcp).join(", "));
        lines.push(format!("{scheme} {name} on {listen} -> {to}"));
    }
    if triggers > 0 {
        lines.push(format!("{triggers} timers, watches and subscriptions"));
    }
    lines.join("\n")
}

/// Every route of the server that has it.
fn routes(app: &App) -> impl Iterator<Item = (&Http, &Route)> {
    let http = app.plan.http.iter();
    http.flat_map(|http| http.routes.iter().map(move |route| (http, route)))
}

/// The names of the filters before a route, in their order.
fn filters<'a>(http: &'a Http, route: &'a Route) -> Vec<&'a str> {
    names(http.filters.iter().chain(&route.filters))
}

/// The names of filters, in their order.
fn names<'a>(uses: impl IntoIterator<Item = &'a FilterUse>) -> Vec<&'a str> {
    uses.into_iter().map(|it| it.name.as_str()).collect()
}

/// Through these filters to a target.
fn way(filters: Vec<&str>, target: &str) -> String {
    filters.into_iter().chain([target]).collect::<Vec<_>>().join(" -> ")
}

/// Its addresses.
fn listen(tcp: &Tcp) -> Vec<String> {
    tcp.listen.iter().map(|listen| listen.address.to_string()).collect()
}

/// Who answers, and who gets copies.
fn leads_to(target: &Target) -> String {
    match target {
        Target::Component(name) => name.clone(),
        Target::Upstream { name, mirror: None, .. } => format!("upstream {name}"),
        Target::Upstream { name, mirror: Some(mirror), percent } => {
            format!("upstream {name}, {percent}% copied to {mirror}")
        }
        Target::Respond(respond) => format!("status {}", respond.status),
    }
}

fn tcp_json(tcp: &Tcp) -> Value {
    json!({
        "name": tcp.name,
        "listen": listen(tcp),
        "tls": tcp.tls.is_some(),
        "filters": names(&tcp.filters),
        "leads-to": format!("upstream {}", tcp.upstream),
    })
}

fn json(app: &App, triggers: usize) -> Value {
    let components = app.plan.components.iter().filter_map(|component| {
        let guest = &app.guests.get(&component.name)?.guest;
        let imports = guest.imports().iter().filter(|import| import.asks());
        let imports = imports.map(|import| {
            let mut json = name_json(&import.name);
            json.insert("functions".to_owned(), json!(import.functions));
            json
        });
        let mut bindings: BTreeMap<&str, BTreeMap<&String, BTreeMap<String, String>>> =
            [KeyValue::NAME, Caches::NAME, Messaging::NAME].map(|of| (of, BTreeMap::new())).into();
        for (of, uses) in portability(app, component) {
            let functions = uses.into_iter().map(|used| (used.function, used.how.to_string()));
            bindings.entry(of.capability).or_default().insert(&of.name, functions.collect());
        }
        Some(json!({
            "name": component.name,
            "keyvalue": bindings.get(KeyValue::NAME),
            "cache": bindings.get(Caches::NAME),
            "messaging": bindings.get(Messaging::NAME),
            "source": component.source,
            "imports": imports.collect::<Vec<_>>(),
            "exports": guest.exports().into_iter().map(|export| export.name).collect::<Vec<_>>(),
            "egress": component.egress.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "limits": rows(&limits(component)).into_iter().collect::<BTreeMap<_, _>>(),
        }))
    });
    let bindings = app.bindings.iter().map(|open| {
        json!({
            "capability": open.of.capability,
            "name": open.of.name,
            "backend": open.of.backend,
            "url": open.of.url,
            "offer": offer(open).into_iter().collect::<BTreeMap<_, _>>(),
        })
    });
    let upstreams = app.plan.upstreams.iter().map(|upstream| {
        json!({
            "name": upstream.name,
            "balance": upstream.balance.to_string(),
            "endpoints": upstream.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    let all = app.filters.iter();
    let all = all.map(|(name, made)| json!({ "name": name, "abi": made.abi() }));
    let routes = routes(app).map(|(http, route)| {
        json!({
            "host": route.host,
            "path": route.path,
            "filters": filters(http, route),
            "leads-to": leads_to(&route.target),
        })
    });
    json!({
        "app": app.plan.name,
        "components": components.collect::<Vec<_>>(),
        "bindings": bindings.collect::<Vec<_>>(),
        "upstreams": upstreams.collect::<Vec<_>>(),
        "filters": all.collect::<Vec<_>>(),
        "routes": routes.collect::<Vec<_>>(),
        "tcp": app.plan.tcp.iter().map(tcp_json).collect::<Vec<_>>(),
        "triggers": triggers,
    })
}
