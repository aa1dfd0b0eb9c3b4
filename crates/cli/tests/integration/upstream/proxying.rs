//! Heads of requests and answers on their way through.

use super::gateway;
use crate::support::client::{Connection, get, post, request, with};
use crate::support::server::{Server, echo, field, says};
use crate::support::{Folder, raw};
use http_body_util::{BodyExt as _, Empty};
use http_types::Version;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(20);

#[test]
fn a_request_arrives_as_it_was_sent_and_so_does_its_answer() {
    let server = Server::start(echo);
    let wharf = gateway(&[server.address], "");
    for connect in [Connection::http1, Connection::http2] {
        let asked = with(post("/a%2Fb//c;d?e=%20f&g", "the body"), "x-custom", "kept");
        let answer = connect(wharf.address).unwrap().send(asked).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "the body"));
        assert_eq!(answer.header("x-method"), "POST");
        assert_eq!(answer.header("x-path"), "/a%2Fb//c;d?e=%20f&g");
        assert_eq!(answer.header("x-echo-x-custom"), "kept");
        assert_eq!(answer.header("x-echo-host"), wharf.address.to_string());
        assert_eq!(answer.header("x-echo-content-length"), "8");
        assert_eq!(answer.header("x-echo-x-forwarded-for"), "127.0.0.1");
        assert_eq!(answer.header("x-echo-x-forwarded-proto"), "http");
        assert_eq!(answer.header("x-echo-x-forwarded-host"), wharf.address.to_string());
        assert_eq!(answer.header("x-echo-x-request-id"), answer.header("x-request-id"));
        let via = if answer.version == Version::HTTP_2 { "2 wharf" } else { "1.1 wharf" };
        assert_eq!(answer.header("x-echo-via"), via);
    }
}

#[test]
fn paths_pass_byte_for_byte() {
    let server = Server::start(echo);
    let wharf = gateway(&[server.address], "");
    for path in ["/", "/a/../b/./c", "/%7Euser/%2e%2E/x", "//x//", "/a?", "/?a=b?c=/../d", "/a;b=c"]
    {
        let asked = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let text = raw::exchange(wharf.address, asked, WITHIN).text();
        assert!(text.contains(&format!("x-path: {path}\r\n")), "{path}: {text}");
    }
}

#[test]
fn what_speaks_of_one_connection_does_not_pass_either_way() {
    let server = Server::start(|request| async move {
        let reply = field(echo(request).await, "keep-alive", "timeout=9");
        field(field(reply, "connection", "x-theirs"), "x-theirs", "1")
    });
    let wharf = gateway(&[server.address], "");
    let asked = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close, X-Mine, X-Forwarded-For\r\n\
                 connection: x-request-id, host\r\nx-mine: 1\r\nx-stays: 2\r\nkeep-alive: 5\r\n\
                 proxy-connection: keep-alive\r\nproxy-authorization: Basic eA==\r\n\
                 te: gzip\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n";
    let text = raw::exchange(wharf.address, asked, WITHIN).text();
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("x-echo-x-stays: 2"), "{text}");
    assert!(text.contains("x-echo-host: x\r\n"), "{text}");
    // Nor can a client take away what is added for the server.
    assert!(text.contains("x-echo-x-forwarded-for: 127.0.0.1\r\n"), "{text}");
    assert!(text.contains("x-echo-x-request-id: "), "{text}");
    for gone in ["x-mine", "keep-alive", "proxy-", "te:", "upgrade", "http2-settings", "connection"]
    {
        assert!(!text.contains(&format!("x-echo-{gone}")), "{gone}: {text}");
    }
    assert!(!text.contains("x-theirs") && !text.contains("timeout=9"), "{text}");
}

#[test]
fn the_host_can_be_another_than_the_clients() {
    let server = Server::start(echo);
    let wharf = gateway(&[server.address], "host = \"app.internal\"");
    let mut connection = Connection::http2(wharf.address).unwrap();
    let answer = connection.send(with(get("/"), "host", "public.example")).unwrap();
    assert_eq!(answer.header("x-echo-host"), "app.internal");
    assert_eq!(answer.header("x-echo-x-forwarded-host"), "public.example");
}

#[test]
fn answers_without_a_body_have_none_and_heads_keep_the_length_that_they_name() {
    let server = says("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n");
    let wharf = gateway(&[server], "");
    let asked = || request("HEAD", "/", Empty::new().boxed());
    for connect in [Connection::http1, Connection::http2] {
        let answer = connect(wharf.address).unwrap().send(asked()).unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(answer.header("content-length"), "1234");
    }
    let wharf = gateway(&[says("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n")], "");
    let answer = wharf.get("/");
    assert_eq!((answer.status, answer.body.len()), (304, 0));
}

#[test]
fn every_kind_of_answer_of_every_age_passes() {
    for (said, status, body) in [
        ("HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, "until the end"),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end", 200, "until the end"),
        ("HTTP/1.1 418 Teapot\r\ncontent-length: 3\r\n\r\ntea", 418, "tea"),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No\r\n\r\n", 204, ""),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n", 200, "one"),
    ] {
        let wharf = gateway(&[says(said)], "");
        let answer = wharf.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (status, body), "{said}");
        assert_eq!(answer.version, Version::HTTP_11, "{said}");
    }
}

#[test]
fn cookies_of_http2_come_in_one_field() {
    let server = Server::start(echo);
    let wharf = gateway(&[server.address], "");
    let asked = with(with(get("/"), "cookie", "a=1"), "cookie", "b=2");
    let answer = Connection::http2(wharf.address).unwrap().send(asked).unwrap();
    assert_eq!(answer.header("x-echo-cookie"), "a=1; b=2");
}

#[test]
fn versions_do_not_depend_on_each_other() {
    let server = Server::start(echo);
    for (key, theirs) in [("http2 = true", "2"), ("http2 = false", "1"), ("", "1")] {
        let wharf = gateway(&[server.address], key);
        for connect in [Connection::http1, Connection::http2] {
            let answer = connect(wharf.address).unwrap().send(get("/")).unwrap();
            assert_eq!((answer.status, answer.header("x-version")), (200, theirs), "{key}");
        }
    }
}

#[test]
fn components_and_upstreams_stand_side_by_side() {
    let server = Server::start(echo);
    let folder = Folder::with(&format!(
        r#"
            name = "both"
            [component.web]
            source = "hello-p2.wasm"
            [[http.route]]
            component = "web"
            [[http.route]]
            path = "/api"
            upstream = "up"
            [[http.route]]
            host = "old.example"
            upstream = "up"
            [upstream.up]
            endpoints = "{}"
        "#,
        server.address
    ));
    let wharf = folder.serve(&[]);
    assert_eq!(wharf.text("/"), "Hello, world");
    assert_eq!(wharf.get("/api/x").header("x-path"), "/api/x");
    let mut connection = Connection::http1(wharf.address).unwrap();
    let answer = connection.send(with(get("/"), "host", "old.example")).unwrap();
    assert_eq!(answer.header("x-path"), "/");
    assert_eq!(connection.send(get("/apis")).unwrap().text(), "Hello, world");
}

#[test]
fn connections_to_servers_are_kept() {
    let server = Server::start(echo);
    let wharf = gateway(&[server.address], "[http]\nthreads = 1");
    for _ in 0..20 {
        assert_eq!(wharf.get("/").status, 200);
    }
    assert_eq!((server.requests(), server.connections()), (20, 1));
}
