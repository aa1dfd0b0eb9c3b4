//! `[[subscribe]]`: components that messages are handed to.

use crate::keys::{START, SUBSCRIBE};
use crate::plan::{CloudEvents, Component, Start, Subscribe};
use crate::reading::SUBSCRIBED;
use crate::section::Section;
use crate::triggers::{binding, check_grant, component};
use base::topic::{Filter, check_topic, is_inbox};
use base::{Mistake, rfc3339};
use std::time::{Duration, SystemTime};
use toml::de::DeValue;

const STARTS: &[(&str, Start)] = &[("new", Start::New), ("beginning", Start::Beginning)];
const EVENTS: &[(&str, CloudEvents)] =
    &[("binary", CloudEvents::Binary), ("structured", CloudEvents::Structured)];
/// The usual time that a subscriber has for a message.
const DEADLINE: Duration = Duration::from_secs(30);

/// Reads the subscriptions. `bound` are the names of the bindings of messaging.
pub(crate) fn read(root: &Section<'_>, components: &[Component], bound: &[&str]) -> Vec<Subscribe> {
    let names: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
    let mut subscriptions = Vec::new();
    for section in root.tables("subscribe", &SUBSCRIBE) {
        let component = component(&section, &names);
        let binding = binding(&section, "binding of messaging", bound);
        let topics = topics(&section);
        let group = section.parsed("group", "a name", group);
        let start = start(&section);
        let ordered = section.flag("ordered");
        let concurrency = section.number("concurrency", 1..=10_000);
        let prefetch = section.number("prefetch", 1..=100_000);
        let times = Duration::from_secs(1)..=Duration::from_hours(12);
        let deadline = section.duration("deadline", times);
        let retry = section.each("retry", "a duration", pause);
        let attempts = section.number("attempts", 1..=u64::from(u32::MAX));
        let dead_letters = section.parsed("dead-letters", "a topic", topic);
        let batch = section.number("batch", 1..=1000);
        let batch_wait = section.duration("batch-wait", Duration::ZERO..=Duration::from_mins(1));
        let cloudevents = section.choice("cloudevents", EVENTS);
        let (Some(component), Some(binding)) = (component, binding) else { continue };
        check_grant(&section, components, (&component, SUBSCRIBED, &binding));
        let subscribe = Subscribe {
            group: group.unwrap_or_else(|| component.clone()),
            component,
            binding,
            topics,
            start: start.unwrap_or_default(),
            ordered: ordered.unwrap_or_default(),
            concurrency,
            prefetch,
            deadline,
            retry: retry.map(|pauses| pauses.into_iter().map(|pause| pause.value).collect()),
            attempts,
            dead_letters,
            batch,
            batch_wait,
            cloudevents,
            at: section.at(),
        };
        check(&section, &subscribe, &subscriptions);
        subscriptions.push(subscribe);
    }
    subscriptions
}

/// What would go wrong at the first message.
fn check(section: &Section<'_>, subscribe: &Subscribe, others: &[Subscribe]) {
    let covers = |topic: &str| subscribe.topics.iter().any(|filter| filter.covers(topic));
    if let Some(dead) = subscribe.dead_letters.as_deref().filter(|topic| covers(topic)) {
        let message = format!("`{dead}` is among the topics: what is given up would come again");
        let hint = "let dead letters go to a topic that this does not subscribe to";
        let at = section.at_key("dead-letters");
        section.mistake(Mistake::at(at.span, message).with_hint(hint));
    }
    if let Some(wait) = subscribe.batch_wait
        && wait * 2 >= subscribe.deadline.unwrap_or(DEADLINE)
    {
        let message = "messages would come again while they wait for others".to_owned();
        let hint = "a `batch-wait` of less than half of `deadline`";
        let at = section.at_key("batch-wait");
        section.mistake(Mistake::at(at.span, message).with_hint(hint));
    }
    let is_same = |other: &&Subscribe| {
        (&other.binding, &other.group) == (&subscribe.binding, &subscribe.group)
    };
    let differs = |other: &Subscribe| {
        (&other.topics, other.ordered) != (&subscribe.topics, subscribe.ordered)
    };
    if others.iter().find(is_same).is_some_and(differs) {
        let group = &subscribe.group;
        let message = format!("group `{group}` has other topics above, and a group has one list");
        section.missing(message, "group = \"NAME\", a name of its own");
    }
}

/// Where a group begins: a word, or a table with a place.
fn start(section: &Section<'_>) -> Option<Start> {
    if !matches!(section.value("start")?.get_ref(), DeValue::Table(_)) {
        return section.choice("start", STARTS);
    }
    let place = section.table("start", &START)?;
    let after = place.parsed("after", "a position", position);
    let since = since(&place);
    match (place.has("after"), place.has("since")) {
        (true, false) => after.map(Start::After),
        (false, true) => since.map(Start::Since),
        _ => {
            let message = "a group begins `since` a time or `after` a position: one of the two";
            place.missing(message.to_owned(), "start = { since = 2026-01-31T12:00:00Z }");
            None
        }
    }
}

fn position(text: &str) -> Result<String, String> {
    match text.is_empty() {
        true => Err("a position is what a broker gave for one: this is empty".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// A moment, in quotes or without.
fn since(section: &Section<'_>) -> Option<SystemTime> {
    let wrong = |text: &str| {
        format!("`{text}` is no moment; write for example 2026-01-31T12:00:00Z, with its offset")
    };
    let parse = |text: &str| rfc3339::parse(text).ok_or_else(|| wrong(text));
    let value = section.value("since")?;
    let DeValue::Datetime(moment) = value.get_ref() else {
        return section.parsed("since", "a moment", parse);
    };
    match parse(&moment.to_string()) {
        Ok(time) => Some(time),
        Err(why) => {
            section.mistake(Mistake::at(value.span(), why));
            None
        }
    }
}

fn topics(section: &Section<'_>) -> Vec<Filter> {
    let parse = |text: &str| Filter::parse(text).map_err(|error| error.to_string());
    let topics = section.each("topics", "a topic", parse);
    // With an empty list the component says itself what they are, if it can.
    if !section.has("topics") {
        let example = "topics = [\"orders.new\"]";
        section.missing("this subscribes to no topic".to_owned(), example);
    }
    topics.into_iter().flatten().map(|topic| topic.value).collect()
}

fn topic(text: &str) -> Result<String, String> {
    if is_inbox(text) {
        return Err(format!("`{text}` is for replies alone"));
    }
    check_topic(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

fn group(text: &str) -> Result<String, String> {
    match text.is_empty() || text.len() > 255 || text.contains(char::is_control) {
        true => Err("a group's name has 1 to 255 bytes without control characters".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn pause(text: &str) -> Result<Duration, String> {
    let pause = base::units::duration(text)?;
    match pause > Duration::from_hours(24 * 7) {
        true => Err("a message waits a week at most".to_owned()),
        false => Ok(pause),
    }
}
