//! Nothing is reached but what the rules allow, by name and by address.

use crate::servers::{Names, client_with, egress, fetch, get, http, network, settings, text};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wharf_http::client::{Client, Error, Network};

#[tokio::test]
async fn without_a_rule_nobody_is_reached_and_no_name_is_looked_up() {
    let server = http(|_| async { text("secret") }).await;
    let names = Arc::new(Names::default());
    let network = Arc::new(Network::new(10).with_resolver(Arc::clone(&names) as _));
    let client = Client::new(network, egress(&[]), settings());
    assert_eq!(fetch(&client, get(server.url("/"))).await, Err(Error::HttpRequestDenied));
    let url = format!("http://a.test:{}/", server.address.port());
    assert_eq!(fetch(&client, get(url)).await, Err(Error::HttpRequestDenied));
    assert_eq!(names.asked.load(Ordering::SeqCst), 0);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_public_name_that_leads_inside_is_refused() {
    let server = http(|_| async { text("secret") }).await;
    for inside in ["127.0.0.1", "::ffff:127.0.0.1", "::1", "169.254.169.254", "10.0.0.1"] {
        let names = Names { known: vec![("evil.example", vec![inside])], ..Names::default() };
        let client = Client::new(network(names), egress(&["*", "evil.example"]), settings());
        let url = format!("http://evil.example:{}/", server.address.port());
        assert_eq!(fetch(&client, get(url)).await, Err(Error::DestinationIpProhibited));
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn of_several_addresses_only_allowed_ones_are_used() {
    let server = http(|_| async { text("fine") }).await;
    let addresses = vec!["169.254.169.254", "127.0.0.1"];
    let names = Names { known: vec![("mixed.test", addresses)], ..Names::default() };
    let client = Client::new(network(names), egress(&["mixed.test"]), settings());
    let url = format!("http://mixed.test:{}/", server.address.port());
    assert_eq!(fetch(&client, get(url)).await.unwrap(), "fine");
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_check_and_connection() {
    let server = http(|_| async { text("fine") }).await;
    let names = Arc::new(Names::default());
    let network = Arc::new(Network::new(10).with_resolver(Arc::clone(&names) as _));
    let client = Client::new(network, egress(&["a.test"]), settings());
    let url = format!("http://a.test:{}/", server.address.port());
    for _ in 0..3 {
        assert_eq!(fetch(&client, get(&url)).await.unwrap(), "fine");
    }
    assert_eq!(names.asked.load(Ordering::SeqCst), 1);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_of_one_component_never_serves_another() {
    let server = http(|_| async { text("secret") }).await;
    let known = vec![("api.example", vec!["127.0.0.1"])];
    let network = network(Names { known, ..Names::default() });
    let rules = egress(&["api.example", "127.0.0.1"]);
    let inside = Client::new(Arc::clone(&network), rules, settings());
    let outside = Client::new(network, egress(&["api.example"]), settings());
    let url = format!("http://api.example:{}/", server.address.port());
    assert_eq!(fetch(&inside, get(&url)).await.unwrap(), "secret");
    assert_eq!(fetch(&outside, get(&url)).await, Err(Error::DestinationIpProhibited));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let server = http(|_| async { text("second") }).await;
    let addresses = vec!["127.0.0.2", "127.0.0.1"];
    let names = Names { known: vec![("two.test", addresses)], ..Names::default() };
    let client = Client::new(network(names), egress(&["two.test"]), settings());
    let url = format!("http://two.test:{}/", server.address.port());
    assert_eq!(fetch(&client, get(url)).await.unwrap(), "second");
}

#[tokio::test]
async fn odd_targets_are_refused_before_anything_is_sent() {
    let server = http(|_| async { text("fine") }).await;
    let client = client_with(settings());
    let port = server.address.port();
    for (url, error) in [
        (format!("http://user:pass@127.0.0.1:{port}/"), Error::HttpRequestUriInvalid),
        ("/only/a/path".to_owned(), Error::HttpRequestUriInvalid),
        ("ftp://127.0.0.1/".to_owned(), Error::HttpRequestUriInvalid),
        ("http://127.0.0.1:0/".to_owned(), Error::HttpRequestUriInvalid),
        ("http://127.0.0.1:/".to_owned(), Error::HttpRequestUriInvalid),
        (
            "https://bad_name-.test/".to_owned(),
            Error::DnsError { rcode: Some("NXDOMAIN".to_owned()), info_code: None },
        ),
    ] {
        assert_eq!(fetch(&client, get(&url)).await, Err(error), "{url}");
    }
    let mut tunnel = get(server.url("/"));
    *tunnel.method_mut() = http_types::Method::CONNECT;
    assert_eq!(fetch(&client, tunnel).await, Err(Error::HttpRequestMethodInvalid));
    assert_eq!(server.connections(), 0);
}
