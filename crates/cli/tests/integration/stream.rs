//! Long answers: as they are written, as fast as they are read, no longer than anybody reads.

use crate::support::client::{Connection, get, pieces, request, with};
use crate::support::{Served, deploy, eventually, pause, promises, serve};
use bytes::Bytes;
use hyper::body::Frame;
use std::time::Duration;

promises!([
    every_byte_arrives,
    many_requests_share_one_connection,
    events_arrive_while_the_guest_writes,
    trailers_follow_a_body,
    a_long_upload_is_read_as_it_comes,
    a_slow_reader_holds_its_guest_back,
    a_guest_that_reads_nothing_holds_its_client_back,
    a_client_that_leaves_ends_its_guest,
] of http_stream_p2, http_stream_p3);

promises!([a_client_that_leaves_early_ends_its_guest] of hostile_p2, hostile_p3);

/// One call at a time, and nobody waits for it to end.
fn one_at_a_time(guest: &str) -> Served {
    deploy(&format!(
        r#"
            name = "one-at-a-time"
            [component.web]
            source = "{guest}.wasm"
            limits = {{ concurrency = 1, queue = 0, request-timeout = "10m" }}
            [[http.route]]
            component = "web"
        "#
    ))
}

fn both(wharf: &Served) -> [Connection; 2] {
    [Connection::http1(wharf.address).unwrap(), Connection::http2(wharf.address).unwrap()]
}

fn every_byte_arrives(guest: &str) {
    let wharf = serve(guest);
    for mut connection in both(&wharf) {
        let answer = connection.send(get("/bytes?n=5000001")).unwrap();
        assert_eq!(answer.body.len(), 5_000_001);
        assert!(answer.body.iter().enumerate().all(|(at, byte)| at % 251 == usize::from(*byte)));
    }
}

fn many_requests_share_one_connection(guest: &str) {
    let wharf = serve(guest);
    let mut connection = Connection::http2(wharf.address).unwrap();
    let answers: Vec<_> =
        (0..50).map(|_| connection.open(get("/drip?n=5&ms=20")).unwrap()).collect();
    for answer in answers {
        assert_eq!(answer.rest().unwrap().text(), ".....");
    }
}

fn events_arrive_while_the_guest_writes(guest: &str) {
    let wharf = serve(guest);
    for mut connection in both(&wharf) {
        let mut answer = connection.open(get("/events?ms=50")).unwrap();
        assert_eq!(answer.head.headers.get("content-type").unwrap(), "text/event-stream");
        let mut text = String::new();
        while !text.contains("data: 3\n\n") {
            text += std::str::from_utf8(&answer.piece().unwrap().unwrap()).unwrap();
        }
        assert!(text.starts_with("data: 0\n\ndata: 1\n\ndata: 2\n\n"), "{text}");
    }
}

fn trailers_follow_a_body(guest: &str) {
    let wharf = serve(guest);
    for mut connection in both(&wharf) {
        let answer = connection.send(with(get("/trailers"), "te", "trailers")).unwrap();
        assert_eq!(answer.text(), "body");
        assert_eq!(answer.trailers.get("x-sum").unwrap(), "4");
    }
}

fn a_long_upload_is_read_as_it_comes(guest: &str) {
    let wharf = serve(guest);
    for mut connection in both(&wharf) {
        let (sender, body) = pieces();
        for _ in 0..320 {
            sender.unbounded_send(Frame::data(Bytes::from(vec![b'x'; 100_000]))).unwrap();
        }
        drop(sender);
        let answer = connection.send(request("POST", "/count", body)).unwrap();
        assert_eq!(answer.text(), "32000000");
    }
}

/// What the program may hold of a gigabyte that nobody reads: buffers of sockets and streams.
const HELD: u64 = 48 << 20;

fn a_slow_reader_holds_its_guest_back(guest: &str) {
    let wharf = serve(guest);
    // Whatever a request needs is there before the measurement.
    assert_eq!(wharf.get("/bytes?n=10000000").body.len(), 10_000_000);
    for mut connection in both(&wharf) {
        let before = wharf.program.memory();
        let mut answer = connection.open(get("/bytes?n=1000000000")).unwrap();
        for _ in 0..20 {
            assert!(!answer.piece().unwrap().unwrap().is_empty());
            pause(Duration::from_millis(50));
            let grown = wharf.program.memory().saturating_sub(before);
            assert!(grown < HELD, "it holds {grown} bytes more");
        }
    }
}

fn a_guest_that_reads_nothing_holds_its_client_back(guest: &str) {
    let wharf = serve(guest);
    assert_eq!(wharf.get("/bytes?n=10000000").body.len(), 10_000_000);
    let before = wharf.program.memory();
    let mut connection = Connection::http1(wharf.address).unwrap();
    let (sender, body) = pieces();
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    for _ in 0..500 {
        sender.unbounded_send(Frame::data(piece.clone())).unwrap();
    }
    let answer = connection.open(request("POST", "/drip?n=1000&ms=50", body)).unwrap();
    for _ in 0..10 {
        pause(Duration::from_millis(100));
        let grown = wharf.program.memory().saturating_sub(before);
        assert!(grown < HELD, "it holds {grown} bytes more");
    }
    drop(answer);
}

fn a_client_that_leaves_ends_its_guest(guest: &str) {
    let wharf = one_at_a_time(guest);
    for two in [false, true] {
        let connect = if two { Connection::http2 } else { Connection::http1 };
        let mut connection = connect(wharf.address).unwrap();
        let mut answer = connection.open(get("/events?ms=20")).unwrap();
        assert!(answer.piece().unwrap().is_ok());
        assert_eq!(wharf.get("/bytes?n=1").status, 503, "there is room for one");
        drop((answer, connection));
        eventually("the place is free", || (wharf.get("/bytes?n=1").status == 200).then_some(()));
    }
}

/// Not even the head of an answer has come.
fn a_client_that_leaves_early_ends_its_guest(guest: &str) {
    let wharf = one_at_a_time(guest);
    for harm in ["/never-answer", "/yield-loop", "/loop"] {
        let mut raw = crate::support::raw::Raw::connect(wharf.address);
        raw.send(format!("GET {harm} HTTP/1.1\r\nhost: x\r\n\r\n"));
        eventually("the guest runs", || (wharf.get("/good").status == 503).then_some(()));
        drop(raw);
        eventually("the place is free", || (wharf.get("/good").status == 200).then_some(()));
    }
}
