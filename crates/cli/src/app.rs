//! From a plan to what runs: open bindings, loaded guests, routes.

mod binding;
mod code;
mod component;
pub(crate) mod filter;
mod problems;
pub(crate) mod tcp;
mod upstream;

use crate::capabilities::{Opened, ToOpen};
use crate::exit::Failure;
use crate::program::Program;
use crate::shared::Kept;
use crate::triggers::Ready;
use base::Error;
use connect::tls::Trust;
use deployment::{Binding, Component, Plan};
use engine::{Guest, Tasks};
use gateway::filter::Services;
use gateway::tcp::Leads;
use gateway::upstream::{Mirror, Upstream};
use gateway::{Forward, Respond, Route, Routes, Target};
use http::incoming::Handler;
use std::collections::BTreeMap;
use std::sync::Arc;
use telemetry::Filter;

pub(crate) use component::{limits, reject};
pub(crate) use problems::Problems;

/// Everything that a plan made.
pub(crate) struct App {
    pub(crate) plan: deployment::App,
    pub(crate) bindings: Vec<Open>,
    pub(crate) guests: BTreeMap<String, Loaded>,
    pub(crate) upstreams: BTreeMap<String, Led>,
    pub(crate) filters: filter::All,
    pub(crate) routes: Vec<Route>,
    pub(crate) leads: BTreeMap<String, Leads>,
    /// Where filters keep what they share, by `vm-id`.
    pub(crate) shared: BTreeMap<String, Arc<Kept>>,
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

/// One upstream, and what it was made of.
#[derive(Clone)]
pub(crate) struct Led {
    pub(crate) upstream: Arc<Upstream>,
    of: deployment::Upstream,
    trust: Trust,
}

/// What the components are opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To answer and to be called; what they print goes to the log.
    Serve,
    /// To run once at the console, whose streams they have.
    Run,
}

/// What an app is opened in.
#[derive(Clone, Copy)]
pub(crate) struct Host<'a> {
    pub(crate) program: &'a Arc<Program>,
    pub(crate) filter: &'a Filter,
    pub(crate) purpose: Purpose,
    /// What ran before. What it has of the same settings is kept.
    pub(crate) earlier: Option<&'a App>,
}

impl App {
    /// Acts on a plan: an app, and its triggers, which do not run yet.
    ///
    /// Nothing of what ran before is changed, so this can be given up at any time.
    ///
    /// # Errors
    /// Everything that is wrong at once; nothing of it runs then.
    pub(crate) async fn open(
        mut plan: Plan<ToOpen>,
        host: Host<'_>,
    ) -> Result<(Self, Ready), Failure> {
        let mut problems = Problems::default();
        // Reports need the plan, so its bindings are taken out of it.
        let mut bindings = std::mem::take(&mut plan.bindings);
        let app = &plan.app;
        let imports = binding::imports(app).await?;
        bindings.retain(|binding| binding::needed(app, &imports, binding));
        let (bindings, mut found) = futures::join!(
            binding::open(bindings, app, host.earlier, &mut problems),
            code::all(app, host),
        );
        let mut guests = BTreeMap::new();
        for component in &app.components {
            let Some(found) = found.remove(&component.name) else { continue };
            match found.and_then(|found| component::load(component, found, &bindings, host)) {
                Ok(loaded) => drop(guests.insert(component.name.clone(), loaded)),
                Err(error) => {
                    problems.add(component.source_at.as_ref().or(component.at.as_ref()), error);
                }
            }
        }
        let upstreams = upstream::all(app, host, &mut problems).await;
        let filters = filter::all(app, host, &upstreams, &mut problems).await;
        let (of, bindings) = (app.clone(), bindings.open);
        let (routes, leads, shared) = Default::default();
        let mut opened =
            Self { plan: of, bindings, guests, upstreams, filters, routes, leads, shared };
        binding::unmet(&opened, &mut problems);
        opened.routes = self::routes(&opened, &mut problems);
        opened.leads = tcp::leads(&opened);
        opened.shared = filter::shared(&opened, host.earlier);
        let triggers = Ready::of(&opened, &mut problems);
        if problems.is_empty() { Ok((opened, triggers)) } else { Err(problems.failure(&plan)) }
    }

