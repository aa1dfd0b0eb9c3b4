//! Components that are told of changes.

use crate::support::{Served, deploy, eventually, pause, promises};
use std::fs;
use std::time::{Duration, Instant};
use testkit::program::{PATIENCE, Signal};

promises!([
    changes_are_told,
    only_what_is_watched_is_told,
] of kv_watch_draft, kv_watch_draft2, kv_watch_old, kv_watch_wasmcloud);

fn watched(guest: &str, what: &str) -> Served {
    deploy(&file("embedded:", guest, "", what))
}

/// A watch beside a component that changes keys; `more` is of the watch's component.
fn file(url: &str, guest: &str, more: &str, what: &str) -> String {
    format!(
        r#"
            name = "watched-{guest}"
            [keyvalue]
            default = "{url}"
            [component.web]
            source = "kv-draft2.wasm"
            [component.watcher]
            source = "{guest}.wasm"
            {more}
            [[http.route]]
            component = "web"
            [[watch]]
            component = "watcher"
            {what}
        "#
    )
}

/// Waits until the watcher noted this of a key, which is changed before each look.
fn seen_after(change: impl Fn(), wharf: &Served, key: &str, note: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        change();
        let noted = wharf.get(&format!("/get?k=seen/{key}"));
        if noted.text() == note {
            return;
        }
        if Instant::now() > end {
            let file = fs::read_to_string(wharf.folder.path().join("wharf.toml")).unwrap();
            let (noted, log) = (noted.text(), wharf.program.errors().join("\n"));
            panic!("of `{key}` was noted `{noted}` and not `{note}`; the log:\n{log}\nof{file}");
        }
        pause(Duration::from_millis(20));
    }
}

/// Waits until the watcher noted this of a key.
fn seen(wharf: &Served, key: &str, note: &str) {
    seen_after(|| {}, wharf, key, note);
}

fn changes_are_told(guest: &str) {
    told(&watched(guest, ""), guest);
}

#[test]
fn every_backend_has_changes_told() {
    for entry in keyvalue::BACKENDS {
        let url = testkit::servers::url(entry.name).unwrap_or_else(|| format!("{}:", entry.name));
        told(&deploy(&file(&url, "kv-watch-draft2", "", "")), "kv-watch-draft2");
    }
}

fn told(wharf: &Served, guest: &str) {
    for text in ["one", "eleven"] {
        // The older draft is handed the value as a resource, of which it notes the length.
        let length = text.len().to_string();
        let note = if guest == "kv-watch-old" { &length } else { text };
        // A server may take a while to say that it is watched.
        let set = || assert_eq!(wharf.get(&format!("/set?k=a&v={text}")).status, 200);
        seen_after(set, wharf, "a", note);
    }
    assert_eq!(wharf.get("/delete?k=a").status, 200);
    seen(wharf, "a", "(deleted)");
}

fn only_what_is_watched_is_told(guest: &str) {
    let some = |note: &'static str| if guest == "kv-watch-old" { "1" } else { note };
    for (what, told) in [("prefix = \"user:\"", "user:b"), ("keys = [\"b\", \"c\"]", "b")] {
        let wharf = watched(guest, what);
        // A change before the watch has begun is none of its changes.
        let set = || {
            assert_eq!(wharf.get("/set?k=a&v=x").status, 200);
            assert_eq!(wharf.get(&format!("/set?k={told}&v=x")).status, 200);
        };
        seen_after(set, &wharf, told, some("x"));
        pause(Duration::from_millis(200));
        assert_eq!(wharf.get("/get?k=seen/a").status, 404);
    }
}

#[test]
fn sigterm_lets_a_call_finish() {
    let slow = "environment = { WATCH_MS = \"1500\" }";
    let mut wharf = deploy(&file("embedded:", "kv-watch-draft2", slow, ""));
    // A change before the watch has begun is none of its changes.
    eventually("a call is in the middle", || {
        assert_eq!(wharf.get("/set?k=a&v=x").status, 200);
        let lines = wharf.program.errors();
        lines.iter().any(|line| line.contains("told of a")).then_some(())
    });
    wharf.program.signal(Signal::SIGTERM);
    assert_eq!(wharf.program.end().code(), Some(0));
    wharf.folder.deploy(&file("embedded:", "kv-watch-draft2", slow, "keys = [\"none\"]"));
    let after = wharf.folder.serve(&[]);
    assert_eq!(after.text("/get?k=seen/a"), "x");
}

#[test]
fn a_component_that_cannot_be_told_is_a_mistake() {
    let folder = crate::support::Folder::with(
        r#"
            name = "deaf"
            [component.web]
            source = "hello-p2.wasm"
            [[watch]]
            component = "web"
        "#,
    );
    for verb in ["serve", "check"] {
        let ended = folder.run(&[verb]);
        assert_eq!(ended.code, Some(64), "{}", ended.errors);
        assert!(ended.errors.contains("exports no `wasi:keyvalue/watcher`"), "{}", ended.errors);
    }
}
