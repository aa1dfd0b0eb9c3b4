//! HTTP out of guests, under egress rules. The servers that are asked are Wharf too.

use crate::support::client::{Answer, Connection, get, pieces, request, with};
use crate::support::{Served, deploy, promises, serve};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Frame;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

pub(crate) mod raw_sockets;
mod secure;

promises!([
    an_allowed_server_is_asked,
    bodies_flow_both_ways,
    nobody_is_asked_without_a_rule,
    a_rule_on_names_does_not_open_private_addresses,
    scheme_and_port_of_a_rule_hold,
    metadata_addresses_need_a_rule_of_their_own,
    a_redirect_is_handed_back_and_not_followed,
    failures_have_their_names,
    a_client_that_leaves_ends_the_request_that_went_out,
] of http_proxy_p2, http_proxy_p3);

/// A proxy that may reach what these rules say.
fn proxy(guest: &str, rules: &str) -> Served {
    deploy(&format!(
        r#"
            name = "proxy"
            [component.web]
            source = "{guest}.wasm"
            egress = [{rules}]
            limits = {{ request-timeout = "20s" }}
            [[http.route]]
            component = "web"
        "#
    ))
}

fn through(proxy: &Served, target: &str) -> Answer {
    let asked = with(get("/"), "x-target", target);
    Connection::http1(proxy.address).unwrap().send(asked).unwrap()
}

/// What the guest was told, where it got no answer.
fn refused(proxy: &Served, target: &str) -> String {
    let answer = through(proxy, target);
    assert_eq!(answer.status, 502, "{target}: {}", answer.text());
    answer.header("x-error").to_owned()
}

fn an_allowed_server_is_asked(guest: &str) {
    let server = serve("http-echo-p2");
    let proxy = proxy(guest, r#""127.0.0.1""#);
    let asked = with(get("/"), "x-target", &format!("http://{}/a?b=c", server.address));
    let asked = with(asked, "x-custom", "kept");
    let mut connection = Connection::http1(proxy.address).unwrap();
    let answer = connection.send(asked).unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.headers);
    assert_eq!((answer.header("x-method"), answer.header("x-path")), ("GET", "/a?b=c"));
    assert_eq!(answer.header("x-authority"), server.address.to_string());
    assert_eq!(answer.header("x-echo-x-custom"), "kept");
}

