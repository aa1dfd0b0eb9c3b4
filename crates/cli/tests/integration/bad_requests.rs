//! Requests that two servers might read differently: refused, and no guest ever sees them.

use crate::support::client::{Connection, get, with};
use crate::support::{deploy, raw, serve};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(30);

/// What is smuggled behind the request, if it can be.
const BEHIND: &str = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";

/// Each ends its connection; none reaches the guest, which would say `x-method`.
const REFUSED: &[(&str, &str)] = &[
    ("two lengths", "content-length: 0\r\ncontent-length: 35\r\n\r\n"),
    ("a list of lengths", "content-length: 0, 35\r\n\r\n"),
    ("a signed length", "content-length: +0\r\n\r\n"),
    ("a length in hexadecimal", "content-length: 0x0\r\n\r\n"),
    ("an endless length", "content-length: 99999999999999999999999\r\n\r\n"),
    ("two hosts", "host: y\r\ncontent-length: 0\r\n\r\n"),
    ("chunks, but not last", "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    ("an unknown coding", "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("a hidden coding", "transfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("a hidden coding", "transfer-encoding\x0b: chunked\r\n\r\n0\r\n\r\n"),
    ("a folded line", "x-one: a\r\n b\r\ncontent-length: 0\r\n\r\n"),
    ("a folded coding", "transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("a name with a space", "x one: a\r\ncontent-length: 0\r\n\r\n"),
    ("a line without a colon", "nonsense\r\ncontent-length: 0\r\n\r\n"),
    ("a null", "x-one: a\0b\r\ncontent-length: 0\r\n\r\n"),
    ("a carriage return alone", "x-one: a\rx-two: b\r\ncontent-length: 0\r\n\r\n"),
];

#[test]
fn ambiguous_heads_are_refused() {
    let (wharf, mut wrong) = (serve("http-echo-p2"), Vec::new());
    for (what, head) in REFUSED {
        let bytes = format!("POST / HTTP/1.1\r\nhost: x\r\n{head}{BEHIND}");
        let heard = raw::exchange(wharf.address, bytes, WITHIN);
        let text = heard.text();
        let refused = text.is_empty() || text.starts_with("HTTP/1.1 400 ");
        if !heard.closed || text.contains("x-method") || !refused {
            wrong.push(format!("{what}, closed: {}\n{text}", heard.closed));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(wharf.get("/").status, 200);
}

/// RFC 9112, 6.1: chunks win over a length, and the connection ends with the answer.
#[test]
fn what_has_a_length_and_chunks_is_the_last_request_of_its_connection() {
    let wharf = serve("http-echo-p2");
    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
    ] {
        let head = format!("POST / HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n");
        let heard = raw::exchange(wharf.address, format!("{head}0\r\n\r\n{BEHIND}"), WITHIN);
        let text = heard.text();
        assert!(heard.closed && !text.contains("/smuggled"), "{text}");
        assert!(!text.contains("x-echo-content-length"), "the guest sees one of them: {text}");
    }
}

#[test]
fn heads_that_name_no_host_are_refused() {
    let wharf = serve("http-echo-p2");
    for head in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nhost:\r\n\r\n"] {
        let asked = head.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1);
        let text = raw::exchange(wharf.address, asked, WITHIN).text();
        assert!(text.starts_with("HTTP/1.1 400 "), "{head}: {text}");
    }
    for host in ["a/b", "user@host", "a?b", "a#b", "a b"] {
        let asked = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let text = raw::exchange(wharf.address, asked, WITHIN).text();
        assert!(text.starts_with("HTTP/1.1 400 "), "{host}: {text}");
    }
}

#[test]
fn bad_chunks_end_the_request_and_the_connection() {
    let wharf = serve("http-echo-p2");
    for chunks in [
        "5\r\nhello\r\nnonsense\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX0\r\n\r\n",
        "fffffffffffffffff\r\nhello",
        "5;\nhello\r\n0\r\n\r\n",
    ] {
        let head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        let heard = raw::exchange(wharf.address, format!("{head}{chunks}{BEHIND}"), WITHIN);
        let text = heard.text();
        assert!(heard.closed, "{chunks:?}: the connection stays open after {text}");
        // An answer that was begun before the bad chunk came has no end.
        assert!(!text.contains("/smuggled") && !text.ends_with("\r\n0\r\n\r\n"), "{text}");
    }
}

#[test]
fn request_lines_that_are_none_are_refused() {
    let wharf = serve("http-echo-p2");
    for line in [
        "GET  / HTTP/1.1",
        "GET / x HTTP/1.1",
        "G ET / HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/3.0",
        "GET",
        "\x16\x03\x01\x02",
    ] {
        let heard = raw::exchange(wharf.address, format!("{line}\r\nhost: x\r\n\r\n"), WITHIN);
        let text = heard.text();
        assert!(heard.closed && !text.contains("x-method"), "{line}: {text}");
    }
}

#[test]
fn tunnels_are_not_dug() {
    let wharf = serve("http-echo-p2");
    let asked = "CONNECT db.internal:5432 HTTP/1.1\r\nhost: db.internal:5432\r\n\r\n";
    let text = raw::exchange(wharf.address, asked, Duration::from_secs(2)).text();
    assert!(text.starts_with("HTTP/1.1 405 "), "{text}");
}

#[test]
fn heads_that_are_too_long_are_431() {
    let wharf = deploy(
        r#"
            name = "short-heads"
            [component.web]
            source = "http-echo-p2.wasm"
            [http]
            max-header-size = "16KiB"
            max-headers = 20
            [[http.route]]
            component = "web"
        "#,
    );
    let fits = with(get("/"), "x-long", &"x".repeat(10_000));
    assert_eq!(Connection::http1(wharf.address).unwrap().send(fits).unwrap().status, 200);
    let many: String = (0..30).map(|number| format!("x-{number}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "x".repeat(20_000));
    for fields in [many, long] {
        let asked = format!("GET / HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
        let heard = raw::exchange(wharf.address, asked, WITHIN);
        assert!(heard.closed && heard.text().starts_with("HTTP/1.1 431 "), "{heard:?}");
    }
    let long = with(get("/"), "x-long", &"x".repeat(20_000));
    let answer = Connection::http2(wharf.address).unwrap().send(long);
    assert!(answer.as_ref().is_err() || answer.as_ref().is_ok_and(|it| it.status == 431));
}
