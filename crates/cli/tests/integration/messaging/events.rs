//! Messages that are CloudEvents.

use super::{ask, handed, seen};
use crate::support::{Served, deploy, eventually};

/// A binding with this key, and a worker whose subscription says this.
fn file(binding: &str, subscribe: &str) -> String {
    format!(
        r#"
            name = "shop"
            [component.web]
            source = "messages-draft.wasm"
            [component.mourner]
            source = "messages-draft.wasm"
            [[http.route]]
            component = "web"
            [[subscribe]]
            component = "web"
            topics = ["t"]
            concurrency = 1
            dead-letters = "dead"
            {subscribe}
            [[subscribe]]
            component = "mourner"
            topics = ["dead"]
            [messaging]
            default = {{ url = "embedded:" {binding} }}
        "#
    )
}

const EVENT: &str = "type=text/plain&h=ce-specversion:1.0&h=ce-id:7&h=ce-source:/s&h=ce-type:y";

fn publish(wharf: &Served, more: &str, text: &str) -> (u16, String) {
    ask(wharf, &format!("/publish?t=t&{more}"), text)
}

/// What came with a text.
fn what(wharf: &Served, text: &str) -> String {
    handed(wharf, text, 1);
    wharf.text(&format!("/seen?k=what/{}", escaped(text)))
}

/// As a part of a query.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn what_a_component_publishes_becomes_an_event() {
    let wharf = deploy(&file(", cloudevents = \"binary\"", ""));
    assert_eq!(publish(&wharf, "type=text/plain&h=own:1", "x").0, 200);
    let said = what(&wharf, "x");
    for attribute in [
        "t text/plain own=1 ",
        "ce-specversion=1.0",
        "ce-source=/shop/default",
        "ce-type=t",
        "ce-id=",
        "ce-time=2",
    ] {
        assert!(said.contains(attribute), "{attribute}: {said}");
    }
    // Its own event stays what it is.
    assert_eq!(publish(&wharf, EVENT, "y").0, 200);
    let said = what(&wharf, "y");
    assert!(said.contains("ce-id=7") && !said.contains("ce-time"), "{said}");
}

#[test]
fn a_malformed_event_is_not_published() {
    let wharf = deploy(&file(", cloudevents = { mode = \"structured\", source = \"/a\" }", ""));
    for (more, text, said) in [
        ("h=ce-id:7", "x", "malformed CloudEvent: `specversion` is missing"),
        (&EVENT.replace("1.0", "0.3"), "x", "`specversion` is `1.0`, not `0.3`"),
        ("type=application/cloudevents%2bjson", "{", "its document"),
        ("type=application/json", "{", "its document is no JSON"),
    ] {
        let (status, answer) = publish(&wharf, more, text);
        assert_eq!(status, 500, "{more}: {answer}");
        assert!(answer.contains(said), "{more}: {answer}");
    }
    assert_eq!(publish(&wharf, EVENT, "x").0, 200);
    let document = "{\"specversion\":\"1.0\",\"datacontenttype\":\"text/plain\",\"id\":\"7\",\
                    \"source\":\"/s\",\"type\":\"y\",\"data\":\"x\"}";
    assert_eq!(what_of(&wharf, document), "t application/cloudevents+json");
}

#[test]
fn a_handler_sees_events_in_the_form_that_it_wants() {
    let wharf = deploy(&file("", "cloudevents = \"binary\""));
    let document = "{\"specversion\":\"1.0\",\"id\":\"7\",\"source\":\"/s\",\"type\":\"y\",\
                    \"subject\":\"a b\",\"data\":{ \"n\" : 1.0 }}";
    assert_eq!(publish(&wharf, "type=application/cloudevents%2bjson", document).0, 200);
    let said = what_of(&wharf, "{ \"n\" : 1.0 }");
    for attribute in ["t application/json ", "ce-id=7", "ce-subject=a%20b", "ce-type=y"] {
        assert!(said.contains(attribute), "{attribute}: {said}");
    }
}

/// The same of one that has a text of its own in a key.
fn what_of(wharf: &Served, text: &str) -> String {
    let key = escaped(&format!("what/{text}"));
    eventually("it came", || {
        let answer = wharf.get(&format!("/seen?k={key}"));
        (answer.status == 200).then(|| answer.text())
    })
}

#[test]
fn what_is_no_event_goes_to_the_dead_letters_and_blocks_nobody() {
    let wharf = deploy(&file("", "cloudevents = \"structured\"\nretry = [\"1h\"]"));
    assert_eq!(publish(&wharf, "", "plain").0, 200);
    assert_eq!(publish(&wharf, "h=ce-specversion:1.0&h=ce-id:1", "half").0, 200);
    assert_eq!(publish(&wharf, EVENT, "whole").0, 200);
    for (text, reason) in [
        ("plain", "wharf-dead-reason=no CloudEvent: there is neither"),
        ("half", "wharf-dead-reason=malformed CloudEvent: `source` is missing"),
    ] {
        let said = what(&wharf, text);
        assert!(said.starts_with("dead ") && said.contains(reason), "{text}: {said}");
        assert!(said.contains("wharf-dead-attempts=1"), "{text}: {said}");
    }
    let said = what_of(
        &wharf,
        "{\"specversion\":\"1.0\",\"datacontenttype\":\"text/plain\",\"id\":\"7\",\
         \"source\":\"/s\",\"type\":\"y\",\"data\":\"whole\"}",
    );
    assert_eq!(said, "t application/cloudevents+json");
    assert_eq!(seen(&wharf, "whole"), 0, "it is handed over in one form");
}
