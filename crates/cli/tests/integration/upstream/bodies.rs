//! Bodies, which flow both ways and stop where nobody wants them.

use super::gateway;
use crate::support::client::{Connection, get, pieces, post, request, wait, with};
use crate::support::eventually;
use crate::support::server::{self, Reply, Server, echo, head, reply};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::{BodyExt, Full, StreamBody};
use http_types::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::{Frame, Incoming};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

/// How a client connects.
type Connect = fn(SocketAddr) -> Result<Connection, String>;

/// Every pair of versions: the client's, and the server's.
fn pairs() -> [(Connect, &'static str); 4] {
    [
        (Connection::http1, "http2 = false"),
        (Connection::http1, "http2 = true"),
        (Connection::http2, "http2 = false"),
        (Connection::http2, "http2 = true"),
    ]
}

#[test]
fn long_bodies_pass_whole_both_ways() {
    let server = Server::start(echo);
    let whole: Bytes = (0..8_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    for (connect, key) in pairs() {
        let wharf = gateway(&[server.address], key);
        let answer = connect(wharf.address).unwrap().send(post("/", whole.clone())).unwrap();
        assert!(answer.body == whole, "{key}: {} bytes", answer.body.len());
        assert_eq!(answer.header("x-echo-content-length"), whole.len().to_string());
    }
}

#[test]
fn each_piece_passes_before_the_next_is_sent() {
    let server = Server::start(echo);
    for (connect, key) in pairs() {
        let wharf = gateway(&[server.address], key);
        let (sender, body) = pieces();
        sender.unbounded_send(Frame::data(Bytes::from("one"))).unwrap();
        let mut connection = connect(wharf.address).unwrap();
        let mut answer = connection.open(request("POST", "/", body)).unwrap();
        assert_eq!(answer.piece().unwrap().unwrap(), "one", "{key}");
        sender.unbounded_send(Frame::data(Bytes::from("two"))).unwrap();
        assert_eq!(answer.piece().unwrap().unwrap(), "two", "{key}");
        drop(sender);
        assert_eq!(answer.rest().unwrap().text(), "", "{key}");
    }
}

#[test]
fn grpc_passes_with_its_trailers_both_ways() {
    let server = Server::start(|request| async move {
        assert_eq!(request.headers()["te"], "trailers");
        echo(request).await
    });
    let wharf = gateway(&[server.address], "http2 = true");
    let (sender, body) = pieces();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    sender.unbounded_send(Frame::data(Bytes::from_static(b"\0\0\0\0\x01x"))).unwrap();
    sender.unbounded_send(Frame::trailers(trailers)).unwrap();
    drop(sender);
    let asked = with(request("POST", "/package.Service/Method", body), "te", "trailers");
    let asked = with(asked, "content-type", "application/grpc");
    let answer = Connection::http2(wharf.address).unwrap().send(asked).unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 6));
    assert_eq!(answer.header("x-echo-content-type"), "application/grpc");
    assert_eq!(answer.trailers["grpc-status"], "0");
}

/// Answers for ever, and counts what was asked of it.
fn endless(counted: Arc<AtomicUsize>) -> Reply {
    let frames = futures::stream::repeat_with(move || {
        counted.fetch_add(64 << 10, SeqCst);
        Ok::<_, hyper::Error>(Frame::data(Bytes::from(vec![0; 64 << 10])))
    });
    Response::new(BodyExt::boxed(StreamBody::new(frames)))
}

#[test]
fn a_client_that_does_not_read_stops_the_server() {
    for (connect, key) in pairs() {
        let given = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&given);
        let server = Server::start(move |_| {
            let counted = Arc::clone(&counted);
            async move { endless(counted) }
        });
        let wharf = gateway(&[server.address], key);
        let mut connection = connect(wharf.address).unwrap();
        let mut answer = connection.open(get("/")).unwrap();
        assert!(answer.piece().unwrap().is_ok());
        let before = quiet(&given);
        assert!(before < 64 << 20, "{key}: {before} bytes for nobody");
        assert!(wharf.program.memory() < 200 << 20, "{key}: {}", wharf.program.memory());
        // Whoever reads again gets more.
        for _ in 0..2000 {
            assert!(answer.piece().unwrap().is_ok());
        }
        assert!(given.load(SeqCst) > before, "{key}");
    }
}

/// What a number is once it does not grow any more.
fn quiet(number: &AtomicUsize) -> usize {
    let mut last = 0;
    eventually("it stops", || {
        let before = std::mem::replace(&mut last, number.load(SeqCst));
        crate::support::pause(Duration::from_millis(300));
        (before == last && last > 0).then_some(last)
    })
}

#[test]
fn a_server_that_does_not_read_stops_the_client() {
    let go = Arc::new(Semaphore::new(0));
    let wait_for = Arc::clone(&go);
    let server = Server::start(move |request| {
        let wait_for = Arc::clone(&wait_for);
        async move {
            wait_for.acquire().await.unwrap().forget();
            let length = request.into_body().collect().await.unwrap().to_bytes().len();
            reply(200, &length.to_string())
        }
    });
    for (connect, key) in pairs() {
        let wharf = gateway(&[server.address], key);
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let frames = futures::stream::iter(0..1600).map(move |_| {
            counted.fetch_add(64 << 10, SeqCst);
            Ok(Frame::data(Bytes::from(vec![0; 64 << 10])))
        });
        let asked = request("POST", "/", BodyExt::boxed(StreamBody::new(frames)));
        let mut connection = connect(wharf.address).unwrap();
        let asking = crate::support::client::beside(async move { connection.ask(asked).await });
        assert!(quiet(&sent) < 64 << 20, "{key}: {} bytes for nobody", sent.load(SeqCst));
        go.add_permits(1);
        let answer = wait(asking).unwrap().unwrap();
        assert_eq!(answer.text(), (1600 * (64 << 10)).to_string(), "{key}");
    }
}

