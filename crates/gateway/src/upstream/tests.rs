//! Upstreams whose servers come and go.

use super::*;
use http::client::Protocol;
use std::time::Duration;

/// The settings of an upstream without servers.
pub(crate) fn settings(balance: Balance) -> Settings {
    let second = Duration::from_secs(1);
    Settings {
        name: "test".to_owned(),
        places: Vec::new(),
        balance,
        host: None,
        protocol: Protocol::Auto,
        tls: None,
        server_name: None,
        connect_timeout: second,
        request_timeout: None,
        idle_timeout: second,
        tunnel_timeout: second,
        resolve_every: second,
        limits: Limits {
            requests: 4,
            queue: 0,
            queue_timeout: second,
            connections: 4,
            idle_connections: 4,
            request_body: 1 << 20,
        },
        retries: Retries {
            attempts: 1,
            statuses: Vec::new(),
            budget: 20,
            backoff: second,
            max_backoff: second,
        },
        outlier: Outlier { failures: 2, time: second * 60, max_time: second * 60, max_ejected: 50 },
        check: None,
        follow_redirects: 0,
    }
}

fn upstream(hosts: &[&str]) -> Arc<Upstream> {
    let place = |host: &&str| Place { https: false, host: (*host).to_owned(), port: 80 };
    let places = hosts.iter().map(place).collect();
    let settings = Settings { places, ..settings(Balance::RoundRobin) };
    Upstream::new(settings, Arc::new(Network::new(16))).unwrap()
}

fn health(upstream: &Upstream) -> Vec<&'static str> {
    upstream.states().iter().map(|state| state.health).collect()
}

#[test]
fn failures_in_a_row_eject_and_never_more_than_the_share() {
    let upstream = upstream(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let members = upstream.members.load_full();
    let [one, two, _] = &members.endpoints[..] else { panic!("there are three") };
    upstream.note(one, false);
    upstream.note(one, true);
    upstream.note(one, false);
    assert_eq!(health(&upstream), ["well"; 3]);
    upstream.note(one, false);
    assert_eq!(health(&upstream), ["ejected", "well", "well"]);
    for _ in 0..5 {
        upstream.note(two, false);
    }
    assert_eq!(health(&upstream), ["ejected", "well", "well"]);
}

#[test]
fn every_address_of_a_name_is_a_server_and_who_stays_is_kept() {
    let upstream = upstream(&["127.0.0.1", "name.test"]);
    assert_eq!(upstream.states().len(), 1);
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let fixed = vec![ip("127.0.0.1")];
    upstream.set(&[fixed.clone(), vec![ip("127.0.0.5"), ip("127.0.0.6"), ip("127.0.0.5")]]);
    let servers: Vec<_> = upstream.states().into_iter().map(|state| state.server).collect();
    let named = ["name.test:80 (127.0.0.5)", "name.test:80 (127.0.0.6)"];
    assert_eq!(servers, ["127.0.0.1:80", named[0], named[1]]);
    let before = upstream.members.load_full();
    upstream.note(&before.endpoints[2], false);
    upstream.note(&before.endpoints[2], false);
    upstream.set(&[fixed, vec![ip("127.0.0.6"), ip("127.0.0.7")]]);
    assert_eq!(health(&upstream), ["well", "ejected", "well"]);
    let after = upstream.members.load_full();
    assert!(Arc::ptr_eq(&after.endpoints[1], &before.endpoints[2]));
}

#[tokio::test]
async fn a_request_waits_for_names_that_were_never_looked_up() {
    let upstream = upstream(&["name.test"]);
    let waiting = {
        let upstream = Arc::clone(&upstream);
        async move { upstream.choose(None, &[]).await.map(|one| one.address.to_string()) }
    };
    let found = async {
        tokio::task::yield_now().await;
        upstream.set(&[vec!["127.0.0.9".parse().unwrap()]]);
    };
    let (chosen, ()) = tokio::join!(waiting, found);
    assert_eq!(chosen.as_deref(), Some("127.0.0.9:80"));
    upstream.resolved.store(true, Relaxed);
    upstream.set(&[Vec::new()]);
    assert!(upstream.choose(None, &[]).await.is_none());
}
