//! `wharf conformance`: a server of the user's, held to the promises.

use crate::support::{Folder, Served, deploy, eventually};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use testkit::program::{Program, Signal};
use testkit::servers::{
    CACHES, Cluster, NatsCluster, Sentinels, Server, VENDORS, Vendor, etcd_cluster,
};

/// Tries something on a server of each vendor, on all of them at once.
fn on_each(vendors: &'static [Vendor], attempt: fn(&'static Vendor, &Server)) {
    std::thread::scope(|scope| {
        for vendor in vendors {
            let attempt = move || attempt(vendor, &(vendor.start)());
            let named = std::thread::Builder::new().name(vendor.name.to_owned());
            named.spawn_scoped(scope, attempt).unwrap();
        }
    });
}

/// The key that says where a binding's entries are.
fn place(vendor: &Vendor) -> &'static str {
    match vendor.name {
        "etcd" | "redis" => "prefix",
        "mysql" | "postgres" => "table",
        "nats" => "bucket",
        other => panic!("where are the entries in {other}?"),
    }
}

/// A binding of the user's in the place `mine`, with an entry.
fn mine(vendor: &Vendor, server: &Server) -> Served {
    let url = (vendor.url)(server.address());
    with_an_entry(&format!("url = '{url}', {} = 'mine'", place(vendor)))
}

/// A binding with these settings, and an entry in it.
fn with_an_entry(settings: &str) -> Served {
    let wharf = deploy(&format!(
        r#"
            name = "mine"
            [component.web]
            source = "kv-draft2.wasm"
            [[http.route]]
            component = "web"
            [keyvalue]
            default = {{ {settings} }}
        "#
    ));
    assert_eq!(wharf.get("/set?k=key&v=value").status, 200);
    wharf
}

#[test]
fn every_server_is_held_to_every_promise_and_left_as_it_was() {
    on_each(VENDORS, |vendor, server| {
        let wharf = mine(vendor, server);
        let before = (vendor.kept)(server.address());
        assert!(!before.is_empty(), "{}", vendor.name);
        let (url, set) = ((vendor.url)(server.address()), format!("{}=mine", place(vendor)));
        let ended = Folder::new().run(&["conformance", "keyvalue", &url, "--set", &set]);
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.output, ended.errors);
        let begins = format!("keyvalue on {} ", vendor.name);
        // MariaDB says which of the two it is.
        let begins = if vendor.name == "mysql" { "keyvalue on mariadb " } else { &begins };
        assert!(ended.output.starts_with(begins), "{}", ended.output);
        assert!(ended.output.contains("kept   deleting_twice_is_fine"), "{}", ended.output);
        assert!(ended.output.trim_end().ends_with(" 0 broken"), "{}", ended.output);
        assert_eq!((vendor.kept)(server.address()), before, "{}", vendor.name);
        assert_eq!(wharf.text("/get?k=key"), "value", "{}", vendor.name);
    });
}

/// Servers that stand behind one binding, of a vendor that stands behind others alone.
struct Together {
    vendor: &'static str,
    settings: String,
    nodes: Vec<SocketAddr>,
}

impl Together {
    fn are_left_as_they_were(&self) {
        let Self { vendor: name, settings, nodes } = self;
        let vendor = VENDORS.iter().find(|vendor| vendor.name == *name).unwrap();
        let wharf = with_an_entry(&format!("{settings}, {} = 'mine'", place(vendor)));
        let kept =
            || -> BTreeSet<String> { nodes.iter().flat_map(|node| (vendor.kept)(*node)).collect() };
        let before = kept();
        assert!(!before.is_empty(), "{name}");
        let binding: toml::Table = toml::from_str(&format!("it = {{ {settings} }}")).unwrap();
        let mut keys = binding["it"].as_table().unwrap().clone();
        let url = keys.remove("url").unwrap();
        let set: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut arguments = vec!["conformance", "keyvalue", url.as_str().unwrap()];
        arguments.extend(set.iter().flat_map(|set| ["--set", set]));
        let ended = Folder::new().run(&arguments);
        assert_eq!(ended.code, Some(0), "{name}\n{}\n{}", ended.output, ended.errors);
        assert!(ended.output.trim_end().ends_with(" 0 broken"), "{}", ended.output);
        // A replica hears a little later.
        eventually("only what was there is there", || (kept() == before).then_some(()));
        assert_eq!(wharf.text("/get?k=key"), "value", "{name}");
    }
}

#[test]
fn servers_that_stand_together_are_held_to_every_promise_and_left_as_they_were() {
    let addresses = |servers: &[Server]| servers.iter().map(Server::address).collect::<Vec<_>>();
    let cluster = || {
        let cluster = Cluster::start();
        let (settings, nodes) = (cluster.settings(), addresses(&cluster.nodes));
        Together { vendor: "redis", settings, nodes }.are_left_as_they_were();
    };
    let sentinels = || {
        let servers = Sentinels::start();
        let nodes = vec![servers.master.address(), servers.replica.address()];
        let settings = servers.settings();
        Together { vendor: "redis", settings, nodes }.are_left_as_they_were();
    };
    let nats = || {
        let cluster = NatsCluster::start();
        let (settings, nodes) = (cluster.settings(), addresses(&cluster.nodes));
        Together { vendor: "nats", settings, nodes }.are_left_as_they_were();
    };
    let etcd = || {
        let cluster = etcd_cluster();
        let (settings, nodes) = (cluster.settings(), cluster.addresses());
        Together { vendor: "etcd", settings, nodes }.are_left_as_they_were();
    };
    std::thread::scope(|scope| {
        for attempt in [&cluster as &(dyn Fn() + Sync), &sentinels, &nats, &etcd] {
            scope.spawn(attempt);
        }
    });
}

#[test]
fn further_keys_of_the_binding_can_be_set() {
    let cluster = Cluster::start();
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
fn a_file_of_the_users_is_not_touched() {
    let ended = Folder::new().run(&["conformance", "keyvalue", "embedded:mine.redb"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert!(ended.errors.contains("may have entries already"), "{}", ended.errors);
}

#[test]
fn a_signal_leaves_the_server_as_it_was() {
    on_each(VENDORS, |vendor, server| {
        let (address, url) = (server.address(), (vendor.url)(server.address()));
        let wharf = mine(vendor, server);
        let before = (vendor.kept)(address);
        let folder = Folder::new();
        let mut trying = Program::start(&mut folder.wharf(&["conformance", "keyvalue", &url]));
        eventually("something is tried", || ((vendor.kept)(address) != before).then_some(()));
        trying.signal(Signal::SIGINT);
        assert_eq!(trying.end().code(), Some(69), "{}", vendor.name);
        assert_eq!((vendor.kept)(address), before, "{}", vendor.name);
        assert_eq!(wharf.text("/get?k=key"), "value", "{}", vendor.name);
    });
}

#[test]
fn a_cache_is_held_to_its_promises_and_left_as_it_was() {
    on_each(CACHES, |vendor, server| {
        let ended = Folder::new().run(&["conformance", "cache", &(vendor.url)(server.address())]);
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.output, ended.errors);
        assert!(ended.output.trim_end().ends_with(" 0 broken"), "{}", ended.output);
        assert_eq!((vendor.kept)(server.address()), BTreeSet::new(), "{}", vendor.name);
    });
}
