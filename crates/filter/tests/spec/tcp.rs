//! TCP streams.

use crate::support::{Guest, Host, Shown, body, out, status, text};
use filter::{Chain, Out, Peer, Way, lock};
use std::sync::Arc;
use std::task::{Context, Waker};

/// A guest that tells of everything that happens to a connection.
fn telling(connect: u32, data: u32) -> Guest {
    let mut guest = Guest::new();
    guest.on("proxy_on_new_connection", 1, Some(connect), |call| {
        call.say("new");
    });
    for name in ["downstream", "upstream"] {
        guest.on(&format!("proxy_on_{name}_data"), 3, Some(data), |call| {
            call.say(name).show_argument(1).show_argument(2);
        });
        guest.on(&format!("proxy_on_{name}_connection_close"), 2, None, |call| {
            call.say(&format!("{name} closed")).show_argument(1);
        });
    }
    guest
}

fn tcp(host: &Host) -> Chain {
    Chain::tcp(&[Arc::clone(&host.seat)], Box::new(()))
}

fn told(name: &str, numbers: &[u32]) -> Vec<Shown> {
    std::iter::once(text(name)).chain(numbers.iter().map(|number| status(*number))).collect()
}

/// "Called when a new connection is established." "Called for each data chunk." "Called when
/// connection is closed."
#[test]
fn a_connection_is_told_of() {
    let host = Host::new(&telling(0, 0));
    let mut chain = tcp(&host);
    chain.put_connection();
    chain.put_data(Way::Request, "abc".into(), false);
    chain.put_data(Way::Response, "de".into(), false);
    chain.put_data(Way::Request, "".into(), true);
    chain.put_data(Way::Response, "".into(), true);
    chain.put_close(Way::Request, Peer::Remote);
    chain.put_close(Way::Response, Peer::Local);
    let expected = [
        told("new", &[]),
        told("downstream", &[3, 0]),
        told("upstream", &[2, 0]),
        told("downstream", &[0, 1]),
        told("upstream", &[0, 1]),
        told("downstream closed", &[2]),
        told("upstream closed", &[1]),
    ];
    assert_eq!(host.shown(), expected.concat());
    let outs = out(&mut chain, Way::Request);
    assert_eq!(outs[0], Out::Head(false), "the time to connect");
    assert_eq!(body(&outs), ("abc".to_owned(), true));
    assert_eq!(body(&out(&mut chain, Way::Response)), ("de".to_owned(), true));
}

/// "`PAUSE` to pause processing of the new connection."
#[test]
fn a_new_connection_may_have_to_wait() {
    let mut guest = telling(1, 0);
    guest.on("proxy_on_tick", 1, None, |call| {
        call.quietly("proxy_set_effective_context", &[2]);
        call.call("proxy_continue_stream", &[2]);
    });
    let host = Host::new(&guest);
    let mut chain = tcp(&host);
    chain.put_connection();
    chain.put_data(Way::Request, "abc".into(), false);
    assert_eq!(out(&mut chain, Way::Request), []);
    let running = host.running();
    lock(&running.vm).tick(running.root).unwrap();
    chain.poll(Way::Request, &Context::from_waker(Waker::noop()));
    let data = Out::Data("abc".into(), false);
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(false), data]);
}

/// "`data_size` represents total available size, and its value will increment if the processing is
/// paused and data is buffered by the host." "Paused downstream can be resumed using
/// `proxy_continue_stream`."
#[test]
fn data_may_have_to_wait() {
    let mut guest = telling(0, 1);
    let value = guest.text("X");
    guest.on("proxy_on_tick", 1, None, |call| {
        call.quietly("proxy_set_effective_context", &[2]);
        call.call("proxy_set_buffer_bytes", &[3, 1, 1, value.0, value.1]);
        call.call("proxy_continue_stream", &[3]);
    });
    let host = Host::new(&guest);
    let mut chain = tcp(&host);
    chain.put_connection();
    chain.put_data(Way::Response, "abc".into(), false);
    chain.put_data(Way::Response, "d".into(), false);
    assert_eq!(out(&mut chain, Way::Response), []);
    let running = host.running();
    lock(&running.vm).tick(running.root).unwrap();
    let sizes = [told("new", &[]), told("upstream", &[3, 0]), told("upstream", &[4, 0])];
    assert_eq!(host.shown(), [sizes.concat(), [0, 0].map(status).to_vec()].concat());
    chain.poll(Way::Request, &Context::from_waker(Waker::noop()));
    assert_eq!(body(&out(&mut chain, Way::Response)).0, "aXcd");
}

/// As much as a filter may hold comes to it, and then nothing more.
#[test]
fn a_filter_that_waits_is_given_all_that_it_may_hold() {
    let host = Host::with(&telling(0, 1), |plugin| plugin.limits.buffer = 100 << 10);
    let mut chain = tcp(&host);
    chain.put_connection();
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(false)]);
    let part = bytes::Bytes::from(vec![0; 50 << 10]);
    for _ in 0..2 {
        assert!(chain.wants(Way::Request));
        chain.put_data(Way::Request, part.clone(), false);
    }
    assert!(!chain.wants(Way::Request) && chain.wants(Way::Response));
}

