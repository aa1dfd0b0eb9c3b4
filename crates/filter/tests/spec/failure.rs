//! Filters that fail: traps, loops, memory without end, and what becomes of streams.

use crate::support::{Guest, Host, body, head, out, plugin, response, status, text};
use filter::{Chain, OnFailure, Out, Seat, Standing, Way, lock};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

/// A guest that fails in a callback if the request's path is `/crash`, in one of these ways.
const WAYS: [(&str, &str, &str); 5] = [
    ("trap", "unreachable", "unreachable"),
    ("loop", "(loop $l (br $l))", "computed for longer than `callback` = 20ms"),
    ("stack", "(call $deep)", "call stack exhausted"),
    // What a runtime does that panics or exits: the host returns, and it is not to go on.
    ("exit", "(call $exit (i32.const 3)) unreachable", "unreachable"),
    (
        "memory",
        "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable",
        "the limit `memory` was reached",
    ),
];

fn failing(code: &str) -> Guest {
    let mut guest = Guest::new();
    guest.raw_import("(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))");
    guest.raw("(func $deep (call $deep))");
    guest.raw("(global $crash (mut i32) (i32.const 0))");
    let path = guest.text(":path");
    guest.on_request(|call| {
        let out = crate::support::OUT;
        call.quietly("proxy_get_header_map_value", &[0, path.0, path.1, out, out + 4]);
        // The second letter of `/crash`.
        call.wat(&format!(
            "(if (i32.eq (i32.load8_u (i32.add (i32.load (i32.const {out})) (i32.const 1)))
                (i32.const 99)) (then {code}))"
        ));
        call.say("fine");
    });
    guest
}

fn host(code: &str, on_failure: OnFailure) -> Host {
    Host::with(&failing(code), |plugin| {
        plugin.on_failure = on_failure;
        plugin.limits.callback = Duration::from_millis(20);
        plugin.limits.memory = 1 << 20;
    })
}

/// A request for a path, and the status of what it was answered with, if it was.
fn ask(host: &Host, path: &str) -> Option<u16> {
    let mut chain = host.http();
    let mut request = head();
    request.replace(b":path", path.as_bytes()).unwrap();
    chain.put_head(Way::Request, request, true);
    if chain.is_answered() {
        return Some(chain.head(Way::Response).unwrap().status().unwrap().as_u16());
    }
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(true)]);
    None
}

/// `closed`: the request that fails and all that follow are answered with 503.
#[test]
fn closed_stays_closed() {
    for (name, code, cause) in WAYS {
        let host = host(code, OnFailure::Closed);
        assert_eq!(ask(&host, "/"), None, "{name}");
        assert_eq!(ask(&host, "/crash"), Some(503), "{name}");
        let failure = host.failure().unwrap();
        assert!(failure.contains(cause), "{name}: {failure}");
        assert_eq!(ask(&host, "/"), Some(503), "{name}");
    }
}

/// `open`: the request that fails goes on, and all that follow do without the filter.
#[test]
fn open_lets_everything_through() {
    for (name, code, _) in WAYS {
        let host = host(code, OnFailure::Open);
        assert_eq!(ask(&host, "/crash"), None, "{name}");
        host.shown();
        assert_eq!(ask(&host, "/"), None, "{name}");
        assert_eq!(host.shown(), [], "{name}");
    }
}

/// `reload`: the request that fails is answered with 503, the next one finds the filter again.
#[test]
fn reload_is_there_at_once() {
    for (name, code, _) in WAYS {
        let host = host(code, OnFailure::Reload);
        assert_eq!(ask(&host, "/crash"), Some(503), "{name}");
        host.shown();
        assert_eq!(ask(&host, "/"), None, "{name}");
        assert_eq!(host.shown(), [text("fine")], "{name}");
    }
}

/// What fails on and on is left alone for a while.
#[test]
fn a_filter_that_fails_on_and_on_is_left_alone() {
    let host = host("unreachable", OnFailure::Reload);
    for _ in 0..6 {
        assert_eq!(ask(&host, "/crash"), Some(503));
    }
    assert_eq!(ask(&host, "/"), Some(503), "it is not tried now");
    assert_eq!(host.seat.failures().0, 6);
}

/// Streams that wait in a virtual machine that fails are answered as well, and their drivers woken.
#[test]
fn streams_that_wait_in_it_fail_with_it() {
    for on_failure in [OnFailure::Closed, OnFailure::Open, OnFailure::Reload] {
        let mut guest = Guest::new();
        guest.on("proxy_on_request_headers", 3, Some(1), |_| {});
        guest.on("proxy_on_tick", 1, None, |call| {
            call.wat("unreachable");
        });
        let host = Host::with(&guest, |plugin| plugin.on_failure = on_failure);
        let mut chain = host.http();
        chain.put_head(Way::Request, head(), false);
        chain.put_data(Way::Request, "abc".into(), true);
        let running = host.running();
        lock(&running.vm).tick(running.root).unwrap_err();
        chain.poll(Way::Request, &Context::from_waker(Waker::noop()));
        match on_failure {
            OnFailure::Open => {
                let outs = out(&mut chain, Way::Request);
                assert_eq!(body(&outs), ("abc".to_owned(), true));
            }
            _ => assert!(chain.is_answered()),
        }
        // Nothing is called in it any more.
        assert!(lock(&running.vm).tick(running.root).is_err());
    }
}

