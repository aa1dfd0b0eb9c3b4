//! Clients that hold on, flood or vanish: they are dropped, and others are served.

use crate::support::client::{Connection, get};
use crate::support::raw::Raw;
use crate::support::{Served, deploy, eventually};
use std::time::{Duration, Instant};

mod http2;

const WITHIN: Duration = Duration::from_secs(60);

/// A server without much patience.
fn impatient(guest: &str) -> Served {
    deploy(&format!(
        r#"
            name = "impatient"
            [component.web]
            source = "{guest}.wasm"
            limits = {{ concurrency = 1, queue = 0, request-timeout = "2s" }}
            [http]
            header-timeout = "1s"
            write-timeout = "1s"
            max-connections = 50
            [[http.route]]
            component = "web"
        "#
    ))
}

fn serves(wharf: &Served) {
    eventually("a good answer", || {
        wharf.try_get("/bytes?n=3").is_ok_and(|it| it.status == 200).then_some(())
    });
}

#[test]
fn whoever_says_nothing_is_dropped() {
    let wharf = impatient("http-stream-p2");
    for bytes in ["", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: x\r\n", "PRI * HT"] {
        let mut raw = Raw::connect(wharf.address);
        raw.send(bytes);
        assert!(raw.listen(WITHIN).closed, "still open after {bytes:?}");
    }
    serves(&wharf);
}

#[test]
fn whoever_says_one_letter_at_a_time_is_dropped() {
    let wharf = impatient("http-stream-p2");
    let mut raw = Raw::connect(wharf.address);
    raw.send("GET / HTTP/1.1\r\nhost: x\r\nx-long: ");
    let begun = Instant::now();
    while !raw.listen(Duration::from_millis(200)).closed {
        raw.send("x");
        assert!(begun.elapsed() < WITHIN, "still open");
    }
    serves(&wharf);
}

#[test]
fn a_connection_that_is_not_used_is_closed() {
    let wharf = impatient("http-stream-p2");
    let mut raw = Raw::connect(wharf.address);
    raw.send("GET /bytes?n=3 HTTP/1.1\r\nhost: x\r\n\r\n");
    let heard = raw.listen(WITHIN);
    assert!(heard.closed && heard.text().starts_with("HTTP/1.1 200"), "{}", heard.text());
}

#[test]
fn many_silent_connections_leave_room_for_a_good_one() {
    let wharf = impatient("http-stream-p2");
    let silent: Vec<Raw> = (0..200).map(|_| Raw::connect(wharf.address)).collect();
    serves(&wharf);
    drop(silent);
}

#[test]
fn whoever_reads_nothing_is_dropped() {
    for guest in ["http-stream-p2", "http-stream-p3"] {
        let wharf = impatient(guest);
        let mut raw = Raw::connect(wharf.address);
        raw.send("GET /bytes?n=1000000000 HTTP/1.1\r\nhost: x\r\n\r\n");
        // The guest has the only place, and more to say than any buffer holds.
        let heard = raw.listen_until(WITHIN, |bytes| !bytes.is_empty());
        assert!(heard.text().starts_with("HTTP/1.1 200"), "{}", heard.text());
        serves(&wharf);
        drop(raw);
    }
}

#[test]
fn connections_beyond_the_most_wait_for_their_turn() {
    let wharf = deploy(
        r#"
            name = "two-at-once"
            [component.web]
            source = "hello-p2.wasm"
            [http]
            max-connections = 2
            [[http.route]]
            component = "web"
        "#,
    );
    let mut open: Vec<_> = (0..2).map(|_| Connection::http1(wharf.address).unwrap()).collect();
    for connection in &mut open {
        assert_eq!(connection.send(get("/")).unwrap().status, 200);
    }
    let mut third = Raw::connect(wharf.address);
    third.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(third.listen(Duration::from_secs(1)).bytes.is_empty(), "there was room for three");
    open.pop();
    assert!(third.listen(WITHIN).text().contains("Hello, world"));
}
