//! Network filters see connections, hold them, change what passes and close them.

use super::{Served, echo, file, filtered, marked};
use crate::support::server::{Server, reply};
use std::sync::{Arc, Mutex};

#[test]
fn bytes_are_changed_either_way() {
    let wharf = Served::start(&filtered(echo(), "upper = [\"downstream\"]", ""));
    wharf.connect().gets("hello", "HELLO");
    let wharf = Served::start(&filtered(marked("welcome"), "upper = [\"upstream\"]", ""));
    wharf.connect().hears("WELCOME");
    // The client's bytes are counted, and so is what comes back of them.
    assert_eq!(wharf.metric("wharf_filter_tcp_upstream_bytes"), 7);
}

#[test]
fn filters_see_bytes_in_their_order() {
    let filters = "filters = [{ name = \"f\", configuration = { upper = [\"downstream\"] } }, \
                   { name = \"f\", configuration = { close_on = \"BYE\" } }]";
    let filter = "[filter.f]\nsource = \"filter-tcp.wasm\"\nconfiguration = {}\n";
    let wharf = Served::start(&(file(&[echo()], filters) + filter));
    let mut client = wharf.connect();
    client.gets("hello", "HELLO");
    client.say("bye");
    assert_eq!(client.rest(), "");
}

#[test]
fn bytes_are_held_until_there_are_enough() {
    let wharf = Served::start(&filtered(echo(), "hold = 8", ""));
    let mut client = wharf.connect();
    client.say("hell");
    client.gets("o again", "hello again");
    client.say("end");
    client.done();
    assert_eq!(client.rest(), "end", "at the end nothing is held");
}

#[test]
fn a_connection_goes_on_when_a_callout_says_so() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&seen);
    let auth = Server::start(move |request| {
        let source = request.headers()["x-source"].to_str().unwrap().to_owned();
        let mut seen = tell.lock().unwrap();
        seen.push((request.uri().path().to_owned(), source));
        let status = if seen.len() == 1 { 200 } else { 403 };
        async move { reply(status, "x") }
    });
    let file = filtered(marked("welcome"), "ask = \"auth\"", "")
        + &format!("[upstream.auth]\nendpoints = \"{}\"\n", auth.address);
    let wharf = Served::start(&file);
    let mut first = wharf.connect();
    // What is said before the answer is there waits for it.
    first.say("early");
    first.hears("welcomeearly");
    let source = first.0.local_addr().unwrap().to_string();
    assert_eq!(*seen.lock().unwrap(), [("/check".to_owned(), source)]);
    assert_eq!(wharf.connect().rest(), "");
    wharf.have_ended("filtered", 1);
}

#[test]
fn a_connection_goes_on_when_a_timer_says_so() {
    let wharf = Served::start(&filtered(echo(), "wait_ms = 50", ""));
    wharf.connect().gets("hello", "hello");
}

#[test]
fn a_filter_closes_and_refuses_connections() {
    let wharf = Served::start(&filtered(echo(), "close_on = \"bye\"", ""));
    let mut client = wharf.connect();
    client.gets("hello", "hello");
    client.say("good bye");
    assert_eq!(client.rest(), "");
    wharf.program.wait_for("tcp 13 down, 5 up, closed by [Some(Local), Some(Local)]");
    let wharf = Served::start(&filtered(marked("never"), "refuse = true", ""));
    assert_eq!(wharf.connect().rest(), "");
    wharf.program.wait_for("tcp 0 down, 0 up, closed by [Some(Local), None]");
}

#[test]
fn filters_learn_who_closed_and_what_is_known_of_the_connection() {
    let server = echo();
    let properties = "\"source.address\", \"destination.port\", \"upstream.address\", \
                      \"xds.cluster_name\", \"plugin_name\", \"connection.tls_version\"";
    let wharf = Served::start(&filtered(server, &format!("tell = [{properties}]"), ""));
    let mut client = wharf.connect();
    client.gets("hello", "hello");
    client.done();
    assert_eq!(client.rest(), "");
    let line = wharf.program.wait_for("tcp 5 down, 5 up");
    let source = client.0.local_addr().unwrap();
    for words in [
        "closed by [Some(Remote), Some(Remote)]".to_owned(),
        format!("source.address={source}"),
        format!("upstream.address={server}"),
        "xds.cluster_name=up".to_owned(),
        "plugin_name=f".to_owned(),
        "connection.tls_version=-".to_owned(),
    ] {
        assert!(line.contains(&words), "{words} in {line}");
    }
}

#[test]
fn all_threads_share_data_and_queues() {
    let consumer = "[filter.c]\nsource = \"filter-queue-consumer.wasm\"\n\
                    configuration = { queue = \"over\" }\n[http]\nfilters = [\"c\"]\n\
                    [[http.route]]\nupstream = \"up\"\n";
    let file = filtered(echo(), "most = 2, queue = \"over\"", "") + consumer;
    let wharf = Served::start(&file);
    let mut open = [wharf.connect(), wharf.connect()];
    open.iter_mut().for_each(|client| client.gets("hello", "hello"));
    for _ in 0..4 {
        assert_eq!(wharf.connect().rest(), "", "one is too many");
    }
    let [mut first, _second] = open;
    first.done();
    assert_eq!(first.rest(), "");
    crate::support::eventually("there is room again", || {
        let mut client = wharf.connect();
        client.0.set_read_timeout(None).unwrap();
        // It may be closed already.
        drop(std::io::Write::write_all(&mut client.0, b"again"));
        client.done();
        (client.rest() == "again").then_some(())
    });
    crate::support::eventually("the queue's listener heard of it", || {
        (wharf.metric("wharf_filter_messages") >= 6).then_some(())
    });
}