    /// The routes, as the gateway takes them.
    pub(crate) fn routes(&self) -> Routes {
        Routes::new(self.routes.iter().cloned())
    }

    /// Has filters call these upstreams, and share data there, from now on.
    pub(crate) fn set_services(&self, services: &Services) {
        services.set_clusters(filter::clusters(&self.upstreams));
        let shared = self.shared.iter();
        let shared = shared.map(|(vm_id, kept)| (vm_id.clone(), Arc::clone(kept) as _));
        services.set_shared(shared.collect());
    }

    /// Begins what upstreams do on their own, as tasks of this runtime. Those that began already
    /// go on.
    pub(crate) fn start_upstreams(&self, tasks: &Tasks) {
        self.upstreams.values().for_each(|led| led.upstream.start(tasks));
    }

    /// Ends it.
    pub(crate) fn stop_upstreams(&self) {
        self.upstreams.values().for_each(|led| led.upstream.stop());
    }

    /// The broker behind a name.
    pub(crate) fn broker(&self, name: &str) -> Option<&Arc<dyn messaging::Broker>> {
        self.bindings.iter().find_map(|open| match &open.opened {
            Opened::Messaging(broker) if open.of.name == name => Some(broker),
            _ => None,
        })
    }

    /// The key-value store behind a name.
    pub(crate) fn store(&self, name: &str) -> Option<&Arc<dyn keyvalue::Store>> {
        self.bindings.iter().find_map(|open| match &open.opened {
            Opened::KeyValue(store) if open.of.name == name => Some(store),
            _ => None,
        })
    }
}

fn routes(app: &App, problems: &mut Problems) -> Vec<Route> {
    let mut routes = Vec::new();
    let all = app.plan.http.iter().flat_map(|http| http.routes.iter().map(move |it| (http, it)));
    for (http, route) in all {
        let target = match &route.target {
            deployment::Target::Component(name) => component(app, name, route, problems),
            deployment::Target::Upstream { name, mirror, percent } => {
                let upstream = |name: &String| Some(Arc::clone(&app.upstreams.get(name)?.upstream));
                let mirror = mirror.as_ref().and_then(upstream);
                let mirror = mirror.map(|upstream| Mirror { upstream, percent: *percent });
                upstream(name).map(|upstream| Target::Upstream(Forward { upstream, mirror }))
            }
            deployment::Target::Respond(respond) => {
                let headers = respond.headers.iter().map(|(name, it)| (name.as_str(), it.reveal()));
                // Its parts were looked at when it was read.
                let answer = Respond::new(respond.status, headers, respond.body.clone());
                if answer.is_none() {
                    let error = Error::invalid("the answer of this route cannot be sent");
                    problems.add(route.at.as_ref(), error);
                }
                answer.map(|it| Target::Respond(Arc::new(it)))
            }
        };
        let (host, path) = (route.host.clone(), route.path.clone());
        let filters = filter::before(&app.filters, http, route);
        routes.extend(target.map(|target| Route { host, path, target, filters }));
    }
    routes
}

/// The component that a route leads to, if it was loaded and answers HTTP.
fn component(
    app: &App,
    name: &str,
    route: &deployment::Route,
    problems: &mut Problems,
) -> Option<Target> {
    let loaded = app.guests.get(name)?;
    if let Some(handler) = &loaded.handler {
        return Some(Target::Component(Arc::clone(handler)));
    }
    let error = Error::invalid(format!(
        "component `{name}` answers no HTTP: it exports neither `wasi:http/incoming-handler` 0.2 \
         nor `wasi:http/handler` 0.3"
    ));
    let error = error.with_hint(exports(&loaded.guest));
    problems.add(route.at.as_ref().or(loaded.of.source_at.as_ref()), error);
    None
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
