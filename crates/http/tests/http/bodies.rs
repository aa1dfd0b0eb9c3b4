//! Bodies stream both ways, with trailers, back pressure and lengths as they were meant.

use crate::servers::{
    Answer, channel, client, data, echo, eventually, fetch, get, http, post, raw, read_head, send,
    trailers,
};
use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use http_types::{Method, Request, Response};
use hyper::body::Incoming;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use wharf_http::client::{Error, Options, Protocol};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

fn speaking(protocol: Protocol) -> Options {
    Options { protocol, ..Options::default() }
}

#[tokio::test]
async fn both_directions_stream_at_once_with_trailers() {
    for protocol in BOTH {
        let server = http(echo).await;
        let (sender, body) = channel();
        let request = Request::post(server.url("/up")).header("te", "trailers");
        let request = request.header("trailer", "x-sum").body(body).unwrap();
        let exchange = client().send(request, speaking(protocol)).await.unwrap();
        let mut answer = exchange.response.into_body();
        for part in ["ping", "pong"] {
            sender.send(data(part)).await.unwrap();
            assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), part);
        }
        sender.send(Ok(Frame::trailers(trailers("x-sum", "8")))).await.unwrap();
        drop(sender);
        exchange.sent.await.unwrap();
        let last = answer.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(last, trailers("x-sum", "8"), "{protocol:?}");
        assert!(answer.frame().await.is_none());
        assert!(answer.is_end_stream());
    }
}

#[tokio::test]
async fn the_head_is_right_for_each_version() {
    let server = http(echo).await;
    for (protocol, host, te) in [
        (Protocol::Http1, Some(server.address.to_string()), Some("te")),
        (Protocol::Http2, None, None),
    ] {
        let mut request = post(server.url("/a?b=c"), "12345");
        let headers = request.headers_mut();
        headers.insert("te", "trailers".parse().unwrap());
        headers.insert("host", "other.example".parse().unwrap());
        headers.insert("connection", "close".parse().unwrap());
        headers.insert("transfer-encoding", "gzip".parse().unwrap());
        headers.insert("upgrade", "websocket".parse().unwrap());
        let exchange = client().send(request, speaking(protocol)).await.unwrap();
        let got = |name: &str| {
            let value = exchange.response.headers().get(format!("got-{name}"));
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(got("content-length").as_deref(), Some("5"));
        assert_eq!(got("te").as_deref(), Some("trailers"));
        assert_eq!(got("connection").as_deref(), te);
        assert_eq!(got("host"), host);
        assert_eq!(got("transfer-encoding"), None);
        let uri = got("uri").unwrap();
        match protocol {
            Protocol::Http2 => assert_eq!(uri, server.url("/a?b=c")),
            _ => assert_eq!(uri, "/a?b=c"),
        }
    }
}

#[tokio::test]
async fn a_declared_length_is_kept() {
    for protocol in BOTH {
        let server = http(echo).await;
        let (sender, body) = channel();
        let request = Request::put(server.url("/")).header("content-length", 4).body(body);
        let write = async move {
            sender.send(data("12")).await.unwrap();
            sender.send(data("34")).await.unwrap();
        };
        let client = client();
        let send = client.send(request.unwrap(), speaking(protocol));
        let (exchange, ()) = tokio::join!(send, write);
        let exchange = exchange.unwrap();
        assert_eq!(exchange.response.headers()["got-content-length"], "4");
        assert!(!exchange.response.headers().contains_key("got-transfer-encoding"));
        let body = exchange.response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "1234");
        exchange.sent.await.unwrap();
    }
}

