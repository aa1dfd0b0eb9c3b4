//! Streams and host calls as chance has them.

use crate::support::{Body, Guest, Host, engine, head, out, response};
use filter::{Chain, HeadersStop, Isolation, Module, Out, Plugin, Seat, Way, lock};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Waker};

/// What happens to a stream.
#[derive(Clone, Debug)]
enum Event {
    Data(u8),
    End,
    Trailers,
    /// A filter lets go of what it holds.
    Resume(u8),
    Take,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => any::<u8>().prop_map(Event::Data),
        1 => Just(Event::End),
        1 => Just(Event::Trailers),
        3 => any::<u8>().prop_map(Event::Resume),
        2 => Just(Event::Take),
    ]
}

/// A filter that answers its callbacks as the bytes of its configuration say, and lets go of
/// everything at each tick. It edits nothing.
fn fickle() -> &'static Module {
    static MODULE: LazyLock<Module> = LazyLock::new(|| {
        let mut guest = Guest::new();
        for import in [
            "proxy_get_buffer_bytes\" (func $bytes (param i32 i32 i32 i32 i32) (result i32))",
            "proxy_set_effective_context\" (func $speak_for (param i32) (result i32))",
            "proxy_continue_stream\" (func $go_on (param i32) (result i32))",
        ] {
            guest.raw_import(&format!("(import \"env\" \"{import})"));
        }
        guest.raw(
            "(global $turn (mut i32) (i32.const 0))
             (func $next (param $most i32) (result i32)
                (local $at i32)
                (local.set $at (i32.add (i32.load (i32.const 64))
                    (i32.rem_u (global.get $turn) (i32.load (i32.const 68)))))
                (global.set $turn (i32.add (global.get $turn) (i32.const 1)))
                (i32.rem_u (i32.load8_u (local.get $at)) (local.get $most)))
             (func (export \"proxy_on_configure\") (param i32 i32) (result i32)
                (drop (call $bytes (i32.const 7) (i32.const 0) (local.get 1)
                    (i32.const 64) (i32.const 68)))
                (i32.const 1))
             (func (export \"proxy_on_tick\") (param i32)
                (drop (call $speak_for (i32.const 2)))
                (drop (call $go_on (i32.const 0)))
                (drop (call $go_on (i32.const 1))))",
        );
        for way in ["request", "response"] {
            // 0, 1 or 3: continue, stop, stop everything.
            guest.raw(&format!(
                "(func (export \"proxy_on_{way}_headers\") (param i32 i32 i32) (result i32)
                    (local $is i32) (local.set $is (call $next (i32.const 3)))
                    (i32.add (local.get $is) (i32.eq (local.get $is) (i32.const 2))))
                 (func (export \"proxy_on_{way}_body\") (param i32 i32 i32) (result i32)
                    (call $next (i32.const 3)))
                 (func (export \"proxy_on_{way}_trailers\") (param i32 i32) (result i32)
                    (call $next (i32.const 2)))"
            ));
        }
        Module::compile(engine(), &guest.code(), false).unwrap()
    });
    &MODULE
}

fn seats(scripts: &[Vec<u8>], stop: HeadersStop) -> Vec<Arc<Seat>> {
    let worker = crate::support::World::default().worker();
    let seat = |(index, script): (usize, &Vec<u8>)| {
        let mut plugin = Plugin::new(format!("fickle-{index}"), fickle().clone());
        // A machine that is busy with other tests is no fault of the guest's.
        plugin.limits.callback = std::time::Duration::from_secs(60);
        plugin.configuration = script.clone().into();
        (plugin.headers_stop, plugin.isolation) = (stop, Isolation::Plugin);
        Seat::start(&worker, Arc::new(plugin)).unwrap()
    };
    scripts.iter().enumerate().map(seat).collect()
}

fn resume(chain: &mut Chain, seat: &Seat, way: Way) {
    let running = seat.running().unwrap();
    lock(&running.vm).tick(running.root).unwrap();
    chain.poll(way, &Context::from_waker(Waker::noop()));
}

/// Plays events one way; says what went in and what came out.
fn play(chain: &mut Chain, seats: &[Arc<Seat>], way: Way, events: &[Event]) -> (Vec<u8>, Vec<Out>) {
    let (mut put, mut outs, mut open) = (Vec::new(), Vec::new(), true);
    let first = if way == Way::Request { head() } else { response(&[]) };
    chain.put_head(way, first, false);
    let end = [Event::End];
    for event in events.iter().chain(&end) {
        match event {
            Event::Data(byte) if open => {
                let data = vec![*byte; usize::from(*byte) % 7];
                put.extend_from_slice(&data);
                chain.put_data(way, data.into(), false);
            }
            Event::End if open => {
                open = false;
                chain.put_data(way, Default::default(), true);
            }
            Event::Trailers if open => {
                open = false;
                chain.put_trailers(way, response(&[("x-t", "1")]).into_fields());
            }
            Event::Resume(which) => {
                if let Some(seat) = seats.get(usize::from(*which) % seats.len().max(1)) {
                    resume(chain, seat, way);
                }
            }
            Event::Take => outs.extend(out(chain, way)),
            Event::Data(_) | Event::End | Event::Trailers => {}
        }
    }
    // Each filter may hold the head, the body and the trailers once more.
    for _ in 0..4 * seats.len() {
        seats.iter().for_each(|seat| resume(chain, seat, way));
    }
    outs.extend(out(chain, way));
    (put, outs)
}

proptest! {
    /// What no filter edits comes out as it went in: the same bytes in the same order, one head
    /// before them, one end behind them.
    #[test]
    fn what_goes_in_comes_out(
        scripts in vec(vec(any::<u8>(), 1..12), 0..4),
        iteration in any::<bool>(),
        request in vec(event(), 0..24),
        answer in vec(event(), 0..24),
    ) {
        let stop = if iteration { HeadersStop::Iteration } else { HeadersStop::All };
        let seats = seats(&scripts, stop);
        let mut chain = Chain::http(&seats, Box::new(()));
        for (way, events) in [(Way::Request, &request), (Way::Response, &answer)] {
            let (put, outs) = play(&mut chain, &seats, way, events);
            prop_assert!(!chain.is_reset() && !chain.is_answered());
            prop_assert!(matches!(outs.first(), Some(Out::Head(_))), "{outs:?}");
            let heads = outs.iter().filter(|out| matches!(out, Out::Head(_))).count();
            prop_assert_eq!(heads, 1);
            let ends = |out: &Out| {
                matches!(out, Out::Head(true) | Out::Data(_, true) | Out::Trailers)
            };
            prop_assert!(outs.last().is_some_and(ends), "{:?}", outs);
            prop_assert_eq!(outs.iter().filter(|out| ends(out)).count(), 1);
            let bytes: Vec<u8> = outs
                .iter()
                .flat_map(|out| match out {
                    Out::Data(data, _) => data.to_vec(),
                    _ => Vec::new(),
                })
                .collect();
            prop_assert_eq!(bytes, put);
        }
    }
}

/// Host calls, and how many arguments they take.
const CALLS: [(&str, usize); 38] = [
    ("proxy_done", 0),
    ("proxy_set_effective_context", 1),
    ("proxy_log", 3),
    ("proxy_get_log_level", 1),
    ("proxy_get_current_time_nanoseconds", 1),
    ("proxy_set_tick_period_milliseconds", 1),
    ("proxy_set_buffer_bytes", 5),
    ("proxy_get_buffer_bytes", 5),
    ("proxy_get_buffer_status", 3),
    ("proxy_get_header_map_size", 2),
    ("proxy_get_header_map_pairs", 3),
    ("proxy_set_header_map_pairs", 3),
    ("proxy_get_header_map_value", 5),
    ("proxy_add_header_map_value", 5),
    ("proxy_replace_header_map_value", 5),
    ("proxy_remove_header_map_value", 3),
    ("proxy_continue_stream", 1),
    ("proxy_close_stream", 1),
    ("proxy_get_status", 3),
    ("proxy_send_local_response", 8),
    ("proxy_http_call", 10),
    ("proxy_grpc_call", 12),
    ("proxy_grpc_stream", 9),
    ("proxy_grpc_send", 4),
    ("proxy_grpc_cancel", 1),
    ("proxy_grpc_close", 1),
    ("proxy_set_shared_data", 5),
    ("proxy_get_shared_data", 5),
    ("proxy_register_shared_queue", 3),
    ("proxy_resolve_shared_queue", 5),
    ("proxy_enqueue_shared_queue", 3),
    ("proxy_dequeue_shared_queue", 3),
    ("proxy_define_metric", 4),
    ("proxy_record_metric", 2),
    ("proxy_increment_metric", 2),
    ("proxy_get_metric", 2),
    ("proxy_get_property", 4),
    ("proxy_call_foreign_function", 6),
];

/// A number as a hostile guest would choose it.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        0..10_u32,
        1000..1100_u32,
        131_000..131_100_u32,
        Just(u32::MAX),
        Just(i32::MAX.cast_unsigned()),
        any::<u32>(),
    ]
}

