//! `[[timer]]` and `[[watch]]`: what calls components besides HTTP.

use crate::keys::{TIMER, WATCH};
use crate::plan::{Component, Keys, Schedule, Scope, Timer, Watch};
use crate::reading::WATCHED;
use crate::section::Section;
use base::{DEFAULT, Mistake};
use croner::parser::{CronParser, Seconds, Year};
use std::time::Duration;

const SCOPES: &[(&str, Scope)] = &[("deployment", Scope::Deployment), ("host", Scope::Host)];

/// Reads the timers.
pub(crate) fn timers(root: &Section<'_>, components: &[&str]) -> Vec<Timer> {
    let mut timers = Vec::new();
    for section in root.tables("timer", &TIMER) {
        let component = component(&section, components);
        let schedule = schedule(&section);
        let scope = section.choice("scope", SCOPES);
        if let (Some(component), Some(schedule)) = (component, schedule) {
            let at = section.at();
            timers.push(Timer { component, schedule, scope, at });
        }
    }
    timers
}

fn schedule(section: &Section<'_>) -> Option<Schedule> {
    let cron = section.parsed("cron", "a cron pattern", cron);
    let times = Duration::from_millis(10)..=Duration::from_hours(24 * 366);
    let every = section.duration("every", times);
    match (section.has("cron"), section.has("every")) {
        (true, true) => section.missing(
            "a timer has either `cron` or `every`, and this has both".to_owned(),
            "leave one of them out",
        ),
        (false, false) => section.missing(
            "this timer does not say when".to_owned(),
            "cron = \"0 3 * * *\" or every = \"10m\"",
        ),
        _ => {}
    }
    cron.map(Schedule::Cron).or(every.map(Schedule::Every))
}

/// Checks what `cron` says: five fields, or six with seconds first.
fn cron(text: &str) -> Result<String, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    match parser.parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            let why = error.to_string();
            let why = why.trim_end_matches('.');
            Err(format!("`{text}` is no cron pattern: {why}"))
        }
    }
}

/// Reads the watches. `bound` are the names of the key-value bindings.
pub(crate) fn watches(root: &Section<'_>, components: &[Component], bound: &[&str]) -> Vec<Watch> {
    let names: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
    let mut watches = Vec::new();
    for section in root.tables("watch", &WATCH) {
        let component = component(&section, &names);
        let binding = binding(&section, "key-value binding", bound);
        let keys = keys(&section);
        let scope = section.choice("scope", SCOPES);
        let (Some(component), Some(binding)) = (component, binding) else { continue };
        check_grant(&section, components, (&component, WATCHED, &binding));
        watches.push(Watch { component, binding, keys, scope, at: section.at() });
    }
    watches
}

fn keys(section: &Section<'_>) -> Keys {
    let keys = section.strings("keys");
    let prefix = section.string("prefix");
    if section.has("keys") && section.has("prefix") {
        section.missing(
            "a watch has either `keys` or a `prefix`, and this has both".to_owned(),
            "leave one of them out",
        );
    }
    match (keys, prefix) {
        (Some(keys), _) => Keys::Only(keys.into_iter().map(|key| key.value).collect()),
        (None, Some(prefix)) => Keys::Prefix(prefix.value),
        (None, None) => Keys::All,
    }
}

/// The binding that is called for: `default` where none is named.
pub(crate) fn binding(section: &Section<'_>, what: &str, bound: &[&str]) -> Option<String> {
    match section.has("binding") {
        true => section.name_of("binding", what, bound),
        false => Some(DEFAULT.to_owned()),
    }
}

/// Makes sure that a component that is called for a binding may open it.
pub(crate) fn check_grant(
    section: &Section<'_>,
    components: &[Component],
    (component, capability, binding): (&str, &str, &String),
) {
    let called = components.iter().find(|other| other.name == component);
    let granted = called.map_or(&[][..], |called| called.granted(capability));
    if !granted.contains(binding) {
        let message = format!("component `{component}` may not open `{binding}`");
        let at = section.at_key("binding");
        let hint = format!("grant it: {capability} = [\"{binding}\"]");
        section.mistake(Mistake::at(at.span, message).with_hint(hint));
    }
}

pub(crate) fn component(section: &Section<'_>, components: &[&str]) -> Option<String> {
    if !section.has("component") {
        section.missing("this calls nobody".to_owned(), "component = \"NAME\"");
    }
    section.name_of("component", "component", components)
}
