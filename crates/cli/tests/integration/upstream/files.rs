//! What `wharf check` says of upstreams.

use crate::support::Folder;
use serde_json::{Value, json};

const FILE: &str = r#"
    name = "gateway"
    [[http.route]]
    upstream = "legacy"
    mirror = "shadow"
    mirror-percent = 10
    [[http.route]]
    path = "/new"
    component = "web"
    [component.web]
    source = "hello-p2.wasm"
    [upstream.legacy]
    endpoints = ["127.0.0.1:9000", "https://[::1]:8443", "host.example:80"]
    balance = "ring-hash"
    hash-on = "header:X-User"
    [upstream.shadow]
    endpoints = "127.0.0.1:9001"
"#;

#[test]
fn upstreams_are_listed() {
    let folder = Folder::with(FILE);
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    for line in [
        "upstream legacy = ring-hash on header:x-user of 127.0.0.1:9000, https://[::1]:8443, \
         host.example:80",
        "upstream shadow = round-robin of 127.0.0.1:9001",
        "route */ -> upstream legacy, 10% copied to shadow",
        "route */new -> web",
    ] {
        assert!(ended.output.lines().any(|said| said == line), "{line}\n{}", ended.output);
    }
    let ended = folder.run(&["check", "--format", "json"]);
    let value: Value = serde_json::from_str(&ended.output).unwrap();
    let shadow =
        json!({ "name": "shadow", "balance": "round-robin", "endpoints": ["127.0.0.1:9001"] });
    assert_eq!(value["upstreams"][1], shadow);
    assert_eq!(value["routes"][1]["leads-to"], "web");
}

#[test]
fn mistakes_stand_under_their_lines() {
    let folder = Folder::with(&FILE.replace("\"legacy\"", "\"legasy\""));
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(64));
    assert!(ended.errors.contains("unknown upstream `legasy`"), "{}", ended.errors);
    assert!(ended.errors.contains("did you mean `legacy`?"), "{}", ended.errors);
    assert!(ended.errors.contains("wharf.toml:4:16"), "{}", ended.errors);
}
