//! From a plan to what runs: open bindings, loaded guests, routes.

use crate::capabilities::{self, Opened, ToOpen};
use crate::exit::Failure;
use crate::program::Program;
use base::egress::Egress;
use base::{Bound, Error, Mistake, Place, Result};
use config::host::Config;
use deployment::{At, Binding, Component, Plan};
use engine::{Grants, Guest, Limits, Output, Setup, Source, WasiSetup, Wasm};
use gateway::{Route, Routes, Target};
use http::client::{self, Client, Network};
use http::hooks::Hooks;
use http::host::Http;
use http::incoming::{Handler, Reuse};
use keyvalue::Levels;
use keyvalue::host::KeyValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use telemetry::host::Logging;
use telemetry::{Filter, GuestOutput, Logger, Stream};

/// Everything that a plan made.
pub(crate) struct App {
    pub(crate) plan: deployment::App,
    pub(crate) bindings: Vec<Open>,
    pub(crate) guests: BTreeMap<String, Loaded>,
    pub(crate) routes: Vec<Route>,
}

/// One open binding, and what it was opened from.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) of: Arc<Binding<()>>,
    pub(crate) opened: Opened,
}

/// One loaded component, and what it was loaded from.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) guest: Arc<Guest>,
    pub(crate) handler: Option<Arc<Handler>>,
    of: Component,
    bytes: Arc<[u8]>,
    bindings: Vec<Arc<Binding<()>>>,
}

/// What the components are opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To answer and to be called; what they print goes to the log.
    Serve,
    /// To run once at the console, whose streams they have.
    Run,
}

/// Why a plan could not be acted on: mistakes under their lines, and what is away.
#[derive(Default)]
pub(crate) struct Problems {
    mistakes: Vec<(Option<At>, Mistake)>,
    away: Vec<Error>,
}

impl Problems {
    fn add(&mut self, at: Option<&At>, error: Error) {
        use base::Kind::{Invalid, NotFound, TooLarge, Unsupported};
        match error.kind() {
            Invalid | NotFound | TooLarge | Unsupported => {
                let mistake = Mistake::new(error.to_string());
                let mistake = match error.hint() {
                    Some(hint) => mistake.with_hint(hint),
                    None => mistake,
                };
                self.mistakes.push((at.cloned(), mistake));
            }
            _ => self.away.push(error),
        }
    }

    fn is_empty(&self) -> bool {
        self.mistakes.is_empty() && self.away.is_empty()
    }
}

impl App {
    /// Acts on a plan. What `earlier` has of the same settings is kept.
    ///
    /// # Errors
    /// Everything that is wrong at once; nothing of it runs then.
    pub(crate) async fn open(
        plan: Plan<ToOpen>,
        program: &Program,
        filter: &Filter,
        purpose: Purpose,
        earlier: Option<&Self>,
    ) -> Result<Self, Failure> {
        let mut problems = Problems::default();
        let Plan { app, bindings, .. } = &plan;
        let needed = needed(app, bindings);
        // Reports need the plan's text, so its bindings are taken out of it one by one.
        let (openings, report) = plan_parts(plan);
        let app = report.app.clone();
        let mut open = Vec::new();
        for (binding, needed) in openings.into_iter().zip(needed) {
            if needed {
                match open_binding(binding, &app, earlier).await {
                    Ok(opened) => open.push(opened),
                    Err((at, error)) => problems.add(at.as_ref(), error),
                }
            }
        }
        let mut guests = BTreeMap::new();
        if problems.is_empty() {
            for component in &app.components {
                match load(component, &open, program, filter, purpose, earlier) {
                    Ok(loaded) => drop(guests.insert(component.name.clone(), loaded)),
                    Err(error) => {
                        problems.add(component.source_at.as_ref().or(component.at.as_ref()), error)
                    }
                }
            }
        }
        let routes = routes(&app, &guests, &mut problems);
        if problems.is_empty() {
            return Ok(Self { plan: app, bindings: open, guests, routes });
        }
        if problems.mistakes.is_empty() {
            return Err(Failure::all(problems.away));
        }
        Err(report.report(problems.mistakes).into())
    }

    /// The routes, as the gateway takes them.
    pub(crate) fn routes(&self) -> Routes {
        Routes::new(self.routes.iter().cloned())
    }

