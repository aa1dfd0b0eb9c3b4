//! Callouts: requests of HTTP, calls and streams of gRPC.

use crate::support::{Begun, Guest, Host, OUT, Shown, head, out, response, status, text};
use filter::{Grpc, Headers, HttpResponse, Out, Running, Way, lock, pairs};
use std::task::{Context, Waker};

/// The head of a callout, without the entry of this name.
fn request_without(missing: &str) -> Vec<u8> {
    let all = [(":method", "POST"), (":path", "/check"), (":authority", "auth"), ("x-b", "2")];
    let left = all.iter().filter(|(name, _)| *name != missing);
    let left: Vec<_> = left.map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    pairs::to_bytes(|| left.iter().copied()).to_vec()
}

/// A guest that makes a callout for each request and goes on with what comes.
fn calling() -> Guest {
    let mut guest = Guest::new();
    let (upstream, request) = (guest.text("auth"), guest.text(request_without("")));
    let (body, kind) = (guest.text("body"), guest.text("x-kind"));
    guest.on("proxy_on_request_headers", 3, Some(1), |call| {
        let with = [upstream.0, upstream.1, request.0, request.1, body.0, body.1, 0, 0, 500, OUT];
        call.call("proxy_http_call", &with);
    });
    guest.on("proxy_on_http_call_response", 5, None, |call| {
        for index in [0, 2, 3, 4] {
            call.show_argument(index);
        }
        call.call("proxy_get_header_map_value", &[6, kind.0, kind.1, OUT, OUT + 4]).show();
        call.call("proxy_get_header_map_value", &[7, kind.0, kind.1, OUT, OUT + 4]).show();
        call.call("proxy_get_buffer_bytes", &[4, 0, 100, OUT, OUT + 4]).show();
        call.call("proxy_get_status", &[OUT + 8, OUT, OUT + 4]).show_word(OUT + 8);
        call.quietly("proxy_set_effective_context", &[2]);
        call.call("proxy_continue_stream", &[0]);
    });
    guest
}

fn answer() -> HttpResponse {
    HttpResponse {
        headers: response(&[("x-kind", "good")]),
        body: "yes".into(),
        trailers: Headers::trailers(response(&[("x-kind", "end")]).into_fields()),
    }
}

/// "`proxy_on_http_call_response` will be called with `return_call_id` when the response is
/// received by the host."
#[test]
fn a_request_is_sent_and_its_answer_heard() {
    let host = Host::new(&calling());
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    assert_eq!(host.shown(), [status(0)]);
    let id = host.world.last_call();
    {
        let table = host.world.table();
        let [(_, Begun::Http(call))] = &table.begun[..] else { panic!("{:?}", table.begun) };
        assert_eq!(call.upstream, "auth");
        assert_eq!(call.body, "body");
        assert_eq!(call.timeout.unwrap().as_millis(), 500);
        assert_eq!(call.headers.pseudo(":path").unwrap(), "/check");
        assert_eq!(call.headers.get(b"x-b").unwrap(), "2");
    }
    assert_eq!(id & 3, 0, "the number says what it is of");
    let Running { vm, .. } = host.running();
    lock(&vm).http_response(id, answer()).unwrap();
    let numbers = [1, 2, 3, 1].map(status).to_vec();
    let told = |shown: &str| vec![status(0), text(shown)];
    let expected =
        [numbers, told("good"), told("end"), told("yes"), vec![status(0), status(200), status(0)]];
    assert_eq!(host.shown(), expected.concat());
    chain.poll(Way::Request, &Context::from_waker(Waker::noop()));
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(true)]);
    // It comes once.
    lock(&vm).http_response(id, answer()).unwrap();
    assert_eq!(host.shown(), []);
}

/// "If `num_headers` is `0`, then the HTTP call failed."
#[test]
fn a_request_that_failed_has_no_headers() {
    let host = Host::new(&calling());
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    let id = host.world.last_call();
    host.shown();
    lock(&host.running().vm).http_response(id, HttpResponse::default()).unwrap();
    let shown = host.shown();
    assert_eq!(shown[..4], [1, 0, 0, 0].map(status));
    assert_eq!(shown[4], status(1), "there is no header");
}

/// "`BAD_ARGUMENT` for unknown `upstream`, or when `headers` are missing required `:authority`,
/// `:method` and/or `:path` values." "`INTERNAL_FAILURE` when the host failed."
#[test]
fn a_request_that_is_none_is_not_sent() {
    let mut guest = Guest::new();
    let requests = ["", ":method", ":path", ":authority"].map(|it| guest.text(request_without(it)));
    let names = ["auth", "unknown", "broken"].map(|it| guest.text(it));
    let bad = guest.text([9, 9, 9, 9, 9]);
    let smuggled = [(":method", "GET"), (":path", "/"), (":authority", "a"), ("x", "a\r\nb")];
    let smuggled: Vec<_> = smuggled.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
    let smuggled = guest.text(pairs::to_bytes(|| smuggled.iter().copied()));
    guest.on_request(|call| {
        let mut send = |name: crate::support::Text, head: crate::support::Text, timeout| {
            let with = [name.0, name.1, head.0, head.1, 0, 0, 0, 0, timeout, OUT];
            call.call("proxy_http_call", &with);
        };
        for request in &requests[1..] {
            send(names[0], *request, 1);
        }
        send(names[1], requests[0], 1);
        send(names[2], requests[0], 1);
        send(names[0], bad, 1);
        send(names[0], smuggled, 1);
        // A negative time.
        send(names[0], requests[0], u32::MAX);
    });
    let host = Host::new(&guest);
    assert_eq!(host.request(), [2, 2, 2, 2, 10, 2, 2, 2].map(status));
    assert!(host.world.table().begun.is_empty());
}

