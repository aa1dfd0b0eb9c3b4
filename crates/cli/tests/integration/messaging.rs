//! Components that publish messages, and that are handed them.

pub(crate) mod consuming;
mod draining;
mod events;
mod hosts;
mod needs;
pub(crate) mod old;
pub(crate) mod others;

use crate::support::client::{post, wait};
use crate::support::{Folder, Served, deploy, eventually, pause, promises};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use testkit::program::Signal;

promises!([
    a_message_is_handed_over_once,
    a_message_that_fails_comes_again,
    a_message_that_fails_too_often_goes_to_the_dead_letters,
    a_trap_and_a_loop_are_failures,
    a_poison_message_holds_up_no_other,
    a_request_is_replied_to,
    a_handler_publishes,
    sigterm_lets_a_handler_finish,
] of messages_draft, messages_wasmcloud);

/// The brokers that each interface is tried on: one that keeps messages in the host itself, and one
/// that has them from a server. `embedded:` is that of all other tests.
fn brokers() -> Vec<String> {
    vec!["memory:".to_owned(), testkit::servers::url("nats").unwrap()]
}

/// A file with another broker, and another name, for servers keep what earlier tests published.
fn on(broker: &str, file: &str) -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let (process, nth) = (std::process::id(), LAST.fetch_add(1, Relaxed));
    let name = format!("name = \"messages-{process}-{nth}\"");
    let file = file.replace("name = \"messages\"", &name);
    format!("{file}\n[messaging]\ndefault = \"{broker}\"\n")
}

/// A component that publishes and is handed what comes to `t.>`, and another for dead letters.
fn file(guest: &str, more: &str) -> String {
    // Those that name channels themselves are for the worker.
    let mourner = if guest == "messages-old" { "messages-draft" } else { guest };
    format!(
        r#"
            name = "messages"
            [component.web]
            source = "{guest}.wasm"
            limits = {{ request-timeout = "5s" }}
            [component.worker]
            source = "{guest}.wasm"
            limits = {{ request-timeout = "1s" }}
            [component.mourner]
            source = "{mourner}.wasm"
            [[http.route]]
            component = "web"
            [[subscribe]]
            component = "worker"
            topics = ["t.>", "other"]
            retry = ["50ms"]
            attempts = 3
            dead-letters = "dead"
            {more}
            [[subscribe]]
            component = "mourner"
            topics = ["dead"]
            attempts = 1
        "#
    )
}

/// Serves a file, once its components have subscribed: what comes before is not for them.
fn ready(file: &str) -> Served {
    let wharf = deploy(file);
    for (topic, text) in [("t.a", "warm"), ("dead", "warm-dead")] {
        eventually("its components have subscribed", || {
            publish(&wharf, topic, text);
            pause(Duration::from_millis(50));
            (seen(&wharf, text) > 0).then_some(())
        });
    }
    wharf
}

fn publish(wharf: &Served, topic: &str, text: &str) {
    let (status, answer) = ask(wharf, &format!("/publish?t={topic}"), text);
    assert_eq!(status, 200, "{topic} {text}: {answer}");
}

fn ask(wharf: &Served, path: &str, text: &str) -> (u16, String) {
    let answer = wait(crate::support::client::ask(wharf.address, post(path, text.to_owned())));
    let answer = answer.unwrap();
    (answer.status, answer.text())
}

/// How often a text was handed over.
fn seen(wharf: &Served, text: &str) -> u64 {
    wharf.get(&format!("/seen?k=seen/{text}")).text().parse().unwrap_or(0)
}

fn handed(wharf: &Served, text: &str, times: u64) {
    eventually(&format!("`{text}` was handed over {times} times"), || {
        (seen(wharf, text) >= times).then_some(())
    });
    pause(Duration::from_millis(300));
    assert_eq!(seen(wharf, text), times, "{text}");
}

fn a_message_is_handed_over_once(guest: &str) {
    let wharf = ready(&file(guest, ""));
    for (topic, text) in [("t.a", "one"), ("t.b.c", "two"), ("other", "three"), ("t", "none")] {
        publish(&wharf, topic, text);
    }
    for text in ["one", "two", "three"] {
        handed(&wharf, text, 1);
    }
    assert_eq!(seen(&wharf, "none"), 0);
    let topic = wharf.text("/seen?k=what/two");
    assert!(topic.starts_with("t.b.c"), "{topic}");
}

fn a_message_that_fails_comes_again(guest: &str) {
    let wharf = ready(&file(guest, ""));
    publish(&wharf, "t.a", "fail2:x");
    handed(&wharf, "fail2:x", 3);
}

fn a_message_that_fails_too_often_goes_to_the_dead_letters(guest: &str) {
    let wharf = ready(&file(guest, ""));
    publish(&wharf, "t.a", "fail:x");
    // Three times to the worker, and once to the mourner, where it is given up at once.
    handed(&wharf, "fail:x", 4);
    wharf.program.wait_for("a message went to `dead`");
    let lines = wharf.program.errors();
    let line = lines.iter().find(|line| line.contains("a message was left out")).unwrap();
    assert!(line.contains("as it was asked to") && line.contains("mourner"), "{line}");
    if guest == "messages-draft" {
        let what = wharf.text("/seen?k=what/fail:x");
        for said in [
            "dead -",
            "wharf-dead-topic=t.a",
            "wharf-dead-attempts=3",
            "wharf-dead-binding=default",
            "wharf-dead-group=worker",
            "wharf-dead-reason=as it was asked to",
        ] {
            assert!(what.contains(said), "{said} is not in {what}");
        }
    }
}

