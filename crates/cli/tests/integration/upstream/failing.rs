//! Servers that do not answer, or not as they should: what the client gets, and what the log says.

use super::gateway;
use crate::support::client::{Connection, get};
use crate::support::server::{self, Server, head, nobody, reply, says};
use crate::support::{Served, deploy, eventually};
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt as _;

/// Asks, and returns the line of the log that tells why there was no answer.
fn refused(wharf: &Served, status: u16) -> String {
    let answer = wharf.get("/");
    assert_eq!(answer.status, status, "{}", answer.text());
    let text = answer.text();
    assert!(!text.contains("127.0.0."), "a client learns nothing of servers: {text}");
    let id = answer.header("x-request-id").to_owned();
    let line = wharf.program.wait_for(&id);
    assert!(line.contains("WARN") && line.contains("up"), "{line}");
    line
}

/// A server that is silent from then on.
fn silent_after(said: &'static str) -> SocketAddr {
    server::raw(move |mut stream| async move {
        head(&mut stream).await;
        stream.write_all(said.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
}

#[test]
fn a_server_that_is_not_there_is_502() {
    let gone = nobody();
    let line = refused(&gateway(&[gone], ""), 502);
    assert!(line.contains(&gone.to_string()) && line.contains("connection-refused"), "{line}");
}

#[test]
fn what_is_no_answer_is_502() {
    for (said, why) in [
        ("nonsense\r\n\r\n", "HTTP-protocol-error"),
        ("HTTP/1.1 999999 OK\r\n\r\n", "HTTP-protocol-error"),
        ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "HTTP-protocol-error"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "HTTP-protocol-error",
        ),
        (
            "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            "HTTP-upgrade-failed",
        ),
    ] {
        let server = says(said);
        let line = refused(&gateway(&[server], ""), 502);
        assert!(line.contains(&server.to_string()) && line.contains(why), "{said}: {line}");
    }
    let line = refused(&gateway(&[says("")], ""), 502);
    assert!(line.contains("terminated") || line.contains("incomplete"), "{line}");
}

#[test]
fn a_server_that_takes_too_long_is_504() {
    for key in ["idle-timeout = \"300ms\"", "request-timeout = \"300ms\""] {
        let server = silent_after("");
        let line = refused(&gateway(&[server], key), 504);
        assert!(line.contains(&server.to_string()) && line.contains("timeout"), "{key}: {line}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    for (said, why) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "incomplete"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n", "incomplete"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", "transfer-coding"),
    ] {
        let wharf = gateway(&[says(said)], "");
        for connect in [Connection::http1, Connection::http2] {
            assert!(connect(wharf.address).unwrap().send(get("/")).is_err(), "{said}");
        }
        let line = wharf.program.wait_for("an answer broke off");
        assert!(line.contains(why), "{line}");
    }
}

#[test]
fn an_answer_that_stops_is_ended_after_the_idle_time() {
    for key in ["idle-timeout = \"300ms\"", "request-timeout = \"500ms\""] {
        let wharf =
            gateway(&[silent_after("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")], key);
        assert!(wharf.try_get("/").is_err());
        let line = wharf.program.wait_for("an answer broke off");
        assert!(line.contains("timeout"), "{key}: {line}");
    }
}

#[test]
fn a_name_that_nobody_knows_is_503_and_the_log_says_why() {
    let wharf = deploy(
        "name = \"gateway\"\n[[http.route]]\nupstream = \"up\"\n\
         [upstream.up]\nendpoints = \"nobody.test:80\"\n",
    );
    let answer = wharf.get("/");
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    let line = wharf.program.wait_for("a name was not found");
    assert!(line.contains("nobody.test") && line.contains("up"), "{line}");
}

#[test]
fn every_address_of_a_name_is_a_server() {
    let server = Server::start(|_| async { reply(200, "found") });
    let wharf = deploy(&format!(
        "name = \"gateway\"\n[[http.route]]\nupstream = \"up\"\n\
         [upstream.up]\nendpoints = \"localhost:{}\"\nretries = {{ attempts = 3 }}\n\
         resolve-every = \"50ms\"\n",
        server.address.port()
    ));
    for _ in 0..10 {
        assert_eq!(wharf.text("/"), "found");
    }
    eventually("more look-ups", || (wharf.text("/") == "found").then_some(()));
}

#[test]
fn a_server_that_crashes_and_comes_back_is_asked_again() {
    let listener = server::free();
    let address = listener.local_addr().unwrap();
    let first = Server::at(listener, None, |_| async { reply(200, "one") });
    let wharf = gateway(&[address], "connect-timeout = \"2s\"");
    assert_eq!(wharf.text("/"), "one");
    drop(first);
    eventually("it is gone", || (wharf.get("/").status == 502).then_some(()));
    let listener = eventually("the port is free", || std::net::TcpListener::bind(address).ok());
    let _second = Server::at(listener, None, |_| async { reply(200, "two") });
    eventually("it is back", || (wharf.get("/").text() == "two").then_some(()));
}
