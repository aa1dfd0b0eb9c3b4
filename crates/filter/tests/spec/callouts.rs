//! Callouts beside streams: many at once, one after another, and streams that do not wait for them.

use crate::support::{Begun, Body, Guest, Host, OUT, Text, head, out, response, status, text};
use filter::{Chain, Grpc, Headers, HttpResponse, OnFailure, Out, Seat, Way, lock, pairs};
use std::task::{Context, Waker};

/// What a callout needs in the guest's memory.
#[derive(Clone, Copy)]
struct Asked {
    upstream: Text,
    head: Text,
}

impl Asked {
    fn new(guest: &mut Guest) -> Self {
        let head = [(":method", "GET"), (":path", "/check"), (":authority", "auth")];
        let head = head.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let head = pairs::to_bytes(|| head.iter().copied());
        Self { upstream: guest.text("auth"), head: guest.text(&head) }
    }

    /// Asks, and shows what the host answers.
    fn ask(self, call: &mut Body<'_>) {
        let Self { upstream, head } = self;
        let with = [upstream.0, upstream.1, head.0, head.1, 0, 0, 0, 0, 100, OUT];
        call.call("proxy_http_call", &with);
    }
}

/// A guest that holds requests and asks about each; what comes it tells, and lets the stream of
/// context 2 go on.
fn asking() -> Guest {
    let mut guest = Guest::new();
    let asked = Asked::new(&mut guest);
    guest.on("proxy_on_request_headers", 3, Some(1), |call| asked.ask(call));
    guest.on("proxy_on_http_call_response", 5, None, |call| {
        call.say("answer").show_argument(1);
        call.call("proxy_set_effective_context", &[2]);
        call.call("proxy_continue_stream", &[0]);
    });
    guest.on("proxy_on_delete", 1, None, |call| {
        call.say("gone").show_argument(0);
    });
    guest
}

fn answer() -> HttpResponse {
    HttpResponse { headers: response(&[]), ..HttpResponse::default() }
}

/// The numbers of all that was begun.
fn begun(host: &Host) -> Vec<u32> {
    host.world.table().begun.iter().map(|(id, _)| *id).collect()
}

fn goes_on(chain: &mut Chain) -> Vec<Out> {
    chain.poll(Way::Request, &Context::from_waker(Waker::noop()));
    out(chain, Way::Request)
}

/// The client goes away while its filter waits: the answer is told to the plugin, which cannot
/// speak for the stream any more.
#[test]
fn an_answer_may_come_after_its_stream() {
    let host = Host::new(&asking());
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    drop(chain);
    assert_eq!(host.shown(), [status(0), text("gone"), status(2)]);
    let running = host.running();
    let id = host.world.last_call();
    lock(&running.vm).http_response(id, answer()).unwrap();
    // The stream is unknown; going on with the plugin's own context is going on with nothing.
    assert_eq!(host.shown(), [text("answer"), status(id), status(2), status(0)]);
    assert_eq!(host.failure(), None);
    assert_eq!(lock(&running.vm).contexts(), 1, "only the plugin's");
    // The callout is over: its place is free, and it is not told twice.
    lock(&running.vm).http_response(id, answer()).unwrap();
    assert_eq!(host.shown(), []);
}

