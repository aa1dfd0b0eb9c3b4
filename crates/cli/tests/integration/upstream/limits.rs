//! How much an upstream takes at once.

use super::gateway;
use crate::support::client::{Connection, beside, get, wait};
use crate::support::eventually;
use crate::support::server::{Server, reply};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A server that answers as often as it is let.
fn gated() -> (Server, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let wait_for = Arc::clone(&gate);
    let server = Server::start(move |_| {
        let gate = Arc::clone(&wait_for);
        async move {
            gate.acquire().await.unwrap().forget();
            reply(200, "x")
        }
    });
    (server, gate)
}

#[test]
fn what_does_not_fit_is_turned_away_and_what_waits_is_answered() {
    let (server, gate) = gated();
    let wharf =
        gateway(&[server.address], "limits = { requests = 2, queue = 1, queue-timeout = \"60s\" }");
    let address = wharf.address;
    let ask = move || beside(async move { crate::support::client::ask(address, get("/")).await });
    let running = [ask(), ask()];
    eventually("two run", || (server.requests() == 2).then_some(()));
    // Of two more one waits, and the other is told to come again.
    let (turned, waiting) = wait(futures::future::select(ask(), ask())).factor_first();
    let turned = turned.unwrap().unwrap();
    assert_eq!((turned.status, turned.header("retry-after")), (503, "1"));
    assert_eq!(server.requests(), 2);
    gate.add_permits(3);
    for client in running {
        assert_eq!(wait(client).unwrap().unwrap().status, 200);
    }
    assert_eq!(wait(waiting).unwrap().unwrap().status, 200);
    assert_eq!(server.requests(), 3);
}

#[test]
fn nobody_waits_longer_than_the_file_says() {
    let (server, gate) = gated();
    let wharf = gateway(
        &[server.address],
        "limits = { requests = 1, queue = 10, queue-timeout = \"200ms\" }",
    );
    let address = wharf.address;
    let running = beside(async move { crate::support::client::ask(address, get("/")).await });
    eventually("one runs", || (server.requests() == 1).then_some(()));
    assert_eq!(wharf.get("/").status, 503);
    gate.add_permits(1);
    assert_eq!(wait(running).unwrap().unwrap().status, 200);
}

#[test]
fn a_place_is_free_again_when_an_answer_is_whole_or_its_client_left() {
    let server = Server::start(|request| async move {
        match request.uri().path() {
            "/stuck" => std::future::pending().await,
            _ => reply(200, "x"),
        }
    });
    let wharf = gateway(&[server.address], "limits = { requests = 1, queue = 0 }");
    for _ in 0..3 {
        eventually("a place", || (wharf.get("/").status == 200).then_some(()));
        let mut connection = Connection::http1(wharf.address).unwrap();
        let before = server.requests();
        let asking = beside(async move { connection.ask(get("/stuck")).await });
        eventually("it runs", || (server.requests() > before).then_some(()));
        assert_eq!(wharf.get("/").status, 503);
        asking.abort();
    }
}

#[test]
fn connections_to_one_server_are_bounded_and_requests_wait_for_one() {
    let server = Server::start(|_| async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        reply(200, "x")
    });
    let wharf =
        gateway(&[server.address], "limits = { connections = 2 }\nconnect-timeout = \"60s\"");
    let address = wharf.address;
    let ask = || beside(async move { crate::support::client::ask(address, get("/")).await });
    let clients: Vec<_> = (0..40).map(|_| ask()).collect();
    for client in clients {
        assert_eq!(wait(client).unwrap().unwrap().status, 200);
    }
    assert!(server.connections() <= 2, "{}", server.connections());
}