/// What nobody could be told of is not begun: its number has no place.
#[test]
fn nothing_begins_whose_number_cannot_be_told() {
    let mut guest = Guest::new();
    let (name, request) = (guest.text("auth"), guest.text(request_without("")));
    guest.on_request(|call| {
        let with = [name.0, name.1, request.0, request.1, 0, 0, 0, 0, 0, u32::MAX - 1];
        call.call("proxy_http_call", &with);
    });
    let host = Host::new(&guest);
    assert_eq!(host.request(), [status(6)]);
    assert!(host.world.table().begun.is_empty());
}

/// Many at once have numbers of their own; more than the limit are refused.
#[test]
fn callouts_are_counted() {
    let mut guest = Guest::new();
    let (name, request) = (guest.text("auth"), guest.text(request_without("")));
    guest.on_request(|call| {
        for _ in 0..4 {
            let with = [name.0, name.1, request.0, request.1, 0, 0, 0, 0, 0, OUT];
            call.call("proxy_http_call", &with);
        }
    });
    let host = Host::with(&guest, |plugin| plugin.limits.calls = 3);
    assert_eq!(host.request(), [0, 0, 0, 10].map(status));
    let mut ids: Vec<_> = host.world.table().begun.iter().map(|(id, _)| *id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

/// An answer for a number that was never given is nothing.
#[test]
fn an_answer_nobody_asked_for_is_not_told() {
    let host = Host::new(&calling());
    let Running { vm, .. } = host.running();
    for id in [0, 1, 4, 400, u32::MAX] {
        lock(&vm).http_response(id, answer()).unwrap();
        lock(&vm).grpc(id, Grpc::Message("x".into())).unwrap();
    }
    assert_eq!(host.shown(), []);
}

/// A guest that opens what `name` says and tells of what comes.
fn grpc(name: &str, more: impl FnOnce(&mut crate::support::Body<'_>)) -> Guest {
    let mut guest = Guest::new();
    let [upstream, service, method] = ["auth", "a.B", "C"].map(|it| guest.text(it));
    let (message, kind) = (guest.text("hello"), guest.text("x-kind"));
    guest.on_request(|call| {
        let mut with = vec![upstream.0, upstream.1, service.0, service.1, method.0, method.1, 0, 0];
        if name == "proxy_grpc_call" {
            with.extend([message.0, message.1, 250]);
        }
        with.push(OUT);
        call.call(name, &with);
        more(call);
    });
    guest.on("proxy_on_grpc_receive_initial_metadata", 3, None, |call| {
        call.say("initial").show_argument(2);
        call.call("proxy_get_header_map_value", &[4, kind.0, kind.1, OUT, OUT + 4]).show();
    });
    guest.on("proxy_on_grpc_receive", 3, None, |call| {
        call.say("message").show_argument(2);
        call.call("proxy_get_buffer_bytes", &[5, 0, 100, OUT, OUT + 4]).show();
    });
    guest.on("proxy_on_grpc_receive_trailing_metadata", 3, None, |call| {
        call.say("trailing").show_argument(2);
        call.call("proxy_get_header_map_value", &[5, kind.0, kind.1, OUT, OUT + 4]).show();
    });
    guest.on("proxy_on_grpc_close", 3, None, |call| {
        call.say("close").show_argument(2);
        call.call("proxy_get_status", &[OUT + 8, OUT, OUT + 4]).show().show_word(OUT + 8);
    });
    guest
}

fn metadata() -> Headers {
    Headers::trailers(response(&[("x-kind", "good")]).into_fields())
}

fn told(name: &str, size: u32, shown: &str) -> Vec<Shown> {
    vec![text(name), status(size), status(0), text(shown)]
}

/// "`proxy_on_grpc_receive` or `proxy_on_grpc_close` will be called with `return_call_id` when the
/// response is received by the host": one of them, and no metadata.
#[test]
fn a_call_of_grpc_has_one_answer() {
    let host = Host::new(&grpc("proxy_grpc_call", |_| {}));
    assert_eq!(host.request(), [status(0)]);
    let id = host.world.last_call();
    {
        let table = host.world.table();
        let [(_, Begun::Grpc(call))] = &table.begun[..] else { panic!("{:?}", table.begun) };
        assert_eq!((&*call.upstream, &*call.service, &*call.method), ("auth", "a.B", "C"));
        assert_eq!(call.message.as_deref(), Some(&b"hello"[..]));
        assert_eq!(call.timeout.unwrap().as_millis(), 250);
    }
    assert_eq!(id & 3, 1);
    let Running { vm, .. } = host.running();
    lock(&vm).grpc(id, Grpc::Initial(metadata())).unwrap();
    lock(&vm).grpc(id, Grpc::Message("reply".into())).unwrap();
    lock(&vm).grpc(id, Grpc::Trailing(metadata())).unwrap();
    lock(&vm).grpc(id, Grpc::Close(0, String::new())).unwrap();
    assert_eq!(host.shown(), told("message", 5, "reply"));
}

/// "gRPC status message can be retrieved using `proxy_get_status`."
#[test]
fn a_call_of_grpc_fails_with_a_status() {
    let host = Host::new(&grpc("proxy_grpc_call", |_| {}));
    host.request();
    let id = host.world.last_call();
    lock(&host.running().vm).grpc(id, Grpc::Close(14, "away".to_owned())).unwrap();
    assert_eq!(host.shown(), [told("close", 14, "away"), vec![status(14)]].concat());
}

/// A stream hears of everything in its order.
#[test]
fn a_stream_of_grpc_hears_everything() {
    let host = Host::new(&grpc("proxy_grpc_stream", |_| {}));
    host.request();
    let id = host.world.last_call();
    assert_eq!(id & 3, 2);
    let Running { vm, .. } = host.running();
    lock(&vm).grpc(id, Grpc::Initial(metadata())).unwrap();
    lock(&vm).grpc(id, Grpc::Message("one".into())).unwrap();
    lock(&vm).grpc(id, Grpc::Message("two".into())).unwrap();
    lock(&vm).grpc(id, Grpc::Trailing(metadata())).unwrap();
    lock(&vm).grpc(id, Grpc::Close(0, String::new())).unwrap();
    lock(&vm).grpc(id, Grpc::Message("late".into())).unwrap();
    let expected = [
        told("initial", 1, "good"),
        told("message", 3, "one"),
        told("message", 3, "two"),
        told("trailing", 1, "good"),
        told("close", 0, ""),
        vec![status(0)],
    ];
    assert_eq!(host.shown(), expected.concat());
}

/// "`BAD_ARGUMENT` for invalid `stream_id`. `NOT_FOUND` for unknown `stream_id`."
#[test]
fn a_stream_of_grpc_is_sent_to_closed_and_cancelled() {
    // The first number of this virtual machine, of a stream and of a call.
    let (stream, call, http) = (1 << 2 | 2, 1 << 2 | 1, 1 << 2);
    let host = Host::new(&grpc("proxy_grpc_stream", |it| {
        let message = it.text("hi");
        for id in [stream, call, http, 99 << 2 | 2] {
            it.call("proxy_grpc_send", &[id, message.0, message.1, 0]);
        }
        it.call("proxy_grpc_close", &[http]);
        it.call("proxy_grpc_close", &[stream]);
        it.call("proxy_grpc_send", &[stream, message.0, message.1, 0]);
        it.call("proxy_grpc_cancel", &[http]);
        it.call("proxy_grpc_cancel", &[call]);
        it.call("proxy_grpc_cancel", &[stream]);
        it.call("proxy_grpc_cancel", &[stream]);
    }));
    assert_eq!(host.request(), [0, 0, 1, 2, 1, 2, 0, 2, 2, 1, 0, 1].map(status));
    let table = host.world.table();
    let kinds: Vec<_> = table
        .begun
        .iter()
        .map(|(_, begun)| match begun {
            Begun::Grpc(_) => "open".to_owned(),
            Begun::Sent(message, end) => format!("{message:?} {end}"),
            Begun::Closed => "closed".to_owned(),
            Begun::Cancelled => "cancelled".to_owned(),
            Begun::Http(_) => "http".to_owned(),
        })
        .collect();
    assert_eq!(kinds, ["open", "b\"hi\" false", "closed", "cancelled"]);
}

/// "`PARSE_FAILURE` for unknown `upstream`. `INTERNAL_FAILURE` when the host failed."
#[test]
fn a_call_of_grpc_that_is_none_is_not_made() {
    let mut guest = Guest::new();
    let names = ["unknown", "broken"].map(|it| guest.text(it));
    let (service, slash) = (guest.text("a.B"), guest.text("a/b"));
    guest.on_request(|call| {
        for name in names {
            let with = [name.0, name.1, service.0, service.1, service.0, service.1, 0, 0, OUT];
            call.call("proxy_grpc_stream", &with);
        }
        let name = names[0];
        let with = [name.0, name.1, slash.0, slash.1, service.0, service.1, 0, 0, OUT];
        call.call("proxy_grpc_stream", &with);
    });
    assert_eq!(Host::new(&guest).request(), [4, 10, 2].map(status));
}

/// What a plugin began ends with it.
#[test]
fn what_a_plugin_began_is_cancelled_when_it_ends() {
    let host = Host::new(&calling());
    host.request();
    let running = host.running();
    assert!(lock(&running.vm).end_plugin(running.root, false).unwrap());
    let table = host.world.table();
    assert!(matches!(table.begun[..], [_, (_, Begun::Cancelled)]));
}
