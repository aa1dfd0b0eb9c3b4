//! Raw sockets of guests, under the same rules.

use crate::support::{Served, deploy};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

fn with_rules(rules: &str) -> Served {
    deploy(&format!(
        r#"
            name = "sockets"
            [component.web]
            source = "sockets.wasm"
            egress = [{rules}]
            [[http.route]]
            component = "web"
        "#
    ))
}

/// A server that turns around what it was sent.
fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut text) = (stream.unwrap(), String::new());
            drop(stream.read_to_string(&mut text));
            drop(stream.write_all(text.chars().rev().collect::<String>().as_bytes()));
        }
    });
    address
}

/// What the guest was told.
fn said(wharf: &Served, path: &str) -> (u16, String) {
    let answer = wharf.get(path);
    (answer.status, answer.text())
}

fn denied() -> (u16, String) {
    (500, "access-denied".to_owned())
}

#[test]
fn an_allowed_address_is_talked_to() {
    let (server, wharf) = (mirror(), with_rules("\"127.0.0.1\""));
    let path = format!("/connect?to={server}&send=ahoy");
    assert_eq!(said(&wharf, &path), (200, "yoha".to_owned()));
}

#[test]
fn nobody_is_talked_to_without_a_rule() {
    let server = mirror();
    for rules in ["", "\"*\"", "\"10.0.0.0/8\"", "\"127.0.0.1:1\"", "\"http://127.0.0.1\""] {
        let wharf = with_rules(rules);
        assert_eq!(said(&wharf, &format!("/connect?to={server}&send=x")), denied(), "{rules}");
    }
}

#[test]
fn names_are_looked_up_only_where_a_rule_has_them() {
    let (server, wharf) = (mirror(), with_rules("\"localhost\""));
    let (status, addresses) = said(&wharf, "/resolve?name=localhost");
    assert_eq!(status, 200);
    assert!(addresses.lines().any(|line| line == "127.0.0.1"), "{addresses}");
    assert_eq!(said(&wharf, "/resolve?name=example.com"), denied());
    // The address that came back is open, under the rule of its name.
    let path = format!("/dial?name=localhost&port={}&send=ahoy", server.port());
    assert_eq!(said(&wharf, &path), (200, "yoha".to_owned()));
    // Without the look-up it is not.
    assert_eq!(said(&wharf, &format!("/connect?to={server}&send=x")), denied());
}

#[test]
fn datagrams_go_where_a_rule_allows() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let path = format!("/udp?to={}&send=ahoy", receiver.local_addr().unwrap());
    assert_eq!(said(&with_rules("\"127.0.0.1\""), &path), (200, "sent".to_owned()));
    let mut bytes = [0; 16];
    let length = receiver.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"ahoy");
    assert_eq!(said(&with_rules("\"10.0.0.0/8\""), &path), denied());
}

#[test]
fn nobody_listens() {
    let wharf = with_rules("\"127.0.0.1\", \"0.0.0.0/0\"");
    assert_eq!(said(&wharf, "/listen?at=127.0.0.1:0").0, 500);
}
