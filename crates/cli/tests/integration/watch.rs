//! Components that are told of changes.

use crate::support::{Served, deploy, eventually, pause, promises};
use std::time::Duration;

promises!([
    changes_are_told,
    only_what_is_watched_is_told,
] of kv_watch_draft, kv_watch_draft2, kv_watch_old, kv_watch_wasmcloud);

fn watched(guest: &str, what: &str) -> Served {
    watched_in("embedded:", guest, what)
}

fn watched_in(url: &str, guest: &str, what: &str) -> Served {
    deploy(&format!(
        r#"
            name = "watched-{guest}"
            [keyvalue]
            default = "{url}"
            [component.web]
            source = "kv-draft2.wasm"
            [component.watcher]
            source = "{guest}.wasm"
            [[http.route]]
            component = "web"
            [[watch]]
            component = "watcher"
            {what}
        "#
    ))
}

/// Waits until the watcher noted this of a key.
fn seen(wharf: &Served, key: &str, note: &str) {
    eventually(&format!("{key} is {note}"), || {
        (wharf.get(&format!("/get?k=seen/{key}")).text() == note).then_some(())
    });
}

fn changes_are_told(guest: &str) {
    told(&watched(guest, ""), guest);
}

#[test]
fn every_backend_has_changes_told() {
    for entry in keyvalue::BACKENDS {
        let url = testkit::servers::url(entry.name).unwrap_or_else(|| format!("{}:", entry.name));
        told(&watched_in(&url, "kv-watch-draft2", ""), "kv-watch-draft2");
    }
}

fn told(wharf: &Served, guest: &str) {
    for text in ["one", "eleven"] {
        assert_eq!(wharf.get(&format!("/set?k=a&v={text}")).status, 200);
        // The older draft is handed the value as a resource, of which it notes the length.
        let length = text.len().to_string();
        seen(wharf, "a", if guest == "kv-watch-old" { &length } else { text });
    }
    assert_eq!(wharf.get("/delete?k=a").status, 200);
    seen(wharf, "a", "(deleted)");
}

fn only_what_is_watched_is_told(guest: &str) {
    let some = |note: &'static str| if guest == "kv-watch-old" { "1" } else { note };
    for (what, told) in [("prefix = \"user:\"", "user:b"), ("keys = [\"b\", \"c\"]", "b")] {
        let wharf = watched(guest, what);
        assert_eq!(wharf.get("/set?k=a&v=x").status, 200);
        assert_eq!(wharf.get(&format!("/set?k={told}&v=x")).status, 200);
        seen(&wharf, told, some("x"));
        pause(Duration::from_millis(200));
        assert_eq!(wharf.get("/get?k=seen/a").status, 404);
    }
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
