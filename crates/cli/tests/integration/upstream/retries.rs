//! What is tried again, and what is not.

use super::gateway;
use crate::support::client::{Connection, beside, get, pieces, post, request, wait};
use crate::support::server::{self, Server, echo, head, nobody, reply};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Frame;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A server that answers with this status so often, and then echoes.
fn failing(status: u16, times: usize) -> Server {
    let left = Arc::new(AtomicUsize::new(times));
    Server::start(move |request| {
        let fails = left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        async move {
            match fails {
                true => {
                    // Read first, so that the connection is as good as before.
                    drop(request.into_body().collect().await);
                    reply(status, "not yet")
                }
                false => echo(request).await,
            }
        }
    })
}

#[test]
fn a_server_that_cannot_be_reached_is_passed_over_whatever_is_asked() {
    let good = Server::start(echo);
    let wharf = gateway(&[nobody(), good.address], "ejection = { failures = 0 }");
    for number in 0..20 {
        let mut connection = Connection::http1(wharf.address).unwrap();
        let text = format!("body {number}");
        let answer = connection.send(post("/", text.clone())).unwrap();
        assert_eq!((answer.status, answer.text()), (200, text));
        // Also a body that is still being made.
        let (sender, body) = pieces();
        sender.unbounded_send(Frame::data(Bytes::from("one"))).unwrap();
        let mut answer = connection.open(request("POST", "/", body)).unwrap();
        assert_eq!(answer.piece().unwrap().unwrap(), "one");
        drop(sender);
        assert!(answer.rest().is_ok());
    }
    assert_eq!(good.requests(), 40);
}

#[test]
fn without_retries_nothing_is_tried_again() {
    let good = Server::start(echo);
    let keys = "retries = { attempts = 0 }\nejection = { failures = 0 }";
    let wharf = gateway(&[nobody(), good.address], keys);
    let failed = (0..20).filter(|_| wharf.get("/").status == 502).count();
    assert_eq!((failed, good.requests()), (10, 10));
}

#[test]
fn answers_are_tried_again_only_where_that_was_asked_for_and_does_no_harm() {
    let asked = "retries = { attempts = 2, statuses = [503] }";
    let body = || Full::new(Bytes::from("the body")).boxed();
    for (keys, status, method, with_body, good) in [
        (asked, 503, "GET", false, true),
        (asked, 503, "PUT", true, true),
        (asked, 503, "POST", false, true),
        (asked, 503, "POST", true, false),
        (asked, 502, "GET", false, false),
        (asked, 500, "GET", false, false),
        ("", 503, "GET", false, false),
    ] {
        let server = failing(status, 2);
        let wharf = gateway(&[server.address], keys);
        for connect in [Connection::http1, Connection::http2] {
            let asked = match with_body {
                true => request(method, "/", body()),
                false => request(method, "/", http_body_util::Empty::new().boxed()),
            };
            let answer = connect(wharf.address).unwrap().send(asked).unwrap();
            let expected = if good { 200 } else { status };
            assert_eq!(answer.status, expected, "{method} {with_body} {keys}");
            if good && with_body {
                assert_eq!(answer.text(), "the body");
            }
            if !good {
                break;
            }
        }
        assert_eq!(server.requests(), if good { 4 } else { 1 }, "{method} {with_body} {keys}");
    }
}

#[test]
fn attempts_end_and_the_last_answer_is_the_clients() {
    let server = failing(503, 100);
    let wharf = gateway(&[server.address], "retries = { attempts = 3, statuses = [503] }");
    let answer = wharf.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (503, "not yet"));
    assert_eq!(server.requests(), 4);
}

#[test]
fn another_server_is_preferred() {
    let (bad, good) = (failing(503, 1000), Server::start(echo));
    let keys = "retries = { attempts = 1, statuses = [503] }\nejection = { failures = 0 }";
    let wharf = gateway(&[bad.address, good.address], keys);
    for _ in 0..20 {
        assert_eq!(wharf.get("/").status, 200);
    }
    assert_eq!((bad.requests(), good.requests()), (10, 20));
}