/// A stream that waits for `proxy_done` is still there, without anybody who would take what it
/// lets go.
#[test]
fn a_stream_that_is_not_done_hears_the_answer() {
    let mut guest = asking();
    guest.on("proxy_on_done", 1, Some(0), |call| {
        call.say("done").show_argument(0);
    });
    guest.on("proxy_on_tick", 1, None, |call| {
        call.call("proxy_set_effective_context", &[2]);
        call.call("proxy_done", &[]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    drop(chain);
    assert_eq!(host.shown(), [status(0), text("done"), status(2)]);
    let running = host.running();
    let id = host.world.last_call();
    lock(&running.vm).http_response(id, answer()).unwrap();
    assert_eq!(host.shown(), [text("answer"), status(id), status(0), status(0)]);
    lock(&running.vm).tick(running.root).unwrap();
    assert_eq!(host.shown(), [status(0), status(0), text("gone"), status(2)]);
    assert_eq!(lock(&running.vm).contexts(), 1);
}

/// The same for streams of gRPC: all that comes is the plugin's.
#[test]
fn messages_may_come_after_their_stream() {
    let mut guest = Guest::new();
    let [upstream, service] = ["auth", "a.B"].map(|it| guest.text(it));
    guest.on("proxy_on_request_headers", 3, Some(1), |call| {
        let with = [upstream.0, upstream.1, service.0, service.1, service.0, service.1, 0, 0, OUT];
        call.call("proxy_grpc_stream", &with);
    });
    for name in ["proxy_on_grpc_receive", "proxy_on_grpc_close"] {
        guest.on(name, 3, None, |call| {
            call.say(name).show_argument(0);
            call.call("proxy_set_effective_context", &[2]);
        });
    }
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    drop(chain);
    assert_eq!(host.shown(), [status(0)]);
    let (id, running) = (host.world.last_call(), host.running());
    lock(&running.vm).grpc(id, Grpc::Message("late".into())).unwrap();
    lock(&running.vm).grpc(id, Grpc::Close(0, String::new())).unwrap();
    let told = |name| [text(name), status(1), status(2)];
    let expected = [told("proxy_on_grpc_receive"), told("proxy_on_grpc_close")].concat();
    assert_eq!(host.shown(), expected);
    assert_eq!(lock(&running.vm).contexts(), 1);
}

/// Many are under way at once, and their answers come in any order.
#[test]
fn answers_come_in_any_order() {
    let mut guest = asking();
    let asked = Asked::new(&mut guest);
    guest.on("proxy_on_request_body", 3, Some(0), |call| {
        asked.ask(call);
        asked.ask(call);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), false);
    let running = host.running();
    let first = host.world.last_call();
    lock(&running.vm).http_response(first, answer()).unwrap();
    chain.poll(Way::Request, &Context::from_waker(Waker::noop()));
    chain.put_data(Way::Request, "x".into(), true);
    host.shown();
    let numbers = begun(&host);
    assert_eq!(numbers.len(), 3);
    for id in [numbers[2], numbers[1]] {
        lock(&running.vm).http_response(id, answer()).unwrap();
        assert_eq!(host.shown(), [text("answer"), status(id), status(0), status(0)]);
    }
    let data = Out::Data("x".into(), true);
    assert_eq!(goes_on(&mut chain), [Out::Head(false), data]);
}

/// An answer's callback may ask again; the stream goes on when the last one has come.
#[test]
fn an_answer_may_lead_to_the_next_question() {
    let mut guest = Guest::new();
    let asked = Asked::new(&mut guest);
    guest.raw("(global $asked (mut i32) (i32.const 0))");
    guest.on("proxy_on_request_headers", 3, Some(1), |call| asked.ask(call));
    guest.on("proxy_on_http_call_response", 5, None, |call| {
        call.show_argument(1);
        call.wat("(global.set $asked (i32.add (global.get $asked) (i32.const 1)))");
        call.wat("(if (i32.lt_u (global.get $asked) (i32.const 3)) (then");
        asked.ask(call);
        call.wat(") (else");
        call.call("proxy_set_effective_context", &[2]);
        call.call("proxy_continue_stream", &[0]);
        call.wat("))");
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    let running = host.running();
    for nested in 0..3 {
        assert_eq!(goes_on(&mut chain), [], "{nested}");
        let id = host.world.last_call();
        host.shown();
        lock(&running.vm).http_response(id, answer()).unwrap();
        assert_eq!(host.shown()[..2], [status(id), status(0)]);
    }
    let numbers = begun(&host);
    assert!(numbers.windows(2).all(|two| two[0] < two[1]), "numbers are used once: {numbers:?}");
    assert_eq!(goes_on(&mut chain), [Out::Head(true)]);
}

/// A timer may ask; what comes is its plugin's, and no stream is needed.
#[test]
fn a_timer_may_ask() {
    let mut guest = Guest::new();
    let asked = Asked::new(&mut guest);
    guest.on("proxy_on_tick", 1, None, |call| asked.ask(call));
    guest.on("proxy_on_http_call_response", 5, None, |call| {
        call.show_argument(0).show_argument(1).show_argument(2);
        // There is no stream whose headers these could be.
        call.call("proxy_get_header_map_size", &[0, OUT]).show_word(OUT);
        call.call("proxy_get_header_map_size", &[6, OUT]);
    });
    let host = Host::new(&guest);
    let running = host.running();
    lock(&running.vm).tick(running.root).unwrap();
    assert_eq!(host.shown(), [status(0)]);
    let id = host.world.last_call();
    lock(&running.vm).http_response(id, answer()).unwrap();
    assert_eq!(host.shown(), [running.root, id, 1, 0, 0, 0].map(status));
}

/// One may ask when it is configured, and at the end of a stream.
#[test]
fn a_plugin_asks_in_any_callback() {
    for (name, arguments, result) in [
        ("proxy_on_configure", 2, Some(1)),
        ("proxy_on_response_headers", 3, Some(0)),
        ("proxy_on_log", 1, None),
        ("proxy_on_delete", 1, None),
    ] {
        let mut guest = Guest::new();
        let asked = Asked::new(&mut guest);
        guest.on(name, arguments, result, |call| asked.ask(call));
        guest.on("proxy_on_http_call_response", 5, None, |call| {
            call.show_argument(0).show_argument(1);
        });
        let host = Host::new(&guest);
        let mut chain = host.http();
        chain.put_head(Way::Request, head(), true);
        chain.put_head(Way::Response, response(&[]), true);
        drop(chain);
        assert_eq!(host.shown(), [status(0)], "{name}");
        let (id, running) = (host.world.last_call(), host.running());
        lock(&running.vm).http_response(id, answer()).unwrap();
        assert_eq!(host.shown(), [running.root, id].map(status), "{name}");
    }
}

/// An answer lets a stream go on, or answers it, or ends it.
#[test]
fn an_answer_decides_about_a_stream() {
    let with = |decide: &dyn Fn(&mut Body<'_>)| {
        let mut guest = Guest::new();
        let asked = Asked::new(&mut guest);
        guest.on("proxy_on_request_headers", 3, Some(1), |call| asked.ask(call));
        guest.on("proxy_on_http_call_response", 5, None, |call| {
            call.quietly("proxy_set_effective_context", &[2]);
            decide(call);
        });
        let host = Host::new(&guest);
        let mut chain = host.http();
        chain.put_head(Way::Request, head(), true);
        let running = host.running();
        lock(&running.vm).http_response(host.world.last_call(), answer()).unwrap();
        chain.poll(Way::Response, &Context::from_waker(Waker::noop()));
        chain
    };
    let mut answered = with(&|call| {
        call.call("proxy_send_local_response", &[403, 0, 0, 0, 0, 0, 0, u32::MAX]);
    });
    assert!(answered.is_answered());
    assert_eq!(answered.head(Way::Response).unwrap().status().unwrap().as_u16(), 403);
    assert_eq!(out(&mut answered, Way::Response), [Out::Head(true)]);
    let closed = with(&|call| {
        call.call("proxy_close_stream", &[0]);
    });
    assert!(closed.is_reset() && !closed.is_answered());
}

/// A failure in the answer's callback is the failure of the streams that wait, whoever asked.
#[test]
fn an_answer_that_is_too_much_for_a_filter_fails_its_streams() {
    for on_failure in [OnFailure::Closed, OnFailure::Open, OnFailure::Reload] {
        let mut guest = Guest::new();
        let asked = Asked::new(&mut guest);
        guest.on("proxy_on_request_headers", 3, Some(1), |call| asked.ask(call));
        guest.on("proxy_on_http_call_response", 5, None, |call| {
            call.wat("unreachable");
        });
        let host = Host::with(&guest, |plugin| plugin.on_failure = on_failure);
        let mut chains = [host.http(), host.http()];
        for chain in &mut chains {
            chain.put_head(Way::Request, head(), true);
        }
        let running = host.running();
        let [first, second] = begun(&host)[..] else { panic!("two were begun") };
        lock(&running.vm).http_response(first, answer()).unwrap_err();
        for chain in &mut chains {
            let outs = goes_on(chain);
            match on_failure {
                OnFailure::Open => assert_eq!(outs, [Out::Head(true)]),
                _ => assert!(chain.is_answered()),
            }
        }
        // The other is cancelled with it; its answer is nobody's, also where it comes still.
        let table = host.world.table();
        let cancelled =
            |(id, begun): &(u32, Begun)| *id == second && matches!(begun, Begun::Cancelled);
        assert!(table.begun.iter().any(cancelled), "{:?}", table.begun);
        drop(table);
        lock(&running.vm).http_response(second, answer()).unwrap();
    }
}

/// Numbers are those of a virtual machine: another one, which guesses them, reaches nothing.
#[test]
fn another_virtual_machine_cannot_touch_what_was_begun() {
    let mut guest = Guest::new();
    let [upstream, service] = ["auth", "a.B"].map(|it| guest.text(it));
    guest.on_request(|call| {
        let with = [upstream.0, upstream.1, service.0, service.1, service.0, service.1, 0, 0, OUT];
        call.call("proxy_grpc_stream", &with).show_word(OUT);
    });
    let host = Host::new(&guest);
    let shown = host.request();
    let id = host.world.last_call();
    assert_eq!(shown, [0, id].map(status));
    let mut forger = Guest::new();
    let message = forger.text("mine");
    forger.on_request(|call| {
        for id in [id, id + 4] {
            call.call("proxy_grpc_send", &[id, message.0, message.1, 1]);
            call.call("proxy_grpc_close", &[id]);
            call.call("proxy_grpc_cancel", &[id]);
        }
    });
    let seat = Seat::start(&host.worker, crate::support::plugin(&forger, |_| {})).unwrap();
    let mut chain = Chain::http(&[seat], Box::new(()));
    chain.put_head(Way::Request, head(), true);
    assert_eq!(host.shown(), vec![status(1); 6]);
    assert_eq!(host.world.table().begun.len(), 1, "nothing was sent, closed or cancelled");
}

/// A callout that took too long comes as an answer too, which is the host's own.
#[test]
fn an_answer_that_does_not_come_is_one() {
    let mut guest = Guest::new();
    let (asked, key) = (Asked::new(&mut guest), guest.text(":status"));
    guest.on("proxy_on_request_headers", 3, Some(1), |call| asked.ask(call));
    guest.on("proxy_on_http_call_response", 5, None, |call| {
        call.show_argument(2).show_argument(3);
        call.call("proxy_get_header_map_value", &[6, key.0, key.1, OUT, OUT + 4]).show();
        call.call("proxy_get_buffer_bytes", &[4, 0, 100, OUT, OUT + 4]).show();
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    let table = host.world.table();
    let [(id, Begun::Http(call))] = &table.begun[..] else { panic!("{:?}", table.begun) };
    assert_eq!(call.timeout.unwrap().as_millis(), 100, "the host is told how long to wait");
    let id = *id;
    drop(table);
    let headers = Headers::response(http_types::StatusCode::GATEWAY_TIMEOUT, Default::default());
    let late = HttpResponse { headers, body: "late".into(), ..HttpResponse::default() };
    host.shown();
    lock(&host.running().vm).http_response(id, late).unwrap();
    let expected = [status(1), status(4), status(0), text("504"), status(0), text("late")];
    assert_eq!(host.shown(), expected);
}
