//! From a component's section to a loaded guest with its grants and limits.

use super::binding::Bindings;
use super::code::Found;
use super::{Host, Loaded, Open, Purpose};
use crate::capabilities::{Opened, PLUGINS};
use crate::program::Program;
use base::egress::Egress;
use base::{Bound, Error, Result};
use config::host::Config;
use deployment::Component;
use engine::{
    Capability as _, Grants, Guest, Limits, Output, Serving, Setup, Source, WasiSetup, Wasm,
};
use http::client::{self, Client, Network};
use http::hooks::Hooks;
use http::host::Http;
use http::incoming::{Handler, Reuse};
use keyvalue::host::KeyValue;
use keyvalue::host::cache::{self, Caches};
use messaging::host::{self as mail, Messaging};
use std::collections::BTreeMap;
use std::sync::Arc;
use telemetry::host::Logging;
use telemetry::{Filter, GuestOutput, Logger, Stream};

/// Makes a guest of a component's code, or takes what an earlier file made of the same section,
/// bytes and bindings.
pub(super) fn load(
    component: &Component,
    found: Found,
    bindings: &Bindings,
    host: Host<'_>,
) -> Result<Loaded> {
    let Found { bytes, source, code } = found;
    let used: Vec<_> = bindings.open.iter().map(|open| Arc::clone(&open.of)).collect();
    if let Some(same) = host.earlier.and_then(|earlier| earlier.guests.get(&component.name))
        && same.of == *component
        && same.bytes == bytes
        && same.bindings.len() == used.len()
        && same.bindings.iter().zip(&used).all(|(one, other)| Arc::ptr_eq(one, other))
    {
        return Ok(same.clone());
    }
    let limits = limits(component);
    let logger = logger(&component.name, &limits, host.filter);
    let setup = Setup {
        name: component.name.as_str().into(),
        grants: grants(component, bindings, &logger, &limits, host.program),
        wasi: wasi(component, &logger, host.purpose),
        winch: component.engine == deployment::Engine::Winch,
        limits,
        source,
    };
    let guest = Guest::link(setup, code, PLUGINS)?;
    let deployment::Reuse { requests, concurrent } = component.reuse;
    let handler =
        Handler::new(Arc::clone(&guest), Reuse { requests, concurrent }).map_err(|error| {
            Error::invalid(format!("component `{}`: its HTTP handler: {error:#}", component.name))
        })?;
    let handler = handler.map(Arc::new);
    Ok(Loaded { guest, handler, of: component.clone(), bytes, bindings: used })
}

/// A core module given where a component is meant.
pub(crate) fn reject(source: &Source) -> Result<()> {
    let what = source.wasm.describe();
    let error =
        || Error::invalid(format!("`{}` is {what}, not a component", source.path.display()));
    match source.wasm {
        Wasm::Component { .. } => Ok(()),
        Wasm::Preview1 => Err(error().with_hint(
            "`wharf run` runs it; to serve HTTP, build a component: \
             `cargo build --target wasm32-wasip2`",
        )),
        Wasm::Filter => Err(error().with_hint("a filter stands before a route, not behind")),
        Wasm::Module => {
            Err(error().with_hint("build a component: `cargo build --target wasm32-wasip2`"))
        }
    }
}

fn logger(name: &str, limits: &Limits, filter: &Filter) -> Logger {
    let bounds = telemetry::Limits {
        rate: limits.log_rate,
        burst: limits.log_rate.saturating_mul(2),
        ..telemetry::Limits::default()
    };
    Logger::new(name, filter.guest(name), bounds)
}

