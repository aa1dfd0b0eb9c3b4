//! `[[http.route]]`: who answers which requests.

use crate::component::texts;
use crate::filter;
use crate::http::{host, path};
use crate::keys::{RESPOND, ROUTE};
use crate::plan::{Respond, Route, Target};
use crate::section::Section;
use base::Mistake;

pub(crate) fn routes(
    http: &Section<'_>,
    components: &[&str],
    upstreams: &[&str],
    known: &[&str],
) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for section in http.tables("route", &ROUTE) {
        let path = section.parsed("path", "a path", path);
        let host = section.parsed("host", "a host", host);
        let target = target(&section, components, upstreams);
        let filters = filter::uses(&section, known);
        // A path or a host that is wrong was reported; what it was meant to be is not known.
        if path.is_some() != section.has("path") || host.is_some() != section.has("host") {
            continue;
        }
        let path = path.unwrap_or_else(|| "/".to_owned());
        let twice = |route: &&Route| (&route.host, &route.path) == (&host, &path);
        if let Some(first) = routes.iter().find(twice).and_then(|route| route.at.clone()) {
            let mistake = Mistake::new("there are two routes for this host and path");
            http.reader.notes.contradiction(section.at(), first, "here already", mistake);
            continue;
        }
        routes.push(Route { host, path, target, filters, at: Some(section.at()) });
    }
    routes
}

/// What a route may lead to.
const TARGETS: [&str; 3] = ["component", "upstream", "respond"];

/// Who answers. A route to nobody is kept until all are read, so that a second one is seen.
fn target(route: &Section<'_>, components: &[&str], upstreams: &[&str]) -> Target {
    let component = route.name_of("component", "component", components);
    let upstream = route.name_of("upstream", "upstream", upstreams);
    let mirror = route.name_of("mirror", "upstream", upstreams);
    let percent = route.number("mirror-percent", 0..=100);
    let respond = route.table("respond", &RESPOND).map(|respond| answer(&respond));
    let named: Vec<&str> = TARGETS.into_iter().filter(|key| route.has(key)).collect();
    match named.as_slice() {
        [] => route.missing(
            "this route leads nowhere".to_owned(),
            "component = \"NAME\", or upstream = \"NAME\", or respond = { status = 404 }",
        ),
        [one] if *one != "upstream" && route.has("mirror") => {
            let message = "only requests to an upstream are copied";
            route.mistake(Mistake::at(route.at_key("mirror").span, message));
        }
        [_] => {}
        [first, second, ..] => {
            let message = format!("a route leads to one target, and this has `{first}` as well");
            let mistake = Mistake::at(route.at_key(second).span, message);
            route.mistake(mistake.with_hint("leave one of them out"));
        }
    }
    if route.has("mirror-percent") && !route.has("mirror") {
        let message = "nothing is copied here: there is no `mirror`";
        let mistake = Mistake::at(route.at_key("mirror-percent").span, message);
        route.mistake(mistake.with_hint("mirror = \"NAME\""));
    }
    match (component, upstream, respond) {
        (None, None, Some(respond)) => Target::Respond(respond),
        (None, Some(name), _) => Target::Upstream { name, mirror, percent: percent.unwrap_or(100) },
        (component, ..) => Target::Component(component.unwrap_or_default()),
    }
}

/// The answer that stands in the file.
fn answer(section: &Section<'_>) -> Respond {
    let headers = texts(section, "headers").into_iter().filter(|(name, value)| {
        let wrong = wrong_header(name, value.reveal());
        if let Some(wrong) = &wrong {
            section.mistake(Mistake::at(section.at_key("headers").span, wrong.clone()));
        }
        wrong.is_none()
    });
    let headers = headers.collect();
    let status = section.number("status", 200..=599).unwrap_or(200);
    let body = section.string("body").map(|body| body.value);
    if let Some(body) = &body
        && !body.is_empty()
        && matches!(status, 204 | 304)
    {
        let message = format!("an answer with the status {status} has no body");
        section.mistake(Mistake::at(section.at_key("body").span, message));
    }
    Respond { status, headers, body: body.unwrap_or_default() }
}

/// Why a header cannot be sent, if it cannot.
fn wrong_header(name: &str, value: &str) -> Option<String> {
    let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some(format!("`{name}` is no name of a header"));
    }
    let framing = ["connection", "content-length", "transfer-encoding", "upgrade", "trailer"];
    if framing.iter().any(|other| other.eq_ignore_ascii_case(name)) {
        return Some(format!("`{name}` is what the server itself says"));
    }
    let is_good = |c: u8| c == b'\t' || (0x20..0x7f).contains(&c) || c >= 0x80;
    (!value.bytes().all(is_good)).then(|| format!("the value of `{name}` has a control character"))
}
