//! Copies of requests for another upstream.

use crate::support::client::{Connection, get, post};
use crate::support::server::{Server, echo, nobody, reply};
use crate::support::{Served, deploy, eventually};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn gateway(main: SocketAddr, shadow: SocketAddr, percent: u8) -> Served {
    deploy(&format!(
        "name = \"gateway\"\n[[http.route]]\nupstream = \"up\"\nmirror = \"shadow\"\n\
         mirror-percent = {percent}\n[upstream.up]\nendpoints = \"{main}\"\n\
         [upstream.shadow]\nendpoints = \"{shadow}\"\n"
    ))
}

/// What a server was asked: method, path, a field, and the body.
type Heard = Arc<Mutex<Vec<(String, String, String, usize)>>>;

fn listening() -> (Server, Heard) {
    let heard = Heard::default();
    let kept = Arc::clone(&heard);
    let server = Server::start(move |request| {
        let kept = Arc::clone(&kept);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_or(usize::MAX, |body| body.to_bytes().len());
            let field = head.headers.get("x-forwarded-for").cloned();
            let field = field.map_or(String::new(), |field| field.to_str().unwrap().to_owned());
            let (method, path) = (head.method.to_string(), head.uri.path().to_owned());
            kept.lock().unwrap().push((method, path, field, body));
            reply(500, "nobody sees this")
        }
    });
    (server, heard)
}

#[test]
fn a_copy_is_what_was_sent_and_its_answer_is_nobodys() {
    let (main, (shadow, heard)) = (Server::start(echo), listening());
    let wharf = gateway(main.address, shadow.address, 100);
    let whole = Bytes::from(vec![b'x'; 500_000]);
    for (connect, number) in [Connection::http1, Connection::http2].into_iter().zip(1..) {
        let mut connection = connect(wharf.address).unwrap();
        assert_eq!(connection.send(get("/a?b")).unwrap().status, 200);
        let answer = connection.send(post("/c", whole.clone())).unwrap();
        assert!(answer.status == 200 && answer.body == whole);
        eventually("both copies", || (heard.lock().unwrap().len() == 2 * number).then_some(()));
    }
    let mut heard = heard.lock().unwrap().clone();
    heard.sort();
    heard.dedup();
    let one = |method: &str, path: &str, length| {
        (method.to_owned(), path.to_owned(), "127.0.0.1".to_owned(), length)
    };
    assert_eq!(heard, [one("GET", "/a", 0), one("POST", "/c", whole.len())]);
}

#[test]
fn a_shadow_that_is_gone_or_stuck_slows_nobody() {
    let main = Server::start(echo);
    let stuck = Server::start(|_| std::future::pending());
    for shadow in [nobody(), stuck.address] {
        let wharf = gateway(main.address, shadow, 100);
        let whole = Bytes::from(vec![b'x'; 20_000_000]);
        let mut connection = Connection::http1(wharf.address).unwrap();
        for _ in 0..3 {
            let answer = connection.send(post("/", whole.clone())).unwrap();
            assert!(answer.status == 200 && answer.body.len() == whole.len());
        }
        assert!(wharf.program.memory() < 200 << 20, "{}", wharf.program.memory());
    }
}

#[test]
fn copies_end_when_the_program_stops() {
    let main = Server::start(echo);
    let stuck = Server::start(|_| std::future::pending());
    let mut wharf = gateway(main.address, stuck.address, 100);
    assert_eq!(wharf.get("/").status, 200);
    eventually("a copy", || (stuck.requests() == 1).then_some(()));
    wharf.program.signal(testkit::program::Signal::SIGTERM);
    assert_eq!(wharf.program.end().code(), Some(0));
    let lines = wharf.program.errors();
    assert!(!lines.iter().any(|line| line.contains("not finished")), "{lines:?}");
}

#[test]
fn a_share_of_the_requests_is_copied() {
    let (main, (shadow, _)) = (Server::start(echo), listening());
    for (percent, range) in [(0, 0..=0), (50, 20..=80)] {
        let wharf = gateway(main.address, shadow.address, percent);
        let mut connection = Connection::http1(wharf.address).unwrap();
        let before = shadow.requests();
        for _ in 0..100 {
            assert_eq!(connection.send(get("/")).unwrap().status, 200);
        }
        crate::support::pause(Duration::from_millis(500));
        let copied = shadow.requests() - before;
        assert!(range.contains(&copied), "{percent}: {copied}");
    }
}