fn make(call: &mut Body<'_>, calls: &[(usize, Vec<u32>)]) {
    for (which, numbers) in calls {
        let (name, arguments) = CALLS.get(which % CALLS.len()).expect("it is one of them");
        call.quietly(name, numbers.get(..*arguments).expect("there are enough"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 5))]

    /// Whatever a guest calls with whatever numbers, the host goes on and the stream stays one.
    #[test]
    fn host_calls_with_any_numbers_harm_nobody(
        calls in vec((any::<usize>(), vec(number(), 12)), 1..60),
        names in vec("[a-z:]{0,8}", 0..8),
    ) {
        let mut guest = Guest::new();
        // Something to point to.
        for name in &names {
            guest.text(name);
        }
        for (callback, arguments) in [
            ("proxy_on_request_headers", 3),
            ("proxy_on_request_body", 3),
            ("proxy_on_response_headers", 3),
            ("proxy_on_response_body", 3),
        ] {
            guest.on(callback, arguments, Some(0), |call| make(call, &calls));
        }
        guest.on("proxy_on_log", 1, None, |call| make(call, &calls));
        let host = Host::new(&guest);
        let mut chain = host.http();
        chain.put_head(Way::Request, head(), false);
        chain.put_data(Way::Request, "hello".into(), true);
        let requests = out(&mut chain, Way::Request);
        chain.put_head(Way::Response, response(&[]), false);
        chain.put_data(Way::Response, "hello".into(), true);
        for outs in [requests, out(&mut chain, Way::Response)] {
            let is_head = |out: &Out| matches!(out, Out::Head(_));
            prop_assert!(outs.iter().skip(1).all(|out| !is_head(out)), "{outs:?}");
            prop_assert!(outs.first().is_none_or(is_head), "{outs:?}");
        }
        drop(chain);
        // No call of these is a trap.
        prop_assert_eq!(host.failure(), None);
    }
}
