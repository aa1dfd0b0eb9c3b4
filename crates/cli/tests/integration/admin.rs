//! The operator's address.

use crate::support::client::{Connection, get, request};
use crate::support::{Folder, deploy, eventually, serve};
use http_body_util::{BodyExt as _, Empty};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use testkit::program::Signal;

const HEALTH: &str = "/.well-known/wharf/health";

/// An address that was free a moment ago. No other test's server is at this one.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap()
}

/// What the address says.
pub(crate) fn health(admin: SocketAddr) -> Value {
    let answer = Connection::http1(admin).unwrap().send(get(HEALTH)).unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

fn file(admin: SocketAddr, more: &str) -> String {
    format!(
        r#"
            name = "watched"
            [component.web]
            source = "hello-p2.wasm"
            {more}
            [http]
            admin = "{admin}"
            [[http.route]]
            component = "web"
        "#
    )
}

#[test]
fn health_is_on_an_address_of_its_own_and_only_there() {
    let admin = free();
    let wharf = deploy(&file(admin, ""));
    let mut connection = Connection::http1(admin).unwrap();
    let answer = connection.send(get(HEALTH)).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let value: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&value["status"], &value["app"]), (&"ok".into(), &"watched".into()));
    assert_eq!(value["file"], "current");
    assert!(value["guest-memory"].is_u64());
    assert_eq!(value["requests"]["web"]["answered"], 0);
    assert_eq!(connection.send(get("/")).unwrap().status, 404);
    let post = request("POST", HEALTH, Empty::new().boxed());
    assert_eq!(connection.send(post).unwrap().status, 405);
    // To everyone else it is a path like any other.
    assert_eq!(wharf.text(HEALTH), "Hello, world");
}

#[test]
fn metrics_are_told_as_prometheus_reads_them() {
    let admin = free();
    let filter = "[filter.counts]\nsource = \"filter-metrics.wasm\"\n\
                  configuration = { name = \"mine\" }";
    let file = file(admin, filter).replace("admin =", "filters = [\"counts\"]\nadmin =");
    let wharf = deploy(&file);
    for _ in 0..3 {
        wharf.text("/");
    }
    let mut connection = Connection::http1(admin).unwrap();
    let answer = connection.send(get("/.well-known/wharf/metrics")).unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    for line in [
        "# TYPE wharf_requests_total counter",
        "wharf_requests_total{component=\"web\",outcome=\"answered\"} 3",
        "wharf_requests_total{component=\"web\",outcome=\"failed\"} 0",
        "# TYPE wharf_guest_memory_bytes gauge",
        "wharf_filter_mine_requests 3",
        "wharf_filter_mine_last_status 200",
        "wharf_filter_mine_body_bytes_count 3",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
}

#[test]
fn it_is_off_unless_asked_for() {
    assert_eq!(serve("hello-p2").text(HEALTH), "Hello, world");
}

#[test]
fn health_tells_that_the_new_file_is_wrong() {
    let admin = free();
    let wharf = deploy(&file(admin, ""));
    wharf.folder.deploy(&file(admin, "keyvalu = []"));
    wharf.program.signal(Signal::SIGHUP);
    eventually("the file is older", || {
        let answer = Connection::http1(admin).ok()?.send(get(HEALTH)).ok()?;
        answer.text().contains("\"file\":\"older: the new one is wrong\"").then_some(())
    });
}

#[test]
fn health_and_requests_are_answered_while_a_new_file_is_compiled() {
    let admin = free();
    let file = file(admin, "");
    let wharf = Folder::with(&file).serve(&["--no-cache"]);
    wharf.folder.deploy(&file.replace("hello-p2", "hello-python"));
    wharf.program.signal(Signal::SIGHUP);
    wharf.program.wait_for("Compiling web (");
    let answer = Connection::http1(admin).unwrap().send(get(HEALTH)).unwrap();
    assert!(answer.text().contains("\"file\":\"current\""), "{}", answer.text());
    assert_eq!(wharf.text("/"), "Hello, world");
    let lines = wharf.program.errors();
    assert!(!lines.iter().any(|line| line.starts_with("Reloaded")), "{lines:?}");
}

#[test]
fn an_admin_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = taken.local_addr().unwrap();
    let folder = Folder::with(&file(admin, ""));
    let ended = folder.run(&["serve", "--addr", "127.0.0.1:0"]);
    assert_eq!(ended.code, Some(69));
    assert!(ended.errors.contains(&admin.to_string()), "{}", ended.errors);
}
