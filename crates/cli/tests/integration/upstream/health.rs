//! Servers that are ill, by what they answer and by what they say when they are asked.

use super::file;
use crate::admin::{free, health};
use crate::support::server::{Server, nobody, reply};
use crate::support::{Served, deploy, eventually};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// A server that does what the switch says, and counts how often it was asked after its health.
fn switched() -> (Server, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (well, checks) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (switch, counted) = (Arc::clone(&well), Arc::clone(&checks));
    let server = Server::start(move |request| {
        if request.uri().path() == "/healthz" {
            assert_eq!(request.headers()["user-agent"], "wharf");
            counted.fetch_add(1, SeqCst);
        }
        let status = if switch.load(SeqCst) { 200 } else { 500 };
        async move { reply(status, "x") }
    });
    (server, well, checks)
}

fn watched(endpoints: &[SocketAddr], keys: &str) -> (Served, SocketAddr) {
    let admin = free();
    let more = format!("{keys}\n[http]\nadmin = \"{admin}\"");
    (deploy(&file(endpoints, &more)), admin)
}

/// How the servers do, in the order of the file.
fn states(admin: SocketAddr) -> Vec<String> {
    let value = health(admin);
    let servers = value["upstreams"]["up"]["servers"].as_array().unwrap().clone();
    servers.iter().map(|server| server["health"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_server_that_fails_again_and_again_is_left_alone_for_a_while() {
    let (bad, well, _) = switched();
    let good = Server::start(|_| async { reply(200, "x") });
    let keys = "ejection = { failures = 3, time = \"5s\" }";
    let (wharf, admin) = watched(&[bad.address, good.address], keys);
    well.store(false, SeqCst);
    let failed = (0..20).filter(|_| wharf.get("/").status == 500).count();
    assert_eq!(failed, 3);
    assert_eq!(states(admin), ["ejected", "well"]);
    let line = wharf.program.wait_for("left alone");
    assert!(line.contains(&bad.address.to_string()) && line.contains("up"), "{line}");
    well.store(true, SeqCst);
    let before = bad.requests();
    eventually("it is back", || {
        assert_eq!(wharf.get("/").status, 200);
        (bad.requests() > before).then_some(())
    });
    assert_eq!(states(admin), ["well", "well"]);
}

#[test]
fn servers_that_cannot_be_reached_are_left_alone_and_never_more_than_the_share() {
    let good = Server::start(|_| async { reply(200, "x") });
    let endpoints = [nobody(), nobody(), good.address];
    let keys = "ejection = { failures = 2, max-percent = 34 }\nretries = { attempts = 0 }";
    let (wharf, admin) = watched(&endpoints, keys);
    for _ in 0..30 {
        assert!([200, 502].contains(&wharf.get("/").status));
    }
    let ejected = states(admin).iter().filter(|state| *state == "ejected").count();
    assert_eq!(ejected, 1);
}

#[test]
fn a_server_that_says_that_it_is_ill_is_not_asked_until_it_is_well() {
    let (one, well, checks) = switched();
    let other = Server::start(|_| async { reply(200, "other") });
    let keys = "health = { path = \"/healthz\", interval = \"30ms\", healthy = 2, unhealthy = 2 }\n\
                ejection = { failures = 0 }";
    let (wharf, admin) = watched(&[one.address, other.address], keys);
    eventually("it is asked", || (checks.load(SeqCst) > 2).then_some(()));
    well.store(false, SeqCst);
    eventually("it is ill", || (states(admin) == ["ill", "well"]).then_some(()));
    for _ in 0..10 {
        assert_eq!(wharf.text("/"), "other");
    }
    let line = wharf.program.wait_for("a server is ill");
    assert!(line.contains("it answered 500") && line.contains("up"), "{line}");
    well.store(true, SeqCst);
    eventually("it is well", || (states(admin) == ["well", "well"]).then_some(()));
    wharf.program.wait_for("a server is well again");
}

#[test]
fn where_no_server_is_well_the_client_may_come_again() {
    let (server, well, _) = switched();
    well.store(false, SeqCst);
    let keys = "health = { path = \"/healthz\", interval = \"30ms\", unhealthy = 1 }";
    let (wharf, admin) = watched(&[server.address], keys);
    eventually("it is ill", || (states(admin) == ["ill"]).then_some(()));
    let answer = wharf.get("/");
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    wharf.program.wait_for("no server of the upstream is well");
}

#[test]
fn questions_go_over_connections_of_their_own() {
    let (server, _, checks) = switched();
    let keys = "health = { path = \"/healthz\", interval = \"20ms\" }";
    let (wharf, _) = watched(&[server.address], keys);
    eventually("several questions", || (checks.load(SeqCst) > 5).then_some(()));
    // One for all of them, which none of the requests uses.
    assert_eq!(server.connections(), 1);
    assert_eq!(wharf.get("/").status, 200);
    assert_eq!(server.connections(), 2);
}

#[test]
fn the_operator_sees_how_requests_ended() {
    let server = Server::start(|request| async move {
        match request.uri().path() {
            "/slow" => std::future::pending().await,
            "/bad" => reply(500, "x"),
            _ => reply(200, "x"),
        }
    });
    let keys = "request-timeout = \"300ms\"";
    let (wharf, admin) = watched(&[server.address], keys);
    for (path, status) in [("/", 200), ("/", 200), ("/bad", 500), ("/slow", 504)] {
        assert_eq!(wharf.get(path).status, status, "{path}");
    }
    let up: Value = health(admin)["upstreams"]["up"].clone();
    assert_eq!((&up["answered"], &up["timed-out"]), (&3.into(), &1.into()));
    assert_eq!(
        (&up["failed"], &up["turned-away"], &up["retried"]),
        (&0.into(), &0.into(), &0.into())
    );
    let server_state = &up["servers"][0];
    assert_eq!(server_state["server"], server.address.to_string());
    assert_eq!((&server_state["health"], &server_state["active"]), (&"well".into(), &0.into()));
}