    /// The key-value store behind a name.
    pub(crate) fn store(&self, name: &str) -> Option<&Arc<dyn keyvalue::Store>> {
        self.bindings.iter().find_map(|open| match &open.opened {
            Opened::KeyValue(store) if open.of.name == name => Some(store),
            _ => None,
        })
    }
}

/// Takes the bindings out of a plan, and leaves what reports need.
fn plan_parts(plan: Plan<ToOpen>) -> (Vec<Binding<ToOpen>>, Plan<ToOpen>) {
    let mut plan = plan;
    let bindings = std::mem::take(&mut plan.bindings);
    (bindings, plan)
}

/// Which bindings are opened: every one that the file names, and of the implicit ones those that
/// some component imports the interfaces of. What nobody asked for makes no file and takes no lock.
fn needed(app: &deployment::App, bindings: &[Binding<ToOpen>]) -> Vec<bool> {
    // A file that cannot be read has no imports, and is reported when it is loaded.
    let outline = |component: &Component| {
        Source::read(&component.source).map(|source| source.outline().imports).unwrap_or_default()
    };
    let imports: Vec<_> = app.components.iter().map(|one| (one, outline(one))).collect();
    let asked = |binding: &Binding<ToOpen>| {
        imports.iter().any(|(component, imports)| {
            component.granted(binding.capability).contains(&binding.name)
                && imports.iter().any(|import| capabilities::is_of(binding.capability, import))
        })
    };
    let watched =
        |binding: &Binding<ToOpen>| app.watches.iter().any(|watch| watch.binding == binding.name);
    let needed = |binding| asked(binding) || watched(binding);
    bindings.iter().map(|binding| binding.at.is_some() || needed(binding)).collect()
}

async fn open_binding(
    binding: Binding<ToOpen>,
    app: &deployment::App,
    earlier: Option<&App>,
) -> Result<Open, (Option<At>, Error)> {
    if let Some(earlier) = earlier
        && let Some(same) = earlier.bindings.iter().find(|open| binding.is_same(&open.of))
        && earlier.plan.data == app.data
        && earlier.plan.name == app.name
    {
        return Ok(same.clone());
    }
    let (opening, binding) = binding.split();
    let place = Place {
        base: binding.base.clone(),
        data: app.data.clone(),
        app: app.name.clone(),
        capability: binding.capability,
        binding: binding.name.clone(),
    };
    let context =
        format!("{} binding `{}` ({})", binding.capability, binding.name, binding.backend);
    let opened = opening.open(place).await.and_then(|opened| {
        refuse_gaps(&opened, &binding)?;
        Ok(opened)
    });
    match opened {
        Ok(opened) => Ok(Open { of: Arc::new(binding), opened }),
        Err(error) => Err((binding.at, error.context(context))),
    }
}

/// What the file requires of a binding, against what its backend offers.
fn refuse_gaps(opened: &Opened, binding: &Binding<()>) -> Result<()> {
    let Opened::KeyValue(store) = opened else { return Ok(()) };
    let (needs, lowest) = (&binding.needs, Levels::LOWEST);
    let gaps = store.offer().gaps(&Levels {
        durability: needs.durability.unwrap_or(lowest.durability),
        atomicity: needs.atomicity.unwrap_or(lowest.atomicity),
        ttl: needs.ttl.unwrap_or(lowest.ttl),
        list: needs.list.unwrap_or(lowest.list),
        watch: needs.watch.unwrap_or(lowest.watch),
        fence: needs.fence.unwrap_or(lowest.fence),
        consistency: needs.consistency.unwrap_or(lowest.consistency),
    });
    if gaps.is_empty() {
        return Ok(());
    }
    let gaps: Vec<String> = gaps.iter().map(ToString::to_string).collect();
    Err(Error::unsupported(format!("it lacks {}", gaps.join(", "))))
}

