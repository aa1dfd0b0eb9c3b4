//! What works, but probably not as meant.

use crate::binding::Bindings;
use crate::notes::Notes;
use crate::plan::{App, Component, Scope, Target};
use crate::reading::WATCHED;
use crate::upstream::Upstream;

/// Adds what is odd about a deployment that may otherwise be right.
pub(crate) fn add<O>(app: &App, bound: &[Bindings<O>], notes: &Notes) {
    if let Some(http) = &app.http
        && http.routes.is_empty()
    {
        let hint = "[[http.route]] component = \"NAME\", or upstream = \"NAME\"";
        notes.warning(None, "no request is answered: `http` has no routes".to_owned(), hint);
    }
    for component in app.components.iter().filter(|component| !is_called(app, component)) {
        let message = format!("nothing calls component `{}`", component.name);
        let hint = "give it an [[http.route]], a [[timer]], a [[watch]] or a [[subscribe]]";
        notes.warning(component.at.as_ref(), message, hint);
    }
    for upstream in app.upstreams.iter().filter(|upstream| !is_led_to(app, upstream)) {
        let message = format!("no route leads to upstream `{}`", upstream.name);
        let hint = "give it an [[http.route]] or a [tcp.NAME], or leave it out";
        notes.warning(Some(&upstream.at), message, hint);
    }
    let timers = app.timers.iter().map(|timer| (timer.scope, &timer.at));
    let watches = app.watches.iter().map(|watch| (watch.scope, &watch.at));
    for (_, at) in timers.chain(watches).filter(|(scope, _)| *scope == Some(Scope::Deployment)) {
        let message = "if there are several hosts, each calls it: none is elected yet".to_owned();
        let hint = "run one host, or write scope = \"host\" where each of them shall call";
        notes.warning(Some(at), message, hint);
    }
    for binding in bound.iter().flat_map(|bound| &bound.bindings) {
        let grants =
            |component: &Component| component.granted(binding.capability).contains(&binding.name);
        let is_shared = binding.capability == WATCHED
            && app.filters.iter().any(|it| it.shared_data.as_ref() == Some(&binding.name));
        if binding.at.is_some() && !is_shared && !app.components.iter().any(grants) {
            let message = format!("no component may open `{}`", binding.name);
            let hint = "grant it to one, or leave it out";
            notes.warning(binding.at.as_ref(), message, hint);
        }
    }
}

fn is_called(app: &App, component: &Component) -> bool {
    let name = &component.name;
    app.http.iter().flat_map(|http| &http.routes).any(|route| route.target.is_component(name))
        || app.timers.iter().any(|timer| timer.component == *name)
        || app.watches.iter().any(|watch| watch.component == *name)
        || app.subscriptions.iter().any(|subscribe| subscribe.component == *name)
}

fn is_led_to(app: &App, upstream: &Upstream) -> bool {
    // Filters call upstreams by names that only they know.
    if !app.filters.is_empty() || app.tcp.iter().any(|tcp| tcp.upstream == upstream.name) {
        return true;
    }
    let routes = app.http.iter().flat_map(|http| &http.routes);
    routes.into_iter().any(|route| match &route.target {
        Target::Component(_) | Target::Respond(_) => false,
        Target::Upstream { name, mirror, .. } => {
            *name == upstream.name || mirror.as_ref() == Some(&upstream.name)
        }
    })
}