#[tokio::test]
async fn responses_without_a_body_keep_their_length_and_the_connection() {
    let answer = |request: Request<Incoming>| async move {
        let status: u16 = request.uri().path().trim_start_matches('/').parse().unwrap();
        let answer = Response::builder().status(status).header("content-length", "7");
        let body = match (request.method().clone(), status) {
            (Method::HEAD, _) => Empty::new().boxed_unsync(),
            _ => http_body_util::Full::new(Bytes::from("content")).boxed_unsync(),
        };
        let mut answer = answer.body(body).unwrap();
        if status == 204 {
            answer.headers_mut().remove("content-length");
            *answer.body_mut() = Empty::new().boxed_unsync();
        }
        answer
    };
    for protocol in BOTH {
        let server = http(answer).await;
        let client = client();
        for (method, status, length, body) in [
            (Method::HEAD, 200, Some("7"), ""),
            (Method::GET, 204, None, ""),
            (Method::GET, 200, Some("7"), "content"),
        ] {
            let mut request = get(server.url(&format!("/{status}")));
            *request.method_mut() = method;
            let response = client.send(request, speaking(protocol)).await.unwrap().response;
            let seen = response.headers().get("content-length");
            assert_eq!(seen.map(|length| length.to_str().unwrap()), length, "{status}");
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
        }
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn an_unmodified_page_has_a_length_and_no_body() {
    let server = raw(|mut stream, _| async move {
        loop {
            read_head(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n").await?;
        }
    })
    .await;
    let client = client();
    for _ in 0..3 {
        let response = send(&client, get(server.url("/"))).await.unwrap().response;
        assert_eq!(response.headers()["content-length"], "7");
        assert!(response.into_body().is_end_stream());
    }
    assert_eq!(server.connections(), 1);
}

/// Counts what it could give away.
fn endless(given: Arc<AtomicUsize>) -> Answer {
    let chunk = Bytes::from(vec![7; 16 << 10]);
    let stream = futures::stream::poll_fn(move |_| {
        given.fetch_add(chunk.len(), Ordering::SeqCst);
        std::task::Poll::Ready(Some(Ok(Frame::data(chunk.clone()))))
    });
    Response::new(StreamBody::new(stream).boxed_unsync())
}

#[tokio::test]
async fn a_response_that_nobody_reads_stops() {
    for protocol in BOTH {
        let given = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&given);
        let server = http(move |_| std::future::ready(endless(Arc::clone(&count)))).await;
        let client = client();
        let exchange = client.send(get(server.url("/")), speaking(protocol)).await.unwrap();
        let mut body = exchange.response.into_body();
        body.frame().await.unwrap().unwrap();
        let settled = async || {
            let mut before = 0;
            while before != given.load(Ordering::SeqCst) {
                before = given.load(Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            before
        };
        let paused = settled().await;
        // The sockets of the kernel hold most of it.
        assert!(paused < 16 << 20, "{paused} bytes were sent to nobody");
        let mut read = 0;
        while read < paused + (1 << 20) {
            read += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
        }
        eventually("it goes on", || given.load(Ordering::SeqCst) > paused).await;
    }
}

#[tokio::test]
async fn a_request_that_nobody_reads_stops() {
    for protocol in BOTH {
        let server = http(|request| async move {
            let _kept = request;
            std::future::pending().await
        })
        .await;
        let given = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&given);
        let stream = futures::stream::poll_fn(move |_| {
            count.fetch_add(16 << 10, Ordering::SeqCst);
            let frame = Frame::data(Bytes::from(vec![7; 16 << 10]));
            std::task::Poll::Ready(Some(Ok::<_, Error>(frame)))
        });
        let body = StreamBody::new(stream).boxed_unsync();
        let request = Request::post(server.url("/")).body(body).unwrap();
        let options =
            Options { first_byte_timeout: Some(Duration::from_millis(300)), ..speaking(protocol) };
        let error = client().send(request, options).await.unwrap_err();
        assert_eq!(error.name(), "connection-read-timeout");
        let given = given.load(Ordering::SeqCst);
        assert!(given < 32 << 20, "{given} bytes were sent to nobody");
    }
}

#[tokio::test]
async fn informational_responses_are_passed_over() {
    let server = raw(|mut stream, _| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n").await?;
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine").await
    })
    .await;
    assert_eq!(fetch(&client(), get(server.url("/"))).await.unwrap(), "fine");
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_the_connection() {
    let server = raw(|mut stream, _| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await
    })
    .await;
    assert_eq!(fetch(&client(), get(server.url("/"))).await.unwrap(), "until the end");
}

#[tokio::test]
async fn a_get_with_an_unknown_body_sends_none() {
    let server = http(echo).await;
    let (sender, body) = channel();
    drop(sender);
    let exchange = send(&client(), Request::get(server.url("/")).body(body).unwrap()).await;
    let exchange = exchange.unwrap();
    assert!(!exchange.response.headers().contains_key("got-transfer-encoding"));
    exchange.sent.await.unwrap();
}
