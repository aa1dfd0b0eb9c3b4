//! Connections that become tunnels: WebSocket and others.

use super::gateway;
use crate::support::client::{Connection, get};
use crate::support::raw::Raw;
use crate::support::server::{self, Server, echo, head};
use crate::support::{Served, eventually};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use testkit::program::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const LONG: Duration = Duration::from_secs(60);
pub(crate) const ASKED: &str = "GET /chat HTTP/1.1\r\nhost: x\r\n\
                                connection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                                sec-websocket-key: k\r\n\r\n";

/// A server that switches and gives back what it hears; counts the connections that ended.
pub(crate) fn switching(ended: Arc<AtomicUsize>) -> SocketAddr {
    server::raw(move |mut stream| {
        let ended = Arc::clone(&ended);
        async move {
            let asked = head(&mut stream).await;
            let (upgrade, connection) =
                ("\r\nupgrade: websocket\r\n", "\r\nconnection: upgrade\r\n");
            if !asked.contains(upgrade) || !asked.contains(connection) {
                let plain = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain";
                drop(stream.write_all(plain.as_bytes()).await);
                return;
            }
            assert!(asked.contains("sec-websocket-key: k") && asked.contains("x-forwarded-for:"));
            // The first bytes come together with the head.
            let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                          upgrade: websocket\r\nsec-websocket-accept: a\r\n\r\nfirst";
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut piece = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut piece).await {
                if stream.write_all(&piece[..length]).await.is_err() {
                    break;
                }
            }
            drop(stream.write_all(b"last").await);
            ended.fetch_add(1, SeqCst);
        }
    })
}

pub(crate) fn ends_with(end: &'static str) -> impl Fn(&[u8]) -> bool {
    move |bytes| bytes.ends_with(end.as_bytes())
}

/// A tunnel through the gateway.
pub(crate) fn tunnel(wharf: &Served) -> Raw {
    let mut client = Raw::connect(wharf.address);
    client.send(ASKED);
    let text = client.listen_until(LONG, ends_with("first")).text();
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    assert!(text.contains("upgrade: websocket\r\n") && text.contains("connection: upgrade\r\n"));
    assert!(text.contains("sec-websocket-accept: a\r\n"), "{text}");
    client
}

#[test]
fn bytes_pass_both_ways_after_101_and_one_side_may_end_first() {
    let ended = Arc::new(AtomicUsize::new(0));
    let wharf = gateway(&[switching(Arc::clone(&ended))], "");
    let mut client = tunnel(&wharf);
    for text in ["hello", "\0\x01\x02 no HTTP", "GET / HTTP/1.1\r\n\r\n"] {
        assert!(client.send(text));
        assert_eq!(client.listen_until(LONG, ends_with(text)).text(), text);
    }
    client.end();
    // What the server still says arrives.
    let heard = client.listen(LONG);
    assert_eq!((heard.text().as_str(), heard.closed), ("last", true));
    eventually("the server saw the end", || (ended.load(SeqCst) == 1).then_some(()));
}

#[test]
fn a_client_that_leaves_ends_the_tunnel() {
    let ended = Arc::new(AtomicUsize::new(0));
    let wharf = gateway(
        &[switching(Arc::clone(&ended))],
        "limits = { requests = 1, queue = 0, queue-timeout = \"0s\" }",
    );
    let client = tunnel(&wharf);
    // It counts as a request.
    assert_eq!(wharf.get("/").status, 503);
    drop(client);
    eventually("the server saw the end", || (ended.load(SeqCst) == 1).then_some(()));
    eventually("its place is free", || (wharf.get("/").status == 200).then_some(()));
}

#[test]
fn a_tunnel_through_which_nothing_passes_ends() {
    let ended = Arc::new(AtomicUsize::new(0));
    let wharf = gateway(&[switching(Arc::clone(&ended))], "tunnel-timeout = \"1s\"");
    let mut client = tunnel(&wharf);
    for _ in 0..10 {
        client.send("x");
        assert_eq!(client.listen_until(LONG, ends_with("x")).text(), "x");
        crate::support::pause(Duration::from_millis(200));
    }
    assert!(client.listen(LONG).closed);
    eventually("the server saw the end", || (ended.load(SeqCst) == 1).then_some(()));
}

#[test]
fn a_server_that_does_not_switch_answers_as_usual() {
    let server = Server::start(echo);
    let wharf = gateway(&[server.address], "");
    let mut client = Raw::connect(wharf.address);
    for _ in 0..2 {
        client.send(ASKED);
        let text = client.listen_until(LONG, ends_with("\r\n\r\n")).text();
        assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("x-path: /chat"), "{text}");
        assert!(text.contains("x-echo-upgrade: websocket\r\n"), "{text}");
    }
}

#[test]
fn what_must_not_become_a_tunnel_is_an_ordinary_request() {
    let server = Server::start(echo);
    let wharf = gateway(&[server.address], "");
    for fields in [
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk",
        "connection: upgrade\r\nupgrade: H2C, websocket",
        "connection: upgrade\r\nupgrade: websocket\r\nupgrade: h2c",
        "connection: keep-alive\r\nupgrade: websocket",
        "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 1",
    ] {
        let mut client = Raw::connect(wharf.address);
        client.send(format!("POST / HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n"));
        if fields.contains("content-length") {
            client.send("x");
        }
        let text =
            client.listen_until(LONG, |bytes| bytes.windows(4).any(|w| w == b"\r\n\r\n")).text();
        assert!(text.starts_with("HTTP/1.1 200 "), "{fields}: {text}");
        assert!(!text.contains("x-echo-upgrade") && !text.contains("http2-settings"), "{text}");
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_502_also_for_tunnels() {
    let wharf = gateway(&[server::nobody()], "");
    let mut client = Raw::connect(wharf.address);
    client.send(ASKED);
    let text = client.listen_until(LONG, ends_with("\n")).text();
    assert!(text.starts_with("HTTP/1.1 502 "), "{text}");
}

#[test]
fn tunnels_go_on_within_the_grace_and_end_with_it() {
    let ended = Arc::new(AtomicUsize::new(0));
    let server = switching(Arc::clone(&ended));
    let mut wharf = gateway(&[server], "[http]\nshutdown-grace = \"3s\"");
    let mut client = tunnel(&wharf);
    wharf.program.signal(Signal::SIGTERM);
    wharf.program.wait_for("Stopping");
    client.send("still here");
    assert_eq!(client.listen_until(LONG, ends_with("here")).text(), "still here");
    assert_eq!(wharf.program.end().code(), Some(0));
    assert!(client.listen(LONG).closed);
    eventually("the server saw the end", || (ended.load(SeqCst) == 1).then_some(()));
}

#[test]
fn other_requests_go_on_beside_tunnels() {
    let ended = Arc::new(AtomicUsize::new(0));
    let wharf = gateway(&[switching(ended)], "[http]\nthreads = 1");
    let tunnels: Vec<_> = (0..20).map(|_| tunnel(&wharf)).collect();
    let mut connection = Connection::http1(wharf.address).unwrap();
    assert_eq!(connection.send(get("/")).unwrap().text(), "plain");
    for mut client in tunnels {
        client.send("x");
        assert_eq!(client.listen_until(LONG, ends_with("x")).text(), "x");
    }
}
