//! Limits of calls and bodies, and what clients are told beyond them.

use crate::admin::{free, health};
use crate::support::client::{Connection, Opened, ask, beside, get, pieces, post, request, wait};
use crate::support::raw::Raw;
use crate::support::{Served, deploy, eventually, pause};
use bytes::Bytes;
use hyper::body::Frame;
use std::time::Duration;

fn limited(guest: &str, limits: &str) -> Served {
    deploy(&file(guest, limits))
}

fn file(guest: &str, limits: &str) -> String {
    format!(
        r#"
            name = "limited"
            [component.web]
            source = "{guest}.wasm"
            limits = {{ {limits} }}
            [[http.route]]
            component = "web"
        "#
    )
}

/// Takes the only place, until dropped. The head of the answer shows that it has it.
fn occupy(wharf: &Served) -> (Connection, Opened) {
    let mut connection = Connection::http1(wharf.address).unwrap();
    let answer = connection.open(get("/slow-body")).unwrap();
    (connection, answer)
}

#[test]
fn beyond_concurrency_and_queue_is_503_at_once() {
    let (admin, limits) = (free(), "concurrency = 1, queue = 0, request-timeout = '5m'");
    let file = file("hostile-p2", limits);
    let wharf = deploy(&format!("{file}\n[http]\nadmin = \"{admin}\"\n"));
    let _place = occupy(&wharf);
    let answer = wharf.get("/good");
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.text(), "the component is at its limit\n");
    let counted = &health(admin)["requests"]["web"];
    assert_eq!((&counted["answered"], &counted["turned-away"]), (&1.into(), &1.into()));
}

#[test]
fn a_call_waits_for_a_place_before_it_is_turned_away() {
    let limits = "concurrency = 1, queue = 1, queue-timeout = '6s', request-timeout = '5m'";
    let wharf = limited("hostile-p3", limits);
    let place = occupy(&wharf);
    // One waits, and any more are turned away at once.
    let first = beside(ask(wharf.address, get("/good")));
    eventually("a full queue", || (wharf.get("/good").status == 503).then_some(()));
    let waited = wait(first).unwrap().unwrap();
    assert_eq!((waited.status, waited.header("retry-after")), (503, "1"));

    // Who waits gets the place that becomes free.
    let second = beside(ask(wharf.address, get("/good")));
    pause(Duration::from_millis(300));
    drop(place);
    assert_eq!(wait(second).unwrap().unwrap().text(), "fine");
}

#[test]
fn a_request_that_says_it_is_too_long_is_413() {
    let wharf = limited("http-echo-p2", "request-body = '64KiB'");
    for connect in [Connection::http1, Connection::http2] {
        let fits = connect(wharf.address).unwrap().send(post("/", vec![b'x'; 65_536])).unwrap();
        assert_eq!((fits.status, fits.body.len()), (200, 65_536));
        let long = connect(wharf.address).unwrap().send(post("/", vec![b'x'; 65_537])).unwrap();
        assert_eq!((long.status, long.text().as_str()), (413, "the request body is too long\n"));
    }
}

#[test]
fn a_request_that_turns_out_too_long_never_arrives_whole() {
    for guest in ["http-echo-p2", "http-echo-p3"] {
        let wharf = limited(guest, "request-body = '64KiB'");
        for connect in [Connection::http1, Connection::http2] {
            let (sender, body) = pieces();
            for _ in 0..100 {
                sender.unbounded_send(Frame::data(Bytes::from(vec![b'x'; 4096]))).unwrap();
            }
            drop(sender);
            let answer = connect(wharf.address).unwrap().send(request("POST", "/", body));
            let told = answer.as_ref().is_ok_and(|it| it.status == 413 || it.status == 500);
            let said = answer.as_ref().map(|it| (it.version, it.status, it.body.len()));
            assert!(told || answer.is_err(), "{guest}: {said:?}");
        }
        assert_eq!(wharf.get("/").status, 200);
    }
}

#[test]
fn a_body_that_never_comes_has_its_deadline() {
    for guest in ["http-stream-p2", "http-stream-p3"] {
        let wharf = limited(guest, "request-timeout = '1s', concurrency = 1, queue = 0");
        let mut raw = Raw::connect(wharf.address);
        raw.send("POST /count HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf");
        let heard = raw.listen(Duration::from_secs(30));
        assert!(heard.closed, "{guest}: {}", heard.text());
        // The guest had begun its answer; its end is missing.
        assert!(!heard.text().ends_with("0\r\n\r\n"), "{guest}: {}", heard.text());
        eventually("the place is free", || (wharf.get("/bytes?n=1").status == 200).then_some(()));
    }
}

#[test]
fn limits_hold_for_one_component_alone() {
    let wharf = deploy(
        r#"
            name = "two"
            [component.narrow]
            source = "http-echo-p2.wasm"
            limits = { request-body = "1KiB" }
            [component.wide]
            source = "http-echo-p2.wasm"
            [[http.route]]
            path = "/narrow"
            component = "narrow"
            [[http.route]]
            path = "/wide"
            component = "wide"
        "#,
    );
    for (path, status) in [("/narrow", 413), ("/wide", 200)] {
        let mut connection = Connection::http1(wharf.address).unwrap();
        assert_eq!(connection.send(post(path, vec![0; 2048])).unwrap().status, status, "{path}");
    }
}

#[test]
fn memory_is_bounded_for_each_component() {
    let wharf = limited("hostile-p2", "memory = '8MiB'");
    assert_eq!(wharf.get("/memory").status, 500);
    let wharf = limited("hostile-p2", "memory = '64KiB'");
    assert_eq!(wharf.get("/good").status, 500, "an instance that does not fit is not made");
}
