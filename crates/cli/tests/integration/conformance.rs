//! `wharf conformance`: a server of the user's, held to the promises.

use crate::support::{Folder, eventually};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use testkit::program::{Program, Signal};

/// What Redis answers to one line.
fn redis(address: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[test]
fn a_server_is_held_to_every_promise_and_left_as_it_was() {
    let server = testkit::servers::redis_with(&[]);
    assert_eq!(redis(server.address(), "DBSIZE\r\n"), ":0\r\n");
    let ended = Folder::new().run(&["conformance", "keyvalue", &server.url()]);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.output, ended.errors);
    assert!(ended.output.starts_with("keyvalue on redis "), "{}", ended.output);
    assert!(ended.output.contains("kept   deleting_twice_is_fine"), "{}", ended.output);
    assert!(ended.output.trim_end().ends_with(" 0 broken"), "{}", ended.output);
    assert_eq!(redis(server.address(), "DBSIZE\r\n"), ":0\r\n", "nothing is left");
}

#[test]
fn further_keys_of_the_binding_can_be_set() {
    let cluster = testkit::servers::Cluster::shared();
    let node = &cluster.nodes[0];
    let try_with = |set: &[&str]| {
        let url = node.url();
        Folder::new().run(&[&["conformance", "keyvalue", &url], set].concat())
    };
    let ended = try_with(&["--set", "cluster=true", "--set", "shards = 4"]);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.output, ended.errors);
    assert!(ended.output.trim_end().ends_with(" 0 broken"), "{}", ended.output);
    let ended = try_with(&[]);
    assert!(ended.errors.contains("add `cluster = true`"), "{}", ended.errors);
    let ended = try_with(&["--set", "cluster"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert!(ended.errors.contains("is no key with a value"), "{}", ended.errors);
}

#[test]
fn programs_can_read_the_report() {
    let folder = Folder::new();
    let ended = folder.run(&["conformance", "keyvalue", "memory:", "--format", "json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let report: Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!((&report["backend"], &report["broken"]), (&"memory".into(), &0.into()));
    assert!(report["promises"].as_array().unwrap().len() > 50);
    assert_eq!(report["promises"][0]["kept"], true);
    let ended = folder.run(&["conformance", "keyvalue", "embedded:", "--format", "junit"]);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    assert!(ended.output.contains("<testsuite name=\"keyvalue on embedded"), "{}", ended.output);
    assert!(ended.output.contains("<testcase name=\"deleting_twice_is_fine\""), "{}", ended.output);
    assert!(!folder.path().join(".wharf").exists(), "it keeps to a folder of its own");
}

#[test]
fn a_server_that_is_away_or_refuses_is_no_broken_promise() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let folder = Folder::new();
    let url = format!("redis://:hunter2@{address}");
    let ended = folder.run(&["conformance", "keyvalue", &url]);
    assert_eq!(ended.code, Some(69), "{}", ended.errors);
    assert!(ended.errors.contains(&format!("redis {address}")), "{}", ended.errors);
    assert!(!ended.errors.contains("hunter2"), "{}", ended.errors);
    let ended = folder.run(&["conformance", "keyvalu", "memory:"]);
    assert_eq!(ended.code, Some(2), "{}", ended.errors);
    assert!(ended.errors.contains("no promises are known of `keyvalu`"), "{}", ended.errors);
    let ended = folder.run(&["conformance", "keyvalue", "radis://x"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert!(ended.errors.contains("did you mean `redis`?"), "{}", ended.errors);
}

#[test]
fn what_is_in_the_users_place_already_stays() {
    let server = testkit::servers::redis_with(&[]);
    let (address, url) = (server.address(), server.url());
    let folder = Folder::with(&format!(
        r#"
            name = "mine"
            [component.web]
            source = "kv-draft2.wasm"
            [[http.route]]
            component = "web"
            [keyvalue]
            default = {{ url = "{url}", prefix = "mine" }}
        "#
    ));
    let wharf = folder.serve(&[]);
    assert_eq!(wharf.get("/set?k=key&v=value").status, 200);
    let before = redis(address, "DBSIZE\r\n");
    let set = ["conformance", "keyvalue", &url, "--set", "prefix=mine"];
    let ended = wharf.folder.run(&set);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.output, ended.errors);
    assert_eq!(wharf.text("/get?k=key"), "value");
    assert_eq!(redis(address, "DBSIZE\r\n"), before);
    let ended = wharf.folder.run(&["conformance", "keyvalue", "embedded:mine.redb"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert!(ended.errors.contains("may have entries already"), "{}", ended.errors);
}

#[test]
fn a_signal_leaves_the_server_as_it_was() {
    let server = testkit::servers::redis_with(&[]);
    let folder = Folder::new();
    let mut trying = Program::start(&mut folder.wharf(&["conformance", "keyvalue", &server.url()]));
    eventually("something is tried", || {
        (redis(server.address(), "DBSIZE\r\n") != ":0\r\n").then_some(())
    });
    trying.signal(Signal::SIGINT);
    assert_eq!(trying.end().code(), Some(69));
    assert_eq!(redis(server.address(), "DBSIZE\r\n"), ":0\r\n", "nothing is left");
}

#[test]
fn a_cache_is_held_to_its_promises_and_left_as_it_was() {
    let server = testkit::servers::redis_with(&[]);
    let ended = Folder::new().run(&["conformance", "cache", &server.url()]);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.output, ended.errors);
    assert!(ended.output.trim_end().ends_with(" 0 broken"), "{}", ended.output);
    assert_eq!(redis(server.address(), "DBSIZE\r\n"), ":0\r\n", "nothing is left");
}
