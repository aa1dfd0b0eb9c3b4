//! Raw sockets of guests, under the same rules.

use crate::support::{Served, deploy, promises};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

promises!([
    an_allowed_address_is_talked_to,
    nobody_is_talked_to_without_a_rule,
    names_are_looked_up_only_where_a_rule_has_them,
    names_in_disguise_open_no_private_address,
    datagrams_go_where_a_rule_allows,
    datagrams_come_from_where_a_rule_allows,
    nobody_listens,
] of sockets, sockets_p3);

fn with_rules(guest: &str, rules: &str) -> Served {
    deploy(&format!(
        r#"
            name = "sockets"
            [component.web]
            source = "{guest}.wasm"
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

fn an_allowed_address_is_talked_to(guest: &str) {
    let (server, wharf) = (mirror(), with_rules(guest, "\"127.0.0.1\""));
    let path = format!("/connect?to={server}&send=ahoy");
    assert_eq!(said(&wharf, &path), (200, "yoha".to_owned()));
}

fn nobody_is_talked_to_without_a_rule(guest: &str) {
    let server = mirror();
    for rules in ["", "\"*\"", "\"10.0.0.0/8\"", "\"127.0.0.1:1\"", "\"http://127.0.0.1\""] {
        let wharf = with_rules(guest, rules);
        assert_eq!(said(&wharf, &format!("/connect?to={server}&send=x")), denied(), "{rules}");
    }
}

fn names_are_looked_up_only_where_a_rule_has_them(guest: &str) {
    let (server, wharf) = (mirror(), with_rules(guest, "\"localhost\""));
    // An instance that never looked up the name does not reach its address.
    assert_eq!(said(&wharf, &format!("/connect?to={server}&send=x")), denied());
    let (status, addresses) = said(&wharf, "/resolve?name=localhost");
    assert_eq!(status, 200);
    assert!(addresses.lines().any(|line| line == "127.0.0.1"), "{addresses}");
    assert_eq!(said(&wharf, "/resolve?name=example.com"), denied());
    assert_eq!(said(&wharf, "/resolve?name="), denied());
    // The address that came back is open, under the rule of its name.
    let path = format!("/dial?name=localhost&port={}&send=ahoy", server.port());
    assert_eq!(said(&wharf, &path), (200, "yoha".to_owned()));
}

fn names_in_disguise_open_no_private_address(guest: &str) {
    let (server, wharf) = (mirror(), with_rules(guest, "\"*\""));
    for name in ["2130706433", "0x7f.1", "localhost", "local%C2%ADhost"] {
        let path = format!("/dial?name={name}&port={}&send=x", server.port());
        assert_eq!(said(&wharf, &path), denied(), "{name}");
    }
    for name in ["", "a%20b", "a:80"] {
        let path = format!("/resolve?name={name}");
        assert_eq!(said(&wharf, &path), (500, "invalid-argument".to_owned()), "{name}");
    }
}

fn datagrams_go_where_a_rule_allows(guest: &str) {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let path = format!("/udp?to={}&send=ahoy", receiver.local_addr().unwrap());
    assert_eq!(said(&with_rules(guest, "\"127.0.0.1\""), &path), (200, "sent".to_owned()));
    let mut bytes = [0; 16];
    let length = receiver.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"ahoy");
    assert_eq!(said(&with_rules(guest, "\"10.0.0.0/8\""), &path), denied());
}

fn datagrams_come_from_where_a_rule_allows(guest: &str) {
    let (server, stranger) = ("127.0.0.1:0", "127.0.0.2:0");
    let [server, stranger] = [server, stranger].map(|address| UdpSocket::bind(address).unwrap());
    server.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let path = format!("/udp-ask?to={}&send=ahoy", server.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (_, guest) = server.recv_from(&mut [0; 16]).unwrap();
        // On one machine they arrive in order.
        stranger.send_to(b"from a stranger", guest).unwrap();
        server.send_to(b"yoha", guest).unwrap();
    });
    assert_eq!(said(&with_rules(guest, "\"127.0.0.1\""), &path), (200, "yoha".to_owned()));
    asked.join().unwrap();
}

fn nobody_listens(guest: &str) {
    let wharf = with_rules(guest, "\"127.0.0.1\", \"0.0.0.0/0\"");
    for at in ["127.0.0.1:0", "0.0.0.0:0"] {
        assert_eq!(said(&wharf, &format!("/listen?at={at}")), denied(), "{at}");
    }
}

#[test]
fn a_connected_socket_of_datagrams_is_under_the_same_rules() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let path = format!("/udp-connected?to={}&send=ahoy", receiver.local_addr().unwrap());
    let open = with_rules("sockets-p3", "\"127.0.0.1\"");
    assert_eq!(said(&open, &path), (200, "sent".to_owned()));
    assert_eq!(receiver.recv(&mut [0; 16]).unwrap(), 4);
    assert_eq!(said(&with_rules("sockets-p3", "\"10.0.0.0/8\""), &path), denied());
}