fn a_trap_and_a_loop_are_failures(guest: &str) {
    let wharf = ready(&file(guest, ""));
    for text in ["trap:x", "loop:x"] {
        publish(&wharf, "t.a", text);
    }
    let failed = |words: &str| {
        wharf.program.wait_until("a failure", |lines| {
            lines
                .iter()
                .any(|line| line.contains("a message failed") && line.contains(words))
                .then_some(())
        });
    };
    failed("unreachable");
    failed("deadline");
    publish(&wharf, "t.a", "after");
    handed(&wharf, "after", 1);
}

fn a_poison_message_holds_up_no_other(guest: &str) {
    let wharf = ready(&file(guest, "concurrency = 1").replace("\"50ms\"", "\"1h\""));
    publish(&wharf, "t.a", "fail:poison");
    for number in 0..20 {
        publish(&wharf, "t.a", &format!("n{number}"));
    }
    for number in 0..20 {
        eventually("it was handed over", || {
            (seen(&wharf, &format!("n{number}")) == 1).then_some(())
        });
    }
    assert_eq!(seen(&wharf, "fail:poison"), 1);
}

fn a_request_is_replied_to(guest: &str) {
    let wharf = ready(&file(guest, ""));
    assert_eq!(ask(&wharf, "/request?t=t.a", "ask:me"), (200, "ask:me!".to_owned()));
    let (status, said) = ask(&wharf, "/request?t=nobody&ms=300", "ask:me");
    assert_eq!(status, 500, "{said}");
    assert!(said.contains("timeout") || said.contains("nobody"), "{said}");
}

fn a_handler_publishes(guest: &str) {
    let wharf = ready(&file(guest, ""));
    publish(&wharf, "t.a", "pass:other:further");
    handed(&wharf, "further", 1);
}

fn sigterm_lets_a_handler_finish(guest: &str) {
    let mut wharf = ready(&file(guest, ""));
    publish(&wharf, "t.a", "slow:x");
    eventually("it is being handled", || (seen(&wharf, "slow:x") == 1).then_some(()));
    wharf.program.signal(Signal::SIGTERM);
    assert_eq!(wharf.program.end().code(), Some(0));
    let lines = wharf.program.errors();
    assert!(!lines.iter().any(|line| line.contains("not finished")), "{lines:?}");
}

#[test]
fn what_is_said_of_a_message_comes_with_it() {
    let wharf = deploy(&file("messages-draft", ""));
    let path = "/publish?t=t.a&type=text/plain&h=b:1&h=a:two%20words&h=b:3";
    assert_eq!(ask(&wharf, path, "x"), (200, String::new()));
    handed(&wharf, "x", 1);
    assert_eq!(wharf.text("/seen?k=what/x"), "t.a text/plain b=1 a=two words b=3");
}

#[test]
fn what_cannot_be_is_told_to_the_component() {
    let wharf = deploy(&file("messages-draft", ""));
    for (path, said) in [
        ("/publish?t=", "other: `` is no topic: it needs words between its dots"),
        ("/publish?t=a.*", "other: `a.*` is no topic: `*` and `>` stand in subscriptions alone"),
        ("/publish?t=a&h=n:x%0d%0ay", "has a control character"),
        ("/publish?t=a&binding=nowhere", "other: no binding is named `nowhere`"),
        ("/request?t=a&n=0", "other: a request waits for one reply at least"),
        ("/publish?t=_inbox.1-2-3", "other: this is no topic for replies"),
    ] {
        let (status, answer) = ask(&wharf, path, "x");
        assert_eq!(status, 500, "{path}: {answer}");
        assert!(answer.contains(said), "{path}: {answer}");
    }
    let (status, answer) = ask(&wharf, "/publish?t=a", &"x".repeat((8 << 20) + 1));
    assert!(status == 500 && answer.contains("at most 8388608 fit"), "{status} {answer}");
    let (_, answer) = ask(&wharf, "/resources?t=a", "");
    assert_eq!(
        answer,
        "Ok(()) Err(\"other: it was disconnected before\") \
         Err(\"other: the client was disconnected\")"
    );
}

#[test]
fn a_component_that_takes_no_messages_is_refused() {
    let folder = Folder::with(
        r#"
            name = "wrong"
            [component.web]
            source = "hello-p2.wasm"
            [[subscribe]]
            component = "web"
            topics = ["a"]
        "#,
    );
    let ended = folder.run(&["serve"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    let said = "component `web` takes no messages: it exports no `wasi:messaging/incoming-handler`";
    assert!(ended.errors.contains(said), "{}", ended.errors);
}

#[test]
fn messages_that_wait_are_handed_to_the_component_of_a_new_file() {
    let wharf = deploy(&file("messages-draft", "").replace("\"50ms\"", "\"500ms\""));
    publish(&wharf, "t.a", "fail2:x");
    eventually("it failed", || (seen(&wharf, "fail2:x") == 1).then_some(()));
    let next = file("messages-draft", "concurrency = 2").replace("\"50ms\"", "\"60ms\"");
    wharf.folder.deploy(&next);
    wharf.program.signal(Signal::SIGHUP);
    handed(&wharf, "fail2:x", 3);
}
