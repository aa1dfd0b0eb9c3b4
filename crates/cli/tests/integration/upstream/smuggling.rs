//! Messages that two servers could read differently, in both directions.

use super::gateway;
use crate::support::client::get;
use crate::support::raw;
use crate::support::server::{Server, echo, says};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(20);

/// A request that must never be seen.
const BEHIND: &str = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn requests_with_two_ends_are_never_passed_on_as_such() {
    let server = Server::start(echo);
    let wharf = gateway(&[server.address], "");
    for fields in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: +5",
        "content-length: 5, 6",
        "content-length: -1",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: identity",
        "transfer-encoding:\x0bchunked",
        "transfer-encoding : chunked",
        "content-length : 5",
        "transfer-encoding: chunked\r\ncontent-length: 5",
    ] {
        let head = format!("POST / HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n");
        let asked = format!("{head}0\r\n\r\n{BEHIND}");
        let heard = raw::exchange(wharf.address, asked, Duration::from_secs(2));
        let text = heard.text();
        // A length beside chunks goes, and so does whatever comes behind them.
        assert!(!text.contains("x-echo-content-length"), "{fields}: {text}");
        let coded = text.contains("x-echo-transfer-encoding: chunked\r\n");
        assert_eq!(coded, fields.contains("chunked\r\ncontent-length"), "{fields}: {text}");
        assert!(!text.contains("/smuggled"), "{fields}: {text}");
    }
    // Whatever was sent, each request that came was whole, and the connections still are.
    for _ in 0..20 {
        let answer = wharf.get("/after");
        assert_eq!((answer.status, answer.header("x-path")), (200, "/after"));
    }
}

#[test]
fn a_coding_that_is_not_served_is_501() {
    let server = Server::start(echo);
    let wharf = gateway(&[server.address], "");
    let asked = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    let text = raw::exchange(wharf.address, asked, Duration::from_secs(2)).text();
    assert!(text.starts_with("HTTP/1.1 501 "), "{text}");
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_length_beside_chunks_does_not_reach_the_client() {
    let server = says(
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nwhole\r\n0\r\n\r\n",
    );
    let wharf = gateway(&[server], "");
    let asked = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let text = raw::exchange(wharf.address, asked, WITHIN).text();
    assert!(text.contains("5\r\nwhole\r\n0\r\n\r\n") && !text.contains("content-length"), "{text}");
}

#[test]
fn what_a_server_says_behind_its_answer_is_nobodys() {
    let server = says(
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\noneHTTP/1.1 200 OK\r\n\
         content-length: 8\r\n\r\npoisoned",
    );
    let wharf = gateway(&[server], "[http]\nthreads = 1");
    let mut connection = crate::support::client::Connection::http1(wharf.address).unwrap();
    for _ in 0..5 {
        assert_eq!(connection.send(get("/")).unwrap().text(), "one");
    }
}