/// A plugin is known to have streams for as long as they last.
#[test]
fn a_plugin_has_streams_until_they_are_over() {
    let host = Host::new(&telling(0, 0));
    let running = host.running();
    let has_streams = || lock(&running.vm).has_streams(running.root);
    assert!(!has_streams());
    let chain = tcp(&host);
    assert!(has_streams());
    drop(chain);
    assert!(!has_streams());
}

/// "or closed using `proxy_close_stream`."
#[test]
fn a_filter_closes_a_connection() {
    let mut guest = Guest::new();
    guest.on("proxy_on_downstream_data", 3, Some(0), |call| {
        call.call("proxy_close_stream", &[2]);
    });
    let host = Host::new(&guest);
    let mut chain = tcp(&host);
    chain.put_connection();
    chain.put_data(Way::Request, "abc".into(), false);
    assert!(chain.is_reset());
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(false)]);
}

/// A filter that fails ends the connection, or is left out.
#[test]
fn a_filter_that_fails_ends_the_connection() {
    use filter::OnFailure;
    for on_failure in [OnFailure::Closed, OnFailure::Open, OnFailure::Reload] {
        let mut guest = Guest::new();
        guest.on("proxy_on_downstream_data", 3, Some(0), |call| {
            call.wat("unreachable");
        });
        let host = Host::with(&guest, |plugin| plugin.on_failure = on_failure);
        let mut chain = tcp(&host);
        chain.put_connection();
        chain.put_data(Way::Request, "abc".into(), false);
        assert_eq!(chain.is_reset(), on_failure != OnFailure::Open);
        if on_failure == OnFailure::Open {
            assert_eq!(body(&out(&mut chain, Way::Request)).0, "abc");
        }
    }
}

/// What belongs to HTTP is not there.
#[test]
fn a_connection_has_no_headers() {
    let mut guest = Guest::new();
    let key = guest.text("x");
    guest.on("proxy_on_downstream_data", 3, Some(0), |call| {
        let out = crate::support::OUT;
        call.call("proxy_get_header_map_size", &[0, out]).show_word(out);
        call.call("proxy_add_header_map_value", &[0, key.0, key.1, key.0, key.1]);
        call.call("proxy_get_buffer_bytes", &[0, 0, 1, out, out + 4]);
        call.call("proxy_get_buffer_bytes", &[2, 0, 1, out, out + 4]).show();
    });
    let host = Host::new(&guest);
    let mut chain = tcp(&host);
    chain.put_connection();
    chain.put_data(Way::Request, "abc".into(), false);
    assert_eq!(host.shown(), [status(0), status(0), status(2), status(1), status(0), text("a")]);
}

/// The filter of TCP as its SDK makes it.
mod filter_tcp {
    use super::*;
    use crate::support::{World, engine};
    use filter::{Module, Plugin, Seat};

    fn host(configuration: &'static str) -> Host {
        let code = std::fs::read(testkit::guests::guest("filter-tcp")).unwrap();
        let mut plugin = Plugin::new("tcp", Module::compile(engine(), &code, false).unwrap());
        plugin.configuration = configuration.into();
        let (world, plugin) = (World::default(), Arc::new(plugin));
        let worker = world.worker();
        let seat = Seat::start(&worker, plugin).unwrap();
        Host { world, worker, seat }
    }

    #[test]
    fn bytes_are_changed_counted_and_held() {
        let host = host(r#"{ "upper": ["downstream"], "hold": 8 }"#);
        let mut chain = tcp(&host);
        chain.put_connection();
        chain.put_data(Way::Request, "hell".into(), false);
        chain.put_data(Way::Response, "as it is".into(), false);
        assert_eq!(body(&out(&mut chain, Way::Request)).0, "");
        chain.put_data(Way::Request, "o again".into(), false);
        assert_eq!(body(&out(&mut chain, Way::Request)).0, "HELLO AGAIN");
        assert_eq!(body(&out(&mut chain, Way::Response)).0, "as it is");
        let table = host.world.table();
        assert_eq!(table.metrics["tcp_upstream_bytes"].value(), 8);
    }

    #[test]
    fn a_connection_is_closed_at_a_word_or_refused() {
        let closing = host(r#"{ "close_on": "bye" }"#);
        let mut chain = tcp(&closing);
        chain.put_connection();
        chain.put_data(Way::Request, "hello".into(), false);
        assert!(!chain.is_reset());
        chain.put_data(Way::Request, "bye".into(), false);
        assert!(chain.is_reset());
        let refusing = host(r#"{ "refuse": true }"#);
        let mut chain = tcp(&refusing);
        chain.put_connection();
        assert!(chain.is_reset() || out(&mut chain, Way::Request).is_empty());
    }
}