/// Says that it was dropped.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_client_that_leaves_ends_the_request_to_the_server() {
    for (connect, key) in pairs() {
        let ended = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&ended);
        let server = Server::start(move |request| {
            let guard = Guard(Arc::clone(&seen));
            async move {
                if request.uri().path() == "/never" {
                    std::future::pending::<()>().await;
                }
                let frames = futures::stream::unfold(guard, |guard| async move {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    Some((Ok::<_, hyper::Error>(Frame::data(Bytes::from("."))), guard))
                });
                Response::new(BodyExt::boxed(StreamBody::new(frames)))
            }
        });
        let wharf = gateway(&[server.address], key);
        // In the middle of an answer, and before it.
        let mut connection = connect(wharf.address).unwrap();
        let mut answer = connection.open(get("/")).unwrap();
        assert!(answer.piece().unwrap().is_ok());
        drop((answer, connection));
        eventually("it ended", || (ended.load(SeqCst) == 1).then_some(()));
        let mut connection = connect(wharf.address).unwrap();
        let asking =
            crate::support::client::beside(async move { connection.ask(get("/never")).await });
        eventually("it began", || (server.requests() == 2).then_some(()));
        asking.abort();
        eventually("it ended too", || (ended.load(SeqCst) == 2).then_some(()));
    }
}

#[test]
fn a_body_waits_until_the_server_asks_for_it() {
    let server = server::raw(|mut stream| async move {
        let asked = head(&mut stream).await;
        assert!(asked.contains("expect: 100-continue"), "{asked}");
        assert!(asked.ends_with("\r\n\r\n"), "the body did not wait: {asked}");
        if asked.starts_with("POST /refused ") {
            let answer = "HTTP/1.1 417 No\r\ncontent-length: 2\r\n\r\nno";
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Nothing may come of the body.
            let mut rest = String::new();
            drop(stream.read_to_string(&mut rest).await);
            assert_eq!(rest, "");
            return;
        }
        if asked.starts_with("POST /asked ") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        }
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.unwrap();
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        stream.write_all(&[answer.as_bytes(), &body].concat()).await.unwrap();
    });
    let wharf = gateway(&[server], "");
    for (path, status, text, continued) in [
        ("/asked", 200, "hello", true),
        ("/silent", 200, "hello", true),
        ("/refused", 417, "no", false),
    ] {
        let mut client = crate::support::raw::Raw::connect(wharf.address);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"
        );
        client.send(head);
        let long = Duration::from_secs(60);
        let heard = client.listen_until(long, |bytes| bytes.windows(4).any(|w| w == b"\r\n\r\n"));
        let begun = heard.text();
        assert_eq!(begun.starts_with("HTTP/1.1 100 "), continued, "{path}: {begun}");
        let answer = if continued {
            client.send("hello");
            let ends = |bytes: &[u8]| bytes.ends_with(text.as_bytes());
            client.listen_until(long, ends).text()
        } else {
            begun
        };
        assert!(answer.contains(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
}

#[test]
fn a_body_that_is_too_long_is_413_and_one_that_breaks_off_harms_nobody() {
    let server = Server::start(echo_whole);
    let keys =
        "limits = { request-body = \"10B\" }\nejection = { failures = 1, max-percent = 100 }";
    let wharf = gateway(&[server.address], keys);
    let mut connection = Connection::http1(wharf.address).unwrap();
    assert_eq!(connection.send(post("/", "ten bytes!")).unwrap().text(), "10");
    assert_eq!(connection.send(post("/", "eleven byte")).unwrap().status, 413);
    let (sender, body) = pieces();
    for _ in 0..3 {
        sender.unbounded_send(Frame::data(Bytes::from("12345"))).unwrap();
    }
    drop(sender);
    let mut connection = Connection::http2(wharf.address).unwrap();
    assert_eq!(connection.send(request("POST", "/", body)).unwrap().status, 413);
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc";
    drop(crate::support::raw::exchange(wharf.address, head, Duration::from_millis(300)));
    let good = Full::new(Bytes::from("good")).boxed();
    assert_eq!(connection.send(request("POST", "/", good)).unwrap().text(), "4");
    assert!(!wharf.program.errors().iter().any(|line| line.contains("left alone")));
}

#[test]
fn a_body_that_does_not_come_is_408_and_no_fault_of_the_server() {
    let server = Server::start(echo_whole);
    let keys = "idle-timeout = \"300ms\"\nejection = { failures = 1, max-percent = 100 }";
    let wharf = gateway(&[server.address], keys);
    let asked = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc";
    let heard = crate::support::raw::exchange(wharf.address, asked, Duration::from_secs(60));
    assert!(heard.closed && heard.text().starts_with("HTTP/1.1 408 "), "{}", heard.text());
    assert_eq!(wharf.get("/").status, 200);
    assert!(!wharf.program.errors().iter().any(|line| line.contains("left alone")));
}

/// Reads all of the body before it answers.
async fn echo_whole(request: Request<Incoming>) -> Reply {
    match request.into_body().collect().await {
        Ok(body) => reply(200, &body.to_bytes().len().to_string()),
        Err(error) => reply(500, &error.to_string()),
    }
}
