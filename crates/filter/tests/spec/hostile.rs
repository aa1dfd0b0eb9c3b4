//! Filters that mean harm, and a host that has a bug: whom it hurts.

use crate::support::{Body, Guest, Host, OUT, Text, head, out, plugin, response, status, text};
use filter::{Chain, OnFailure, Out, Seat, Way, lock};
use std::sync::Arc;
use std::task::{Context, Waker};

/// Has a guest make one host call.
type Calls = fn(&mut Body<'_>, Text);

/// What of the world a host call comes to, and the call. The text names an upstream and more.
const PANICS: [(&str, Calls); 13] = [
    ("now", |call, _| {
        call.call("proxy_get_current_time_nanoseconds", &[OUT]);
    }),
    ("log_level", |call, _| {
        call.call("proxy_get_log_level", &[OUT]);
    }),
    ("log", |call, it| {
        call.quietly("proxy_log", &[2, it.0, it.1]);
    }),
    ("set_tick", |call, _| {
        call.call("proxy_set_tick_period_milliseconds", &[1]);
    }),
    ("metric", |call, it| {
        call.call("proxy_define_metric", &[0, it.0, it.1, OUT]);
    }),
    ("shared", |call, it| {
        call.call("proxy_get_shared_data", &[it.0, it.1, OUT, OUT + 4, OUT + 8]);
    }),
    ("queues", |call, it| {
        call.call("proxy_register_shared_queue", &[it.0, it.1, OUT]);
    }),
    ("mailbox", |call, it| {
        call.call("proxy_register_shared_queue", &[it.0, it.1, OUT]);
    }),
    ("property", |call, it| {
        call.call("proxy_get_property", &[it.0, it.1, OUT, OUT + 4]);
    }),
    ("foreign", |call, it| {
        call.call("proxy_call_foreign_function", &[it.0, it.1, 0, 0, OUT, OUT + 4]);
    }),
    ("grpc_call", |call, it| {
        let with = [it.0, it.1, it.0, it.1, it.0, it.1, 0, 0, OUT];
        call.call("proxy_grpc_stream", &with);
    }),
    ("grpc_send", |call, it| {
        let with = [it.0, it.1, it.0, it.1, it.0, it.1, 0, 0, OUT];
        call.quietly("proxy_grpc_stream", &with);
        call.call("proxy_grpc_send", &[1 << 2 | 2, it.0, it.1, 0]);
    }),
    // It panics again when what was begun is to be ended with the filter.
    ("cancel", |call, it| {
        let with = [it.0, it.1, it.0, it.1, it.0, it.1, 0, 0, OUT];
        call.quietly("proxy_grpc_stream", &with).quietly("proxy_grpc_stream", &with);
        call.call("proxy_grpc_cancel", &[1 << 2 | 2]);
    }),
];

/// A bug of the host's in a host call ends the filter that made it, as a trap would; the stream,
/// the thread and the host go on.
#[test]
fn a_panic_in_a_host_call_is_the_filters_failure() {
    for (place, calls) in PANICS {
        for on_failure in [OnFailure::Closed, OnFailure::Open, OnFailure::Reload] {
            let mut guest = Guest::new();
            let name = guest.text("auth");
            guest.on("proxy_on_request_headers", 3, Some(1), |call| calls(call, name));
            guest.on("proxy_on_response_headers", 3, Some(0), |_| {});
            let host = Host::with(&guest, |plugin| plugin.on_failure = on_failure);
            host.world.table().panics = Some(place);
            let mut chain = host.http();
            chain.put_head(Way::Request, head(), true);
            let failure = host.failure().unwrap_or_else(|| panic!("{place}"));
            assert_eq!(failure, "a host call of it panicked", "{place}");
            match on_failure {
                OnFailure::Open => assert_eq!(out(&mut chain, Way::Request), [Out::Head(true)]),
                _ => {
                    assert!(chain.is_answered(), "{place}");
                    let head = chain.head(Way::Response).unwrap();
                    assert_eq!(head.status().unwrap().as_u16(), 503, "{place}");
                }
            }
            drop(chain);
            // Without the bug it runs again, if it is to.
            host.world.table().panics = None;
            host.shown();
            let mut chain = host.http();
            chain.put_head(Way::Request, head(), true);
            match on_failure {
                OnFailure::Closed => assert!(chain.is_answered(), "{place}"),
                OnFailure::Open => assert_eq!(out(&mut chain, Way::Request), [Out::Head(true)]),
                OnFailure::Reload => assert_eq!(host.failure().unwrap(), failure, "{place}"),
            }
            let runs = host.seat.current().is_some_and(|it| lock(&it.vm).failure().is_none());
            assert_eq!(runs, on_failure == OnFailure::Reload, "{place}");
        }
    }
}

/// The same outside of streams: in a timer, and while a filter is configured.
#[test]
fn a_panic_outside_of_a_stream_is_a_failure_too() {
    let mut guest = Guest::new();
    guest.on("proxy_on_request_headers", 3, Some(1), |_| {});
    guest.on("proxy_on_tick", 1, None, |call| {
        call.call("proxy_get_current_time_nanoseconds", &[OUT]);
    });
    let host = Host::new(&guest);
    let mut waiting = host.http();
    waiting.put_head(Way::Request, head(), true);
    host.world.table().panics = Some("now");
    let running = host.running();
    let failure = lock(&running.vm).tick(running.root).unwrap_err().to_string();
    assert_eq!(failure, "a host call of it panicked");
    // What waits in it is answered, and its lock is nobody's.
    waiting.poll(Way::Request, &Context::from_waker(Waker::noop()));
    assert!(waiting.is_answered());

    guest.on("proxy_on_configure", 2, Some(1), |call| {
        call.call("proxy_get_current_time_nanoseconds", &[OUT]);
    });
    let refused = Seat::start(&host.worker, plugin(&guest, |_| {})).err().unwrap().to_string();
    assert!(refused.contains("a host call of it panicked"), "{refused}");
    host.world.table().panics = None;
    assert!(Seat::start(&host.worker, plugin(&guest, |_| {})).is_ok());
}

/// Contexts have numbers that others can guess; in another virtual machine those are its own.
#[test]
fn another_virtual_machine_cannot_speak_for_a_stream() {
    let mut victim = Guest::new();
    victim.on("proxy_on_request_headers", 3, Some(1), |call| {
        call.show_argument(0);
    });
    let host = Host::new(&victim);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    assert_eq!(host.shown(), [status(2)]);
    let mut forger = Guest::new();
    let key = forger.text("x-forged");
    forger.on("proxy_on_tick", 1, None, |call| {
        for context in [2, 3, 4] {
            call.call("proxy_set_effective_context", &[context]);
            call.call("proxy_add_header_map_value", &[0, key.0, key.1, key.0, key.1]);
            call.call("proxy_continue_stream", &[0]);
            call.call("proxy_send_local_response", &[200, 0, 0, 0, 0, 0, 0, u32::MAX]);
        }
        call.call("proxy_done", &[]);
    });
    let seat = Seat::start(&host.worker, plugin(&forger, |_| {})).unwrap();
    let running = seat.running().unwrap();
    lock(&running.vm).tick(running.root).unwrap();
    let mut expected = [[2, 2, 0, 2]; 3].concat();
    expected.push(1);
    assert_eq!(host.shown(), expected.into_iter().map(status).collect::<Vec<_>>());
    chain.poll(Way::Request, &Context::from_waker(Waker::noop()));
    assert_eq!(out(&mut chain, Way::Request), [], "it still waits");
    assert!(!chain.is_answered());
    assert!(chain.head(Way::Request).unwrap().get(b"x-forged").is_none());
}

/// Plugins in one virtual machine have one code and one memory, and so may speak for one another;
/// what they set goes to the context that they speak for.
#[test]
fn a_plugin_may_speak_for_another_in_its_machine() {
    let mut guest = Guest::new();
    let name = guest.text("plugin_name");
    guest.on("proxy_on_tick", 1, None, |call| {
        for context in [1, 2] {
            call.call("proxy_set_effective_context", &[context]);
            call.call("proxy_get_property", &[name.0, name.1, OUT, OUT + 4]).show();
        }
        // The number of a third was never given.
        call.call("proxy_set_effective_context", &[3]);
    });
    let host = Host::new(&guest);
    let mut second = (**host.seat.plugin()).clone();
    (second.name, second.configuration) = ("second".into(), "another".into());
    let second = Seat::start(&host.worker, Arc::new(second)).unwrap();
    assert_eq!(second.running().unwrap().root, 2, "they share a machine");
    let running = host.running();
    lock(&running.vm).tick(running.root).unwrap();
    let ok = status(0);
    let expected =
        [ok.clone(), ok.clone(), text("tested"), ok.clone(), ok, text("second"), status(2)];
    let (mut shown, mut expected) = (host.shown(), expected.to_vec());
    // The first context is the one that it is called for.
    shown.remove(0);
    expected.remove(0);
    assert_eq!(shown, expected);
}

/// Maps that say they are larger than all memory are none.
#[test]
fn maps_that_lie_about_their_size_are_refused() {
    let mut guest = Guest::new();
    let words = |words: &[u32]| words.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<_>>();
    let maps = [
        words(&[u32::MAX]),
        words(&[u32::MAX, 1, 1]),
        words(&[1, u32::MAX, u32::MAX]),
        words(&[1, u32::MAX, 1, 0]),
        words(&[2, 0x8000_0000, 0x8000_0000, 0x8000_0000, 0x8000_0000, 0]),
        words(&[1025]),
        words(&[0x2000_0000, 0, 0]),
    ]
    .map(|map| guest.text(map));
    guest.on_request(|call| {
        for map in maps {
            call.call("proxy_set_header_map_pairs", &[0, map.0, map.1]);
            let reply = [200, 0, 0, 0, 0, map.0, map.1, u32::MAX];
            call.call("proxy_send_local_response", &reply);
        }
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    assert_eq!(host.shown(), vec![status(2); maps.len() * 2]);
    assert!(!chain.is_answered());
    assert_eq!(chain.head(Way::Request).unwrap().len(), head().len());
}

/// Headers grow to their limit, and the messages of others are not touched by it.
#[test]
fn headers_grow_to_their_limit() {
    let mut guest = Guest::new();
    let (key, long) = (guest.text("x-long"), guest.text("v".repeat(40 << 10)));
    guest.on("proxy_on_response_headers", 3, Some(0), |call| {
        // More than a map may have, in a loop that ends at the first that is refused.
        call.quietly("proxy_add_header_map_value", &[2, key.0, key.1, key.0, key.1]);
        call.wat(&format!(
            "(loop $more (br_if $more (i32.eqz (call $proxy_add_header_map_value
                (i32.const 2) (i32.const {}) (i32.const {}) (i32.const {}) (i32.const {})))))",
            key.0, key.1, long.0, long.1
        ));
        call.call("proxy_add_header_map_value", &[2, key.0, key.1, long.0, long.1]);
        call.call("proxy_replace_header_map_value", &[2, key.0, key.1, key.0, key.1]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    chain.put_head(Way::Response, response(&[("x-server", "1")]), true);
    assert_eq!(host.failure(), None);
    assert_eq!(host.shown(), [10, 0].map(status), "no room, and then it is made");
    let head = chain.head(Way::Response).unwrap();
    assert_eq!(head.get(b"x-server").unwrap(), "1");
    assert_eq!(head.get(b"x-long").unwrap(), "x-long");
}

/// Numbers of queues and metrics are those of a virtual machine too.
#[test]
fn another_virtual_machine_cannot_guess_a_queue_or_a_metric() {
    let mut owner = Guest::new();
    let name = owner.text("mine");
    owner.on_request(|call| {
        call.call("proxy_register_shared_queue", &[name.0, name.1, OUT]).show_word(OUT);
        call.call("proxy_define_metric", &[0, name.0, name.1, OUT]).show_word(OUT);
    });
    let host = Host::new(&owner);
    let shown = host.request();
    let (queue, metric) = (&shown[1], &shown[3]);
    let (crate::support::Shown::Number(queue), crate::support::Shown::Number(metric)) =
        (queue, metric)
    else {
        panic!("{shown:?}")
    };
    let mut forger = Guest::new();
    let item = forger.text("forged");
    forger.on_request(|call| {
        call.call("proxy_enqueue_shared_queue", &[*queue, item.0, item.1]);
        call.call("proxy_dequeue_shared_queue", &[*queue, OUT, OUT + 4]);
        call.call("proxy_increment_metric", &[*metric, 7]);
        call.call("proxy_get_metric", &[*metric, OUT]);
    });
    let seat = Seat::start(&host.worker, plugin(&forger, |_| {})).unwrap();
    let mut chain = Chain::http(&[seat], Box::new(()));
    chain.put_head(Way::Request, head(), true);
    assert_eq!(host.shown(), vec![status(1); 4]);
    assert_eq!(host.world.table().metrics["mine"].value(), 0);
}