#[test]
fn a_body_that_is_too_long_to_keep_is_sent_once() {
    let server = failing(503, 1);
    let wharf = gateway(&[server.address], "retries = { attempts = 2, statuses = [503] }");
    let body = Full::new(Bytes::from(vec![b'x'; 200_000])).boxed();
    let answer = Connection::http1(wharf.address).unwrap().send(request("PUT", "/", body)).unwrap();
    assert_eq!((answer.status, server.requests()), (503, 1));
}

#[test]
fn a_request_that_may_have_been_begun_is_not_sent_again_unasked() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let closing = server::raw(move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            head(&mut stream).await;
            counted.fetch_add(1, SeqCst);
        }
    });
    let wharf = gateway(&[closing], "retries = { attempts = 3 }");
    assert_eq!(wharf.get("/").status, 502);
    assert_eq!(seen.load(SeqCst), 1);
    // With 502 among the statuses it is, where that does no harm.
    let keys = "retries = { attempts = 3, statuses = [502] }\nejection = { failures = 0 }";
    let wharf = gateway(&[closing], keys);
    assert_eq!(wharf.get("/").status, 502);
    assert_eq!(seen.load(SeqCst), 5);
    let answer = Connection::http1(wharf.address).unwrap().send(post("/", "once")).unwrap();
    assert_eq!((answer.status, seen.load(SeqCst)), (502, 6));
}

#[test]
fn a_kept_connection_that_closes_fails_nobody() {
    let server = server::raw(|mut stream| async move {
        for _ in 0..2 {
            if head(&mut stream).await.is_empty() {
                return;
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        // Closes without having said so.
    });
    let wharf = gateway(&[server], "");
    for _ in 0..50 {
        let mut connection = Connection::http1(wharf.address).unwrap();
        assert_eq!(connection.send(get("/")).unwrap().text(), "ok");
    }
}

#[test]
fn streams_that_a_server_refuses_are_sent_elsewhere() {
    let refusing = server::raw(|stream| async move {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    });
    let good = Server::start(echo);
    let keys = "http2 = true\nejection = { failures = 0 }";
    let wharf = gateway(&[refusing, good.address], keys);
    for _ in 0..10 {
        assert_eq!(wharf.get("/").status, 200);
    }
    assert_eq!(good.requests(), 10);
}

/// Reads frames of HTTP/2 until one of this kind came.
async fn until_frame(stream: &mut TcpStream, wanted: u8) -> std::io::Result<()> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        if head[3] == wanted {
            return Ok(());
        }
    }
}

#[test]
fn what_a_server_that_goes_away_did_not_begin_is_sent_elsewhere() {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    // The last stream that was begun is none, and there is no error.
    const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let leaving = server::raw(|mut stream| async move {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        stream.write_all(SETTINGS).await.unwrap();
        until_frame(&mut stream, 1).await.unwrap();
        stream.write_all(GOAWAY).await.unwrap();
        // The other side closes.
        drop(until_frame(&mut stream, u8::MAX).await);
    });
    let good = Server::start(echo);
    let keys = "http2 = true\nejection = { failures = 0 }";
    let wharf = gateway(&[leaving, good.address], keys);
    for _ in 0..10 {
        assert_eq!(wharf.get("/").status, 200);
    }
    assert_eq!(good.requests(), 10);
}

#[test]
fn a_server_in_trouble_is_not_drowned_in_retries() {
    let bad = Server::start(|_| async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        reply(503, "x")
    });
    let keys = "retries = { attempts = 5, statuses = [503], budget = 10 }\n\
                ejection = { failures = 0 }";
    let wharf = gateway(&[bad.address], keys);
    let address = wharf.address;
    let clients: Vec<_> = (0..100)
        .map(|_| beside(async move { crate::support::client::ask(address, get("/")).await }))
        .collect();
    for client in clients {
        assert_eq!(wait(client).unwrap().unwrap().status, 503);
    }
    // Each five times more would be 600.
    assert!(bad.requests() < 300, "{}", bad.requests());
}
