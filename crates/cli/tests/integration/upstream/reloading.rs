//! SIGHUP: upstreams are exchanged without a failed request, and what did not change is kept.

use super::{file, gateway};
use crate::admin::{free, health};
use crate::support::client::{Connection, beside, get, wait};
use crate::support::server::{Server, echo, nobody, reply};
use crate::support::{Served, deploy, eventually, pause};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use testkit::program::Signal;

/// Reads the file again, as the `times`th time.
fn reload(wharf: &Served, times: usize) {
    wharf.program.signal(Signal::SIGHUP);
    wharf.program.wait_until("Reloaded", |lines| {
        (lines.iter().filter(|line| *line == "Reloaded").count() == times).then_some(())
    });
}

#[test]
fn servers_are_exchanged_under_load() {
    let servers: Vec<_> = ["one", "two"]
        .map(|text| {
            Server::start(move |_| async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                reply(200, text)
            })
        })
        .into();
    let wharf = gateway(&[servers[0].address], "");
    let stop = Arc::new(AtomicBool::new(false));
    let address = wharf.address;
    let clients: Vec<_> = [false, true, false, true]
        .map(|two| {
            let stop = Arc::clone(&stop);
            beside(async move {
                let mut count = 0;
                while !stop.load(Relaxed) {
                    let mut connection = Connection::connect(address, two).await.unwrap();
                    for _ in 0..20 {
                        let answer = connection.ask(get("/")).await.unwrap();
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        count += 1;
                    }
                }
                count
            })
        })
        .into();
    for round in 1..=6 {
        wharf.folder.deploy(&file(&[servers[round % 2].address], ""));
        reload(&wharf, round);
        assert_eq!(wharf.text("/"), ["one", "two"][round % 2]);
        pause(Duration::from_millis(200));
    }
    stop.store(true, Relaxed);
    let asked: u64 = clients.into_iter().map(|client| wait(client).unwrap()).sum();
    assert!(asked > 100, "{asked}");
}

#[test]
fn an_upstream_that_did_not_change_keeps_its_connections_and_what_is_known_of_its_servers() {
    let (server, admin) = (Server::start(echo), free());
    let keys = |more: &str| {
        format!(
            "ejection = {{ failures = 2, time = \"10m\" }}\n{more}\n\
             [http]\nadmin = \"{admin}\"\nthreads = 1"
        )
    };
    let endpoints = [server.address, nobody()];
    let wharf = deploy(&file(&endpoints, &keys("")));
    for _ in 0..10 {
        assert_eq!(wharf.get("/").status, 200);
    }
    let state = || health(admin)["upstreams"]["up"]["servers"][1]["health"].clone();
    assert_eq!((state(), server.connections()), ("ejected".into(), 1));
    // Another route and another upstream change nothing for this one.
    let more = format!("[upstream.other]\nendpoints = \"{}\"", server.address);
    let route = "[[http.route]]\npath = \"/other\"\nupstream = \"other\"";
    wharf.folder.deploy(&file(&endpoints, &keys(&format!("{more}\n{route}"))));
    reload(&wharf, 1);
    assert_eq!(wharf.get("/").status, 200);
    assert_eq!((state(), server.connections()), ("ejected".into(), 1));
    assert_eq!(wharf.get("/other").status, 200);
    // Other settings of its own make it another.
    wharf.folder.deploy(&file(&endpoints, &keys("connect-timeout = \"3s\"")));
    reload(&wharf, 2);
    assert_eq!(state(), "well");
}

#[test]
fn a_request_that_runs_ends_at_the_server_that_it_began_with() {
    let slow = Server::start(|_| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        reply(200, "slow")
    });
    let other = Server::start(|_| async { reply(200, "other") });
    let wharf = gateway(&[slow.address], "");
    let address = wharf.address;
    let running = beside(async move { crate::support::client::ask(address, get("/")).await });
    eventually("it runs", || (slow.requests() == 1).then_some(()));
    wharf.folder.deploy(&file(&[other.address], ""));
    reload(&wharf, 1);
    assert_eq!(wharf.text("/"), "other");
    assert_eq!(wait(running).unwrap().unwrap().text(), "slow");
}

#[test]
fn questions_after_health_begin_and_end_with_the_file() {
    let server = Server::start(echo);
    let asking = "health = { path = \"/\", interval = \"20ms\" }";
    let wharf = gateway(&[server.address], "");
    wharf.folder.deploy(&file(&[server.address], asking));
    reload(&wharf, 1);
    eventually("questions", || (server.requests() > 5).then_some(()));
    wharf.folder.deploy(&file(&[server.address], ""));
    reload(&wharf, 2);
    eventually("no further ones", || {
        let before = server.requests();
        pause(Duration::from_millis(300));
        (server.requests() == before).then_some(())
    });
}