fn grants(
    component: &Component,
    bindings: &Bindings,
    logger: &Logger,
    limits: &Limits,
    program: &Program,
) -> Grants {
    let (mut stores, mut caches, mut brokers) = (Vec::new(), Vec::new(), Vec::new());
    let mut sources = BTreeMap::new();
    for Open { of, opened } in &bindings.open {
        match opened {
            Opened::KeyValue(store) => stores.push((of.name.clone(), Arc::clone(store))),
            Opened::Cache(cache) => caches.push((of.name.clone(), Arc::clone(cache))),
            Opened::Messaging(broker) => brokers.push((of.name.clone(), Arc::clone(broker))),
            Opened::Config(source) => drop(sources.insert(of.name.as_str(), source)),
        }
    }
    let mut grants = Grants::default();
    let granted = component.granted(KeyValue::NAME);
    let absent = bindings.absent(KeyValue::NAME);
    grants.grant::<KeyValue>(Arc::new(bound(stores, absent, granted)));
    let granted = component.granted(Caches::NAME);
    let absent = bindings.absent(Caches::NAME);
    // Where it names none, it uses the first of those that it may.
    let (caches, first) = (bound(caches, absent, granted), granted.first().cloned());
    grants.grant::<Caches>(Arc::new(cache::Granted::new(caches, first, program.tasks().clone())));
    let granted = component.granted(Messaging::NAME);
    let absent = bindings.absent(Messaging::NAME);
    let (brokers, first) = (bound(brokers, absent, granted), granted.first().cloned());
    grants.grant::<Messaging>(Arc::new(mail::Granted::new(brokers, first)));
    let from = component.granted(Config::NAME).iter();
    let from = from.filter_map(|name| Some(Arc::clone(sources.get(name.as_str())?))).collect();
    let inline = component.config.iter().map(|(key, text)| (key.clone(), text.reveal().to_owned()));
    grants.grant::<Config>(Arc::new(config::Layers::new(inline.collect(), from)));
    grants.grant::<Logging>(Arc::new(logger.clone()));
    let egress = Egress::new(component.egress.iter().cloned());
    grants.grant::<Http>(Arc::new(hooks(program.network(), egress, limits)));
    grants
}

/// What a component sees of all that is bound: what was granted, and the names of the rest.
fn bound<'a, C: ?Sized>(
    all: Vec<(String, Arc<C>)>,
    absent: impl Iterator<Item = &'a String>,
    granted: &[String],
) -> Bound<C> {
    let (open, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(name, _)| granted.contains(name));
    let (absent, denied): (Vec<_>, Vec<_>) =
        absent.cloned().partition(|name| granted.contains(name));
    let others = others.into_iter().map(|(name, _)| name).chain(denied);
    Bound::new(open, others).with_absent(absent)
}

fn wasi(component: &Component, logger: &Logger, purpose: Purpose) -> WasiSetup {
    let reveal =
        |(name, text): (&String, &deployment::Text)| (name.clone(), text.reveal().to_owned());
    let args = component.args.iter().map(|text| text.reveal().to_owned());
    let output = |stream| {
        let logger = logger.clone();
        Output::To(Arc::new(move |serving: Serving| {
            let request = move || serving.request().id;
            Box::new(GuestOutput::new(logger.clone(), stream, request))
        }))
    };
    WasiSetup {
        environment: component.environment.iter().map(reveal).collect(),
        arguments: std::iter::once(component.name.clone()).chain(args).collect(),
        dirs: component.files.iter().map(dir).collect(),
        egress: Egress::new(component.egress.iter().cloned()),
        stdin: purpose == Purpose::Run,
        stdout: if purpose == Purpose::Run { Output::Inherit } else { output(Stream::Stdout) },
        stderr: if purpose == Purpose::Run { Output::Inherit } else { output(Stream::Stderr) },
    }
}

fn dir(files: &deployment::Files) -> engine::Dir {
    engine::Dir { host: files.host.clone(), guest: files.guest.clone(), writable: files.write }
}

/// The engine's limits, where the file says nothing else.
pub(crate) fn limits(component: &Component) -> Limits {
    let (mut limits, set) = (Limits::default(), &component.limits);
    macro_rules! take {
        ($($field:ident)*) => {$(
            if let Some(value) = set.$field {
                limits.$field = value;
            }
        )*};
    }
    take! {
        memory tables table_elements instances stack handles hostcall_buffer hostcalls
        hostcall_timeout request_timeout concurrency queue queue_timeout request_body
        response_body header_size log_rate outbound
    }
    limits
}

/// HTTP out, under the component's own rules and limits.
fn hooks(network: &Arc<Network>, egress: Egress, limits: &Limits) -> Hooks {
    let settings = client::Settings {
        requests: limits.outbound,
        request_headers: limits.header_size,
        response_headers: limits.header_size,
        ..client::Settings::default()
    };
    Hooks::new(Client::new(Arc::clone(network), egress, settings))
}
