//! Messages that are being handled when their time is up, when the file changes, and when the host
//! stops or is lost.

use super::{handed, publish, seen};
use crate::support::{Folder, Served, deploy, eventually, pause};
use std::time::Duration;
use testkit::program::Signal;

/// One component that publishes and is handed what comes to `t`.
fn file(url: &str, more: &str) -> String {
    let app = format!("draining-{:x}", std::process::id());
    format!(
        r#"
            name = "{app}"
            [component.web]
            source = "messages-draft.wasm"
            [[http.route]]
            component = "web"
            [[subscribe]]
            component = "web"
            topics = ["t"]
            deadline = "1s"
            {more}
            [messaging]
            default = "{url}"
        "#
    )
}

fn handling(wharf: &Served, text: &str) {
    publish(wharf, "t", text);
    eventually("it is being handled", || (seen(wharf, text) == 1).then_some(()));
}

#[test]
fn a_handler_that_takes_longer_than_the_deadline_keeps_its_message() {
    for url in ["embedded:".to_owned(), testkit::servers::url("nats").unwrap()] {
        let wharf = deploy(&file(&url, ""));
        handling(&wharf, "sleep:3500:x");
        // It would have come again after one second, and after each further one.
        pause(Duration::from_secs(5));
        assert_eq!(seen(&wharf, "sleep:3500:x"), 1, "{url}");
    }
}

#[test]
fn a_reload_lets_a_handler_finish() {
    let wharf = deploy(&file("embedded:", ""));
    handling(&wharf, "sleep:2000:x");
    wharf.folder.deploy(&file("embedded:", "concurrency = 2"));
    wharf.program.signal(Signal::SIGHUP);
    wharf.program.wait_for("Reloaded");
    // The new subscription works while the old one finishes.
    publish(&wharf, "t", "next");
    handed(&wharf, "next", 1);
    pause(Duration::from_secs(4));
    assert_eq!(seen(&wharf, "sleep:2000:x"), 1);
}

#[test]
fn what_waits_is_handed_back_when_the_host_stops() {
    let mut wharf = deploy(&file("embedded:", "concurrency = 1\nprefetch = 8"));
    handling(&wharf, "sleep:1000:x");
    for number in 0..5 {
        publish(&wharf, "t", &format!("n{number}"));
    }
    wharf.program.signal(Signal::SIGTERM);
    assert_eq!(wharf.program.end().code(), Some(0));
    let lines = wharf.program.errors();
    assert!(!lines.iter().any(|line| line.contains("not finished")), "{lines:?}");
    let wharf = wharf.folder.serve(&[]);
    for number in 0..5 {
        handed(&wharf, &format!("n{number}"), 1);
    }
    assert_eq!(seen(&wharf, "sleep:1000:x"), 1);
}

#[test]
fn what_a_lost_host_was_handling_comes_again() {
    let mut wharf = deploy(&file("embedded:", ""));
    handling(&wharf, "sleep:1500:x");
    wharf.program.signal(Signal::SIGKILL);
    assert_eq!(wharf.program.end().code(), None);
    let wharf = wharf.folder.serve(&[]);
    handed(&wharf, "sleep:1500:x", 2);
}

#[test]
fn a_batch_is_for_components_that_take_several() {
    let folder = Folder::with(&file("memory:", "batch = 10"));
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    let said = "component `web` takes one message in a call: it exports \
                `wasi:messaging/incoming-handler@0.2.0-draft`";
    assert!(ended.errors.contains(said), "{}", ended.errors);
}
