//! From a plan to what runs: open bindings, loaded guests, routes.

mod binding;
mod component;

use crate::capabilities::{Opened, ToOpen};
use crate::exit::Failure;
use crate::program::Program;
use base::{Error, Mistake, Result};
use deployment::{At, Binding, Component, Plan};
use engine::Guest;
use gateway::{Route, Routes, Target};
use http::incoming::Handler;
use std::collections::BTreeMap;
use std::sync::Arc;
use telemetry::Filter;

pub(crate) use component::{limits, reject};

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
        let needed = binding::needed(app, bindings);
        // Reports need the plan's text, so its bindings are taken out of it one by one.
        let (openings, report) = plan_parts(plan);
        let app = report.app.clone();
        let mut open = Vec::new();
        for (binding, needed) in openings.into_iter().zip(needed) {
            if needed {
                match binding::open(binding, &app, earlier).await {
                    Ok(opened) => open.push(opened),
                    Err((at, error)) => problems.add(at.as_ref(), error),
                }
            }
        }
        let mut guests = BTreeMap::new();
        if problems.is_empty() {
            for component in &app.components {
                match component::load(component, &open, program, filter, purpose, earlier) {
                    Ok(loaded) => drop(guests.insert(component.name.clone(), loaded)),
                    Err(error) => {
                        let at = component.source_at.as_ref().or(component.at.as_ref());
                        problems.add(at, error);
                    }
                }
            }
        }
        for (at, error) in binding::unmet(&app, &open, &guests) {
            problems.add(at.as_ref(), error);
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
