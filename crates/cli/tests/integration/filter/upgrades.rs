//! Connections that become tunnels behind filters.

use super::before_upstream;
use crate::support::client::{Connection, beside, get, wait, with};
use crate::support::raw::Raw;
use crate::support::server::{Server, echo};
use crate::support::{Served, eventually, pause};
use crate::upstream::upgrades::{ASKED, ends_with, switching, tunnel};
use h2::Reason;
use h2::ext::Protocol;
use http_types::Request;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::net::TcpStream;

const LONG: Duration = Duration::from_secs(60);

/// The filter that does what a script says, of which every callback is logged.
fn scripted(script: &str, keys: &str, server: SocketAddr) -> Served {
    let keys = format!("root-id = \"probe\"\n{keys}\nconfiguration = '''\ntrace\n{script}\n'''");
    before_upstream("filter-probe", &keys, server)
}

/// How many lines of the log have these words.
fn lines(wharf: &Served, words: &str) -> usize {
    wharf.program.errors().iter().filter(|line| line.contains(words)).count()
}

/// Has a second request do something, in the same virtual machine.
fn beside_it(wharf: &Served, script: &str) -> u16 {
    let asked = with(get("/"), "x-script", script);
    Connection::http1(wharf.address).unwrap().send(asked).unwrap().status
}

#[test]
fn a_filter_sees_both_heads_and_hears_of_the_end() {
    let ended = Arc::new(AtomicUsize::new(0));
    let script = "@request_headers\nproxy_get_header_map_value 0 \"upgrade\" >>\n\
                  @response_headers\nproxy_get_header_map_value 2 \":status\" >>\n\
                  proxy_get_header_map_value 2 \"upgrade\" >>\n\
                  proxy_add_header_map_value 2 \"x-seen\" \"by the filter\"";
    let wharf = scripted(script, "", switching(Arc::clone(&ended)));
    let mut client = Raw::connect(wharf.address);
    client.send(ASKED);
    let text = client.listen_until(LONG, ends_with("first")).text();
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    for field in ["upgrade: websocket", "connection: upgrade", "sec-websocket-accept: a"] {
        assert!(text.contains(&format!("\r\n{field}\r\n")), "{field} in {text}");
    }
    assert!(text.contains("x-seen: by the filter\r\n"), "{text}");
    for text in ["hello", "\0\x01\x02 no HTTP", "GET / HTTP/1.1\r\n\r\n"] {
        assert!(client.send(text));
        assert_eq!(client.listen_until(LONG, ends_with(text)).text(), text);
    }
    // The two heads end the messages of HTTP; what passes then is not the filter's.
    assert_eq!(lines(&wharf, "proxy_get_header_map_value -> 0 \"websocket\""), 2);
    assert_eq!(lines(&wharf, "proxy_get_header_map_value -> 0 \"101\""), 1);
    assert_eq!(lines(&wharf, "on request_headers 2 "), 1);
    assert_eq!(lines(&wharf, "on response_headers 2 "), 1);
    assert_eq!(lines(&wharf, "_body"), 0);
    assert_eq!(lines(&wharf, "on done 2"), 0, "the tunnel is there");
    client.end();
    let heard = client.listen(LONG);
    assert_eq!((heard.text().as_str(), heard.closed), ("last", true));
    wharf.program.wait_for("on delete 2");
    assert_eq!(["on done 2", "on log 2"].map(|words| lines(&wharf, words)), [1, 1]);
    eventually("the server saw the end", || (ended.load(SeqCst) == 1).then_some(()));
}

#[test]
fn a_client_that_leaves_ends_the_tunnel_and_the_stream() {
    let ended = Arc::new(AtomicUsize::new(0));
    let wharf = scripted("", "", switching(Arc::clone(&ended)));
    drop(tunnel(&wharf));
    wharf.program.wait_for("on delete 2");
    eventually("the server saw the end", || (ended.load(SeqCst) == 1).then_some(()));
}

