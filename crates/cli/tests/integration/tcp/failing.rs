//! Servers that are away, and filters that trap.

use super::{Served, echo, file, filtered, marked};
use crate::support::server::nobody;

#[test]
fn where_no_server_is_there_the_connection_is_closed_and_the_log_says_why() {
    let away = nobody();
    for file in [file(&[away], ""), filtered(away, "", "")] {
        let wharf = Served::start(&file);
        assert_eq!(wharf.connect().rest(), "");
        let line = wharf.program.wait_for("no connection");
        for words in ["up", "attempts=2", &away.to_string()] {
            assert!(line.contains(words), "{words} in {line}");
        }
        wharf.have_ended("refused", 1);
        let failed = "wharf_requests_total{upstream=\"up\",outcome=\"failed\"}";
        assert_eq!(wharf.metric(failed), 1);
    }
}

#[test]
fn another_server_is_asked_where_one_is_away() {
    let wharf = Served::start(&file(&[nobody(), marked("here")], ""));
    for _ in 0..10 {
        wharf.connect().hears("here");
    }
    wharf.have_ended("refused", 0);
}

#[test]
fn a_server_that_cannot_be_connected_to_is_ill_and_avoided() {
    let keys = "retries = { attempts = 0 }\nejection = { failures = 0 }\n\
                health = { interval = \"20ms\", healthy = 1, unhealthy = 2 }\n";
    let away = nobody();
    let wharf = Served::start(&(file(&[away, marked("here")], "") + keys));
    let line = wharf.program.wait_for("a server is ill");
    assert!(line.contains(&away.to_string()), "{line}");
    for _ in 0..6 {
        wharf.connect().hears("here");
    }
    let wharf = Served::start(&(file(&[away], "") + keys));
    wharf.program.wait_for("a server is ill");
    assert_eq!(wharf.connect().rest(), "");
    wharf.program.wait_for("no server of the upstream is well");
}

#[test]
fn a_trap_closes_the_connection_and_the_next_finds_the_filter_again() {
    let wharf = Served::start(&filtered(echo(), "trap_on = \"boom\"", ""));
    for _ in 0..2 {
        let mut client = wharf.connect();
        client.gets("hello", "hello");
        client.say("boom");
        assert_eq!(client.rest(), "");
    }
    wharf.program.wait_for("a filter failed");
    wharf.connect().gets("hello", "hello");
}

#[test]
fn a_trap_closes_what_is_in_the_same_machine_and_nothing_else() {
    for (isolation, stays) in [("worker", false), ("stream", true)] {
        let keys = format!("isolation = \"{isolation}\"");
        let file = filtered(echo(), "trap_on = \"boom\"", &keys);
        let wharf = Served::start_with(&file, 1);
        let mut other = wharf.connect();
        other.gets("hello", "hello");
        let mut client = wharf.connect();
        client.say("boom");
        assert_eq!(client.rest(), "");
        match stays {
            true => other.gets("hello", "hello"),
            false => assert_eq!(other.rest(), ""),
        }
    }
}

#[test]
fn closed_stays_closed_and_open_goes_on_without_the_filter() {
    let configuration = "trap_on = \"boom\", upper = [\"downstream\"]";
    let one = |keys: &str| Served::start_with(&filtered(echo(), configuration, keys), 1);
    let wharf = one("on-failure = \"closed\"");
    let mut client = wharf.connect();
    client.gets("hello", "HELLO");
    client.say("boom");
    assert_eq!(client.rest(), "");
    assert_eq!(wharf.connect().rest(), "", "and so are all that come");
    let wharf = one("on-failure = \"open\"");
    let mut client = wharf.connect();
    client.gets("hello", "HELLO");
    client.gets("boom", "boom");
    client.gets("hello", "hello");
}