fn load(
    component: &Component,
    open: &[Open],
    program: &Program,
    filter: &Filter,
    purpose: Purpose,
    earlier: Option<&App>,
) -> Result<Loaded> {
    let source = Source::read(&component.source)?;
    let used: Vec<_> = open.iter().map(|open| Arc::clone(&open.of)).collect();
    if let Some(same) = earlier.and_then(|earlier| earlier.guests.get(&component.name))
        && same.of == *component
        && same.bytes == source.bytes
        && same.bindings.len() == used.len()
        && same.bindings.iter().zip(&used).all(|(one, other)| Arc::ptr_eq(one, other))
    {
        return Ok(same.clone());
    }
    let bytes = Arc::clone(&source.bytes);
    let source = match (source.wasm, purpose) {
        (Wasm::Preview1, Purpose::Run) => source.adapt()?,
        _ => source,
    };
    reject(&source)?;
    let limits = limits(component);
    let logger = logger(&component.name, &limits, filter);
    let setup = Setup {
        name: component.name.as_str().into(),
        grants: grants(component, open, &logger, &limits, program.network()),
        wasi: wasi(component, &logger, purpose),
        winch: component.engine == deployment::Engine::Winch,
        limits,
        source,
    };

    let guest = program.load(setup)?;
    if component.reuse.concurrent.is_some_and(|concurrent| concurrent > 1) {
        return Err(Error::unsupported(format!(
            "component `{}`: `reuse.concurrent` above 1 is not served",
            component.name
        ))
        .with_hint("`reuse.requests` lets one instance answer several requests in turn"));
    }
    let reuse = component.reuse.requests.map(|requests| Reuse { requests });
    let handler = Handler::new(Arc::clone(&guest), reuse).map_err(|error| {
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
    open: &[Open],
    logger: &Logger,
    limits: &Limits,
    network: &Arc<Network>,
) -> Grants {
    let granted = component.granted(<KeyValue as engine::Capability>::NAME);
    let (mut stores, mut others, mut sources) = (Vec::new(), Vec::new(), BTreeMap::new());
    for Open { of, opened } in open {
        match opened {
            Opened::KeyValue(store) if granted.contains(&of.name) => {
                stores.push((of.name.clone(), Arc::clone(store)));
            }
            Opened::KeyValue(_) => others.push(of.name.clone()),
            Opened::Config(source) => drop(sources.insert(of.name.as_str(), source)),
        }
    }
    let mut grants = Grants::default();
    grants.grant::<KeyValue>(Arc::new(Bound::new(stores, others)));
    let from = component.granted(<Config as engine::Capability>::NAME).iter();
    let from = from.filter_map(|name| Some(Arc::clone(sources.get(name.as_str())?))).collect();
    let inline = component.config.iter().map(|(key, text)| (key.clone(), text.reveal().to_owned()));
    grants.grant::<Config>(Arc::new(config::Layers::new(inline.collect(), from)));
    grants.grant::<Logging>(Arc::new(logger.clone()));
    let egress = Egress::new(component.egress.iter().cloned());
    grants.grant::<Http>(Arc::new(hooks(network, egress, limits)));
    grants
}

fn wasi(component: &Component, logger: &Logger, purpose: Purpose) -> WasiSetup {
    let reveal =
        |(name, text): (&String, &deployment::Text)| (name.clone(), text.reveal().to_owned());
    let args = component.args.iter().map(|text| text.reveal().to_owned());
    let output = |stream| {
        let logger = logger.clone();
        Output::To(Arc::new(move || Box::new(GuestOutput::new(logger.clone(), stream))))
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

fn routes(
    app: &deployment::App,
    guests: &BTreeMap<String, Loaded>,
    problems: &mut Problems,
) -> Vec<Route> {
    let mut routes = Vec::new();
    for route in app.http.iter().flat_map(|http| &http.routes) {
        let Some(loaded) = guests.get(&route.component) else { continue };
        let Some(handler) = &loaded.handler else {
            let error = Error::invalid(format!(
                "component `{}` answers no HTTP: it exports neither `wasi:http/incoming-handler` \
                 0.2 nor `wasi:http/handler` 0.3",
                route.component
            ));
            let error = error.with_hint(exports(&loaded.guest));
            let at =
                app.component(&route.component).and_then(|component| component.source_at.as_ref());
            problems.add(route.at.as_ref().or(at), error);
            continue;
        };
        routes.push(Route {
            host: route.host.clone(),
            path: route.path.clone(),
            target: Target::Component(Arc::clone(handler)),
        });
    }
    routes
}

/// What a component exports instead, and which verb fits it.
fn exports(guest: &Guest) -> String {
    let exports: Vec<String> = guest.exports().into_iter().map(|export| export.name).collect();
    match exports.iter().any(|name| name.starts_with("wasi:cli/run@")) {
        true => "it is a command: `wharf run` runs it".to_owned(),
        false if exports.is_empty() => "it exports nothing".to_owned(),
        false => format!("it exports {}", exports.join(", ")),
    }
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
