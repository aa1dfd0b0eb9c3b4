//! What goes to a guest and comes back: methods, fields, bodies, trailers.

use crate::support::client::{Answer, Connection, get, pieces, post, request, with};
use crate::support::{Served, deploy, promises, serve};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use http_types::{HeaderMap, HeaderValue};
use hyper::body::Frame;

promises!([
    bodies_come_back,
    trailers_come_back_over_http2,
    trailers_that_are_declared_come_back_over_http1,
    an_answer_may_begin_before_the_request_ends,
    the_guest_learns_what_was_asked,
    nobody_can_forge_who_the_client_is,
    request_ids_are_made_or_kept,
    a_trusted_proxy_is_believed,
] of http_echo_p2, http_echo_p3);

/// A connection of each version.
fn both(wharf: &Served) -> [Connection; 2] {
    [Connection::http1(wharf.address).unwrap(), Connection::http2(wharf.address).unwrap()]
}

fn bodies_come_back(guest: &str) {
    let wharf = serve(guest);
    let whole: Bytes = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    for mut connection in both(&wharf) {
        for length in [0, 1, 4096, 65_537, whole.len()] {
            let body = whole.slice(..length);
            let answer = connection.send(post("/", body.clone())).unwrap();
            assert_eq!((answer.status, answer.body.len()), (200, length));
            assert_eq!(answer.body, body);
        }
        // In pieces, whose length nobody knows before the end.
        let (sender, body) = pieces();
        for piece in whole.chunks(100_000) {
            sender.unbounded_send(Frame::data(Bytes::copy_from_slice(piece))).unwrap();
        }
        drop(sender);
        assert_eq!(connection.send(request("PUT", "/", body)).unwrap().body, whole);
    }
}

/// Sends a body with trailers.
fn trailers(mut connection: Connection) -> Answer {
    let (sender, body) = pieces();
    sender.unbounded_send(Frame::data(Bytes::from_static(b"body"))).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("4"));
    sender.unbounded_send(Frame::trailers(trailers)).unwrap();
    drop(sender);
    let request = with(request("POST", "/", body), "te", "trailers");
    connection.send(with(request, "trailer", "x-sum")).unwrap()
}

fn trailers_come_back_over_http2(guest: &str) {
    let wharf = serve(guest);
    let answer = trailers(Connection::http2(wharf.address).unwrap());
    assert_eq!(answer.text(), "body");
    assert_eq!(answer.trailers.get("x-sum").unwrap(), "4");
}

fn trailers_that_are_declared_come_back_over_http1(guest: &str) {
    let wharf = serve(guest);
    let answer = trailers(Connection::http1(wharf.address).unwrap());
    assert_eq!((answer.text().as_str(), answer.header("trailer")), ("body", "x-sum"));
    assert_eq!(answer.trailers.get("x-sum").unwrap(), "4");
}

fn an_answer_may_begin_before_the_request_ends(guest: &str) {
    let wharf = serve(guest);
    for mut connection in both(&wharf) {
        let (sender, body) = pieces();
        let mut answer = connection.open(request("POST", "/", body)).unwrap();
        for piece in ["one", "two", "three"] {
            sender.unbounded_send(Frame::data(Bytes::from(piece))).unwrap();
            assert_eq!(answer.piece().unwrap().unwrap(), piece);
        }
        drop(sender);
        assert_eq!(answer.rest().unwrap().text(), "");
    }
}

fn the_guest_learns_what_was_asked(guest: &str) {
    let wharf = serve(guest);
    for mut connection in both(&wharf) {
        for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE"] {
            let asked = request(method, "/a%20b/../c?d=e&f", Empty::new().boxed());
            let asked = with(with(asked, "host", "example.com:81"), "x-list", "one");
            let answer = connection.send(with(asked, "x-list", "two")).unwrap();
            assert_eq!(answer.header("x-method"), method);
            assert_eq!(answer.header("x-path"), "/a%20b/../c?d=e&f");
            assert_eq!(answer.header("x-authority"), "example.com:81");
            assert!(answer.header("x-scheme").contains("Http"), "{:?}", answer.headers);
            let list: Vec<_> = answer.headers.get_all("x-echo-x-list").iter().collect();
            assert_eq!(list, ["one", "two"]);
        }
        let answer = connection.send(request("HEAD", "/", Empty::new().boxed())).unwrap();
        assert_eq!((answer.header("x-method"), answer.body.len()), ("HEAD", 0));
    }
}

fn nobody_can_forge_who_the_client_is(guest: &str) {
    let wharf = serve(guest);
    for mut connection in both(&wharf) {
        let forged = with(with(get("/"), "x-forwarded-for", "1.2.3.4"), "host", "example.com");
        let forged = with(with(forged, "x-forwarded-proto", "https"), "x-forwarded-host", "no");
        let answer = connection.send(forged).unwrap();
        assert_eq!(answer.header("x-echo-x-forwarded-for"), "127.0.0.1");
        assert_eq!(answer.header("x-echo-x-forwarded-proto"), "http");
        assert_eq!(answer.header("x-echo-x-forwarded-host"), "example.com");
    }
}

fn request_ids_are_made_or_kept(guest: &str) {
    let wharf = serve(guest);
    let one = wharf.get("/");
    let other = wharf.get("/");
    let id = one.header("x-request-id");
    assert_eq!(id, one.header("x-echo-x-request-id"));
    assert!(!id.is_empty() && id != other.header("x-request-id"));
    let asked = with(get("/"), "x-request-id", "mine-1");
    let kept = Connection::http1(wharf.address).unwrap().send(asked).unwrap();
    assert_eq!(kept.header("x-request-id"), "mine-1");
    assert_eq!(kept.header("x-echo-x-request-id"), "mine-1");
}

fn a_trusted_proxy_is_believed(guest: &str) {
    let wharf = deploy(&format!(
        r#"
            name = "behind-a-proxy"
            [component.web]
            source = "{guest}.wasm"
            [http]
            forwarded = ["127.0.0.0/8"]
            [[http.route]]
            component = "web"
        "#
    ));
    let asked = with(with(get("/"), "x-forwarded-for", "1.2.3.4"), "x-forwarded-proto", "https");
    let answer = Connection::http1(wharf.address).unwrap().send(asked).unwrap();
    assert_eq!(answer.header("x-echo-x-forwarded-for"), "1.2.3.4, 127.0.0.1");
    assert_eq!(answer.header("x-echo-x-forwarded-proto"), "https");
    assert!(answer.header("x-scheme").contains("Https"), "{:?}", answer.headers);
}