/// In the middle of a response nothing can be answered any more.
#[test]
fn a_response_that_has_begun_is_cut_off() {
    for on_failure in [OnFailure::Closed, OnFailure::Open, OnFailure::Reload] {
        let mut guest = Guest::new();
        guest.on("proxy_on_response_body", 3, Some(0), |call| {
            call.wat("unreachable");
        });
        let host = Host::with(&guest, |plugin| plugin.on_failure = on_failure);
        let mut chain = host.http();
        chain.put_head(Way::Request, head(), true);
        chain.put_head(Way::Response, response(&[]), false);
        out(&mut chain, Way::Response);
        chain.put_data(Way::Response, "abc".into(), true);
        match on_failure {
            OnFailure::Open => {
                assert_eq!(body(&out(&mut chain, Way::Response)), ("abc".to_owned(), true));
            }
            _ => assert!(chain.is_reset()),
        }
    }
}

/// A filter that fails at the end hurts nobody.
#[test]
fn failing_at_the_end_hurts_nobody() {
    for name in ["proxy_on_done", "proxy_on_log", "proxy_on_delete"] {
        let mut guest = Guest::new();
        let answer = (name == "proxy_on_done").then_some(1);
        guest.on(name, 1, answer, |call| {
            call.wat("unreachable");
        });
        let host = Host::new(&guest);
        host.request();
        assert!(host.failure().unwrap().contains("unreachable"));
        assert_eq!(ask(&host, "/"), None, "it was started again");
    }
}

/// One filter's failure is not another's: they have virtual machines of their own.
#[test]
fn the_neighbour_goes_on() {
    let host = host("unreachable", OnFailure::Open);
    let mut other = Guest::new();
    other.on_request(|call| {
        call.say("other");
    });
    let other = Seat::start(&host.worker, plugin(&other, |_| {})).unwrap();
    for _ in 0..2 {
        let mut chain = Chain::http(&[Arc::clone(&host.seat), Arc::clone(&other)], Box::new(()));
        let mut request = head();
        request.replace(b":path", b"/crash").unwrap();
        chain.put_head(Way::Request, request, true);
        assert_eq!(host.shown(), [text("other")]);
        assert_eq!(out(&mut chain, Way::Request), [Out::Head(true)]);
    }
}

/// With a virtual machine for each stream a failure is that stream's alone.
#[test]
fn a_stream_of_its_own_fails_alone() {
    for on_failure in [OnFailure::Closed, OnFailure::Open, OnFailure::Reload] {
        let host = Host::with(&failing("unreachable"), |plugin| {
            plugin.on_failure = on_failure;
            plugin.isolation = filter::Isolation::Stream;
        });
        let expected = (on_failure != OnFailure::Open).then_some(503);
        assert_eq!(ask(&host, "/crash"), expected);
        host.shown();
        assert_eq!(ask(&host, "/"), None);
        assert_eq!(host.shown(), [text("fine")]);
    }
}

/// The backtrace has the names that the module has.
#[test]
fn a_failure_names_where_it_was() {
    let mut guest = Guest::new();
    guest.raw("(func $the_culprit unreachable)");
    guest.on_request(|call| {
        call.wat("(call $the_culprit)");
    });
    let host = Host::new(&guest);
    host.request();
    let failure = host.failure().unwrap();
    assert!(failure.contains("the_culprit"), "{failure}");
}

/// A callout whose plugin fails is cancelled; its answer is nobody's.
#[test]
fn what_a_failed_filter_began_is_cancelled() {
    let mut guest = Guest::new();
    let name = guest.text("auth");
    let service = guest.text("a.B");
    guest.on_request(|call| {
        let with = [name.0, name.1, service.0, service.1, service.0, service.1, 0, 0, 64];
        call.call("proxy_grpc_stream", &with);
        call.wat("unreachable");
    });
    let host = Host::new(&guest);
    assert_eq!(host.request(), [status(0)]);
    let table = host.world.table();
    let [_, (_, crate::support::Begun::Cancelled)] = &table.begun[..] else {
        panic!("{:?}", table.begun)
    };
}

/// How a filter stands is told without starting it, or waiting for it.
#[test]
fn how_a_filter_stands_is_told() {
    let stands = |host: &Host| host.seat.standing().0;
    for (on_failure, then) in [
        (OnFailure::Closed, Standing::Away),
        (OnFailure::Open, Standing::Away),
        (OnFailure::Reload, Standing::Restarting),
    ] {
        let host = host("unreachable", on_failure);
        assert_eq!(host.seat.standing().0, Standing::Running);
        ask(&host, "/crash");
        // Before a stream notices, and after.
        assert_eq!(stands(&host), then);
        let (_, failures, last) = host.seat.standing();
        assert_eq!((failures, last.is_some()), (1, true));
        ask(&host, "/");
        let expected = if on_failure == OnFailure::Reload { Standing::Running } else { then };
        assert_eq!(stands(&host), expected);
        assert_eq!(host.seat.standing().1, 1, "it is counted once");
    }
    let host = host("unreachable", OnFailure::Reload);
    (0..6).for_each(|_| assert_eq!(ask(&host, "/crash"), Some(503)));
    let Standing::Waiting(rest) = stands(&host) else { panic!("{:?}", stands(&host)) };
    assert!(rest <= Duration::from_secs(1));
    assert_eq!(ask(&host, "/"), Some(503));
    let Standing::Waiting(less) = stands(&host) else { panic!("{:?}", stands(&host)) };
    assert!(less <= rest);
    assert!(host.seat.current().is_none(), "nothing is started to find out");
    // Somebody is in it, who is not waited for.
    let busy = Host::new(&failing("unreachable"));
    let running = busy.running();
    let inside = lock(&running.vm);
    assert_eq!(stands(&busy), Standing::Running);
    drop(inside);
}