#[test]
fn a_tunnel_through_which_nothing_passes_ends_for_the_filter_too() {
    let server = switching(Arc::default());
    let keys = "configuration = 'trace'";
    let target = format!(
        "upstream = \"up\"\n[upstream.up]\nendpoints = [\"{server}\"]\ntunnel-timeout = \"1s\""
    );
    let wharf = crate::support::deploy(&super::file("filter-probe", keys, &target));
    let mut client = tunnel(&wharf);
    assert!(client.listen(LONG).closed);
    wharf.program.wait_for("on delete 2");
}

#[test]
fn a_filter_answers_instead_and_nothing_is_switched() {
    let server = Server::start(echo);
    let script = "@request_headers\nproxy_send_local_response 403 \"\" \"not you\" {x-own=1} -1\n\
                  return 1";
    let wharf = scripted(script, "", server.address);
    let mut client = Raw::connect(wharf.address);
    // What was not switched is a connection of HTTP, and stays one.
    for _ in 0..2 {
        client.send(ASKED);
        let text = client.listen_until(LONG, ends_with("not you")).text();
        assert!(text.starts_with("HTTP/1.1 403 ") && text.contains("x-own: 1\r\n"), "{text}");
        assert!(!text.contains("upgrade: "), "{text}");
    }
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_filter_answers_instead_of_the_switch() {
    let ended = Arc::new(AtomicUsize::new(0));
    let script = "@response_headers\n\
                  proxy_send_local_response 502 \"\" \"no tunnel\" {} -1\nreturn 1";
    let wharf = scripted(script, "", switching(Arc::clone(&ended)));
    let mut client = Raw::connect(wharf.address);
    for times in 1..=2 {
        client.send(ASKED);
        let text = client.listen_until(LONG, ends_with("no tunnel")).text();
        assert!(text.starts_with("HTTP/1.1 502 ") && !text.contains("upgrade: "), "{text}");
        eventually("the server saw the end", || (ended.load(SeqCst) == times).then_some(()));
    }
    // The same with another status on the same head.
    let script = "@response_headers\nproxy_replace_header_map_value 2 \":status\" \"200\"";
    let wharf = scripted(script, "", switching(Arc::clone(&ended)));
    let mut client = Raw::connect(wharf.address);
    client.send(ASKED);
    let text = client.listen_until(LONG, ends_with("\r\n\r\n")).text();
    assert!(text.starts_with("HTTP/1.1 200 ") && !text.contains("upgrade: "), "{text}");
    eventually("the server saw the end", || (ended.load(SeqCst) == 3).then_some(()));
}

#[test]
fn a_filter_pauses_on_either_head() {
    let ended = Arc::new(AtomicUsize::new(0));
    let script = "@configure\nproxy_set_tick_period_milliseconds 100\n\
                  @request_headers\nreturn 1\n@response_headers\nreturn 1\n\
                  @tick\nproxy_set_effective_context 2\nproxy_continue_stream 0\n\
                  proxy_continue_stream 1";
    let wharf = scripted(script, "", switching(Arc::clone(&ended)));
    let mut client = tunnel(&wharf);
    client.send("hello");
    assert_eq!(client.listen_until(LONG, ends_with("hello")).text(), "hello");
    client.end();
    assert_eq!(client.listen(LONG).text(), "last");
    wharf.program.wait_for("on delete 2");
}

#[test]
fn a_client_may_leave_while_a_filter_holds_a_head() {
    for (held, reaches) in [("request_headers", 0), ("response_headers", 1)] {
        let ended = Arc::new(AtomicUsize::new(0));
        let script = format!("@{held}\nreturn 1");
        let wharf = scripted(&script, "", switching(Arc::clone(&ended)));
        let mut client = Raw::connect(wharf.address);
        client.send(ASKED);
        wharf.program.wait_for(&format!("on {held} 2"));
        drop(client);
        wharf.program.wait_for("on delete 2");
        eventually("the server saw the end", || (ended.load(SeqCst) == reaches).then_some(()));
    }
}

#[test]
fn a_filter_closes_a_tunnel() {
    let ended = Arc::new(AtomicUsize::new(0));
    let wharf = scripted("", "", switching(Arc::clone(&ended)));
    let mut client = tunnel(&wharf);
    client.send("hello");
    assert_eq!(client.listen_until(LONG, ends_with("hello")).text(), "hello");
    let close = "proxy_set_effective_context 2; proxy_close_stream 1";
    assert_eq!(beside_it(&wharf, close), 200);
    assert!(client.listen(LONG).closed);
    wharf.program.wait_for("on delete 2");
    eventually("the server saw the end", || (ended.load(SeqCst) == 1).then_some(()));
}

#[test]
fn a_filter_that_fails_ends_its_tunnels_unless_it_is_open() {
    for on_failure in ["reload", "closed"] {
        let ended = Arc::new(AtomicUsize::new(0));
        let keys = format!("on-failure = \"{on_failure}\"");
        let wharf = scripted("", &keys, switching(Arc::clone(&ended)));
        let mut client = tunnel(&wharf);
        assert_eq!(beside_it(&wharf, "trap"), 503, "{on_failure}");
        assert!(client.listen(LONG).closed, "{on_failure}");
        eventually("the server saw the end", || (ended.load(SeqCst) == 1).then_some(()));
    }
    let wharf = scripted("", "on-failure = \"open\"", switching(Arc::default()));
    let mut client = tunnel(&wharf);
    assert_eq!(beside_it(&wharf, "trap"), 200);
    pause(Duration::from_millis(100));
    client.send("still here");
    assert_eq!(client.listen_until(LONG, ends_with("still here")).text(), "still here");
}

/// RFC 8441 is not offered: a client that asks for it all the same is refused on that stream alone.
#[test]
fn web_sockets_over_http_2_are_refused() {
    let server = Server::start(echo);
    let wharf = scripted("", "", server.address);
    let (offered, reason, status) = wait(async {
        let stream = TcpStream::connect(wharf.address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        drop(beside(connection));
        let mut client = client.ready().await.unwrap();
        let mut asked = Request::new(());
        *asked.method_mut() = http_types::Method::CONNECT;
        *asked.uri_mut() = "http://x/chat".parse().unwrap();
        asked.extensions_mut().insert(Protocol::from_static("websocket"));
        let (answer, _stream) = client.send_request(asked, false).unwrap();
        let refused = answer.await.unwrap_err();
        let mut client = client.ready().await.unwrap();
        let offered = client.is_extended_connect_protocol_enabled();
        let plain = Request::get("http://x/").body(()).unwrap();
        let (answer, _stream) = client.send_request(plain, true).unwrap();
        (offered, refused.reason(), answer.await.unwrap().status().as_u16())
    });
    assert!(!offered, "nobody has to guess");
    assert_eq!((reason, status), (Some(Reason::PROTOCOL_ERROR), 200));
    assert_eq!(server.requests(), 1, "the second");
}

#[test]
fn tunnels_to_anywhere_are_refused_before_any_filter() {
    let server = Server::start(echo);
    let wharf = scripted("", "", server.address);
    let mut client = Raw::connect(wharf.address);
    client.send("CONNECT db.internal:5432 HTTP/1.1\r\nhost: db.internal:5432\r\n\r\n");
    let text = client.listen_until(LONG, ends_with("\n")).text();
    assert!(text.starts_with("HTTP/1.1 405 "), "{text}");
    let text = client.listen_until(LONG, ends_with("served\n")).text() + &text;
    assert!(text.contains("CONNECT is not served"), "{text}");
    let status = wait(async {
        let stream = TcpStream::connect(wharf.address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        drop(beside(connection));
        let mut client = client.ready().await.unwrap();
        let mut asked = Request::new(());
        *asked.method_mut() = http_types::Method::CONNECT;
        *asked.uri_mut() = "db.internal:5432".parse().unwrap();
        let (answer, _stream) = client.send_request(asked, false).unwrap();
        answer.await.unwrap().status().as_u16()
    });
    assert_eq!(status, 405);
    assert_eq!((server.requests(), lines(&wharf, "on context_create 2")), (0, 0));
}
