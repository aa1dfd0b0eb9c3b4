//! Which of several servers is asked.

use super::gateway;
use crate::support::Served;
use crate::support::client::{Connection, beside, get, wait, with};
use crate::support::server::{Reply, Server, reply};
use std::net::SocketAddr;
use std::time::Duration;

fn servers(count: usize) -> (Vec<Server>, Vec<SocketAddr>) {
    let servers: Vec<_> = (0..count)
        .map(|number| Server::start(move |_| async move { reply(200, &number.to_string()) }))
        .collect();
    let addresses = servers.iter().map(|server| server.address).collect();
    (servers, addresses)
}

/// Which server answers.
fn asked(wharf: &Served, path: &str, user: &str) -> String {
    let asked = with(get(path), "x-user", user);
    let answer = Connection::http1(wharf.address).unwrap().send(asked).unwrap();
    assert_eq!(answer.status, 200);
    answer.text()
}

#[test]
fn each_is_asked_in_its_turn() {
    let (servers, addresses) = servers(3);
    let wharf = gateway(&addresses, "");
    for _ in 0..30 {
        asked(&wharf, "/", "x");
    }
    let counts: Vec<_> = servers.iter().map(Server::requests).collect();
    assert_eq!(counts, [10, 10, 10]);
}

#[test]
fn a_ring_gives_the_same_server_to_the_same() {
    let (_servers, addresses) = servers(3);
    for (on, paths, users) in [
        ("header:X-User", ["/a", "/b"], ["u", "u"]),
        ("path", ["/p", "/p?q"], ["u", "v"]),
        ("source", ["/a", "/b"], ["u", "v"]),
    ] {
        let wharf = gateway(&addresses, &format!("balance = \"ring-hash\"\nhash-on = \"{on}\""));
        let first = asked(&wharf, paths[0], users[0]);
        for _ in 0..5 {
            assert_eq!(asked(&wharf, paths[0], users[0]), first, "{on}");
            assert_eq!(asked(&wharf, paths[1], users[1]), first, "{on}");
        }
    }
    let wharf = gateway(&addresses, "balance = \"ring-hash\"\nhash-on = \"header:x-user\"");
    let mut seen: Vec<_> = (0..60).map(|user| asked(&wharf, "/", &user.to_string())).collect();
    // Another program with the same servers agrees.
    let other = gateway(&addresses, "balance = \"ring-hash\"\nhash-on = \"header:x-user\"");
    for (user, server) in seen.iter().enumerate() {
        assert_eq!(asked(&other, "/", &user.to_string()), *server);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, ["0", "1", "2"]);
}

#[test]
fn a_busy_server_is_asked_less() {
    let slow = Server::start(|_| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        reply(200, "slow")
    });
    let fast = Server::start(|_| async { reply(200, "fast") });
    let wharf = gateway(&[slow.address, fast.address], "balance = \"least-request\"");
    let address = wharf.address;
    let clients: Vec<_> = (0..20)
        .map(|_| {
            beside(async move {
                for _ in 0..10 {
                    crate::support::client::ask(address, get("/")).await.unwrap();
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| wait(client).unwrap());
    assert_eq!(slow.requests() + fast.requests(), 200);
    assert!(slow.requests() < 60, "{} were slow", slow.requests());
}

#[test]
fn a_forwarded_client_is_the_source_where_its_proxy_is_trusted() {
    async fn number(number: usize) -> Reply {
        reply(200, &number.to_string())
    }
    let servers: Vec<_> = (0..4).map(|n| Server::start(move |_| number(n))).collect();
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let keys = "balance = \"ring-hash\"\nhash-on = \"source\"\n[http]\n";
    for (trust, many) in [("forwarded = [\"127.0.0.1\"]", true), ("", false)] {
        let wharf = gateway(&addresses, &format!("{keys}{trust}"));
        let mut seen: Vec<_> = (0..40)
            .map(|client| {
                let asked = with(get("/"), "x-forwarded-for", &format!("10.0.0.{client}"));
                Connection::http1(wharf.address).unwrap().send(asked).unwrap().text()
            })
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len() > 1, many, "{trust}: {seen:?}");
    }
}