fn bodies_flow_both_ways(guest: &str) {
    let server = serve("http-echo-p3");
    let proxy = proxy(guest, r#""127.0.0.1""#);
    let target = format!("http://{}/", server.address);
    let whole: Bytes = (0..2_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let mut connection = Connection::http2(proxy.address).unwrap();
    let body = Full::new(whole.clone()).boxed();
    let answer = connection.send(with(request("POST", "/", body), "x-target", &target)).unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.headers);
    assert!(answer.body == whole);
    // At the same time: each piece comes back before the next is sent.
    let (sender, body) = pieces();
    sender.unbounded_send(Frame::data(Bytes::from("one"))).unwrap();
    let asked = with(request("POST", "/", body), "x-target", &target);
    let mut answer = connection.open(asked).unwrap();
    assert_eq!(answer.piece().unwrap().unwrap(), "one");
    sender.unbounded_send(Frame::data(Bytes::from("two"))).unwrap();
    assert_eq!(answer.piece().unwrap().unwrap(), "two");
    drop(sender);
    assert_eq!(answer.rest().unwrap().text(), "");
}

fn nobody_is_asked_without_a_rule(guest: &str) {
    let server = serve("hello-p2");
    let proxy = proxy(guest, "");
    for target in [
        format!("http://{}/", server.address),
        format!("http://localhost:{}/", server.address.port()),
        "http://example.com/".to_owned(),
        "https://example.com/".to_owned(),
    ] {
        assert_eq!(refused(&proxy, &target), "http-request-denied", "{target}");
    }
}

fn a_rule_on_names_does_not_open_private_addresses(guest: &str) {
    let server = serve("hello-p2");
    let port = server.address.port();
    let public = proxy(guest, r#""*", "example.com""#);
    let told = refused(&public, &format!("http://127.0.0.1:{port}/"));
    assert!(
        ["http-request-denied", "destination-ip-prohibited"].contains(&told.as_str()),
        "{told}"
    );
    // A name that can only be private is opened by its rule.
    let private = proxy(guest, r#""localhost""#);
    let answer = through(&private, &format!("http://localhost:{port}/"));
    assert_eq!(answer.text(), "Hello, world", "{:?}", answer.headers);
    let told = refused(&private, &format!("http://127.0.0.1:{port}/"));
    assert_eq!(told, "http-request-denied");
}

fn scheme_and_port_of_a_rule_hold(guest: &str) {
    let server = serve("hello-p2");
    let port = server.address.port();
    let target = format!("http://127.0.0.1:{port}/");
    for (rules, open) in [
        (format!("\"http://127.0.0.1:{port}\""), true),
        (format!("\"127.0.0.1:{port}\""), true),
        ("\"127.0.0.0/8\"".to_owned(), true),
        (format!("\"https://127.0.0.1:{port}\""), false),
        ("\"127.0.0.1:1\"".to_owned(), false),
        ("\"http://127.0.0.1\"".to_owned(), false),
        ("\"10.0.0.0/8\"".to_owned(), false),
    ] {
        let proxy = proxy(guest, &rules);
        if open {
            assert_eq!(through(&proxy, &target).text(), "Hello, world", "{rules}");
        } else {
            assert_eq!(refused(&proxy, &target), "http-request-denied", "{rules}");
        }
    }
}

fn metadata_addresses_need_a_rule_of_their_own(guest: &str) {
    for rules in [r#""*""#, r#""169.254.0.0/16""#, r#""0.0.0.0/0""#] {
        let proxy = proxy(guest, rules);
        for target in ["http://169.254.169.254/", "http://[::ffff:169.254.169.254]/"] {
            let told = refused(&proxy, target);
            let denied = ["http-request-denied", "destination-ip-prohibited"];
            assert!(denied.contains(&told.as_str()), "{rules}, {target}: {told}");
        }
    }
}

/// A server that says the same to everyone, for ever.
fn says(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // One read has the whole of such a small request.
            drop(stream.read(&mut [0; 4096]));
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    address
}

fn a_redirect_is_handed_back_and_not_followed(guest: &str) {
    let hidden = serve("hello-p2");
    let server = says(format!(
        "HTTP/1.1 302 Found\r\nlocation: http://localhost:{}/\r\ncontent-length: 0\r\n\r\n",
        hidden.address.port()
    ));
    let proxy = proxy(guest, r#""127.0.0.1""#);
    let answer = through(&proxy, &format!("http://{server}/"));
    assert_eq!(answer.status, 302);
    // And where it leads is asked about like any other target.
    assert_eq!(refused(&proxy, answer.header("location")), "http-request-denied");
}

fn failures_have_their_names(guest: &str) {
    // No other test listens at this address.
    let gone = TcpListener::bind("127.0.0.3:0").unwrap().local_addr().unwrap();
    let proxy = proxy(guest, r#""127.0.0.0/8", "*.test""#);
    assert_eq!(refused(&proxy, &format!("http://{gone}/")), "connection-refused");
    assert_eq!(refused(&proxy, "http://nobody.test/"), "dns-error");
    let nonsense = says("nonsense\r\n\r\n".to_owned());
    assert_eq!(refused(&proxy, &format!("http://{nonsense}/")), "http-protocol-error");
    let silent = says(String::new());
    let told = refused(&proxy, &format!("http://{silent}/"));
    assert!(told == "http-response-incomplete" || told == "connection-terminated", "{told}");
    let plain = says("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_owned());
    assert_eq!(refused(&proxy, &format!("https://{plain}/")), "tls-protocol-error");
}

fn a_client_that_leaves_ends_the_request_that_went_out(guest: &str) {
    let server = deploy(
        r#"
            name = "one"
            [component.web]
            source = "http-stream-p2.wasm"
            limits = { concurrency = 1, queue = 0, request-timeout = "10m" }
            [[http.route]]
            component = "web"
        "#,
    );
    let proxy = proxy(guest, r#""127.0.0.1""#);
    let target = format!("http://{}/events?ms=20", server.address);
    let mut connection = Connection::http1(proxy.address).unwrap();
    let mut answer = connection.open(with(get("/"), "x-target", &target)).unwrap();
    assert!(answer.piece().unwrap().is_ok());
    assert_eq!(server.get("/bytes?n=1").status, 503);
    drop((answer, connection));
    crate::support::eventually("the server is free", || {
        (server.get("/bytes?n=1").status == 200).then_some(())
    });
}
