//! Streams of HTTP: callbacks in their order, pausing and going on, answers of a filter's own.

use crate::support::{Guest, Host, Shown, body, head, out, plugin, response, status, text};
use filter::{Chain, HeadersStop, Out, Seat, Way, lock, pairs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Wake, Waker};

const CALLBACKS: [(&str, usize); 6] = [
    ("proxy_on_request_headers", 3),
    ("proxy_on_request_body", 3),
    ("proxy_on_request_trailers", 2),
    ("proxy_on_response_headers", 3),
    ("proxy_on_response_body", 3),
    ("proxy_on_response_trailers", 2),
];

/// A guest that tells of every callback, with the number that comes with it and the end.
fn telling(name: &str) -> Guest {
    answering(name, |_| 0)
}

fn answering(name: &str, answer: impl Fn(&str) -> u32) -> Guest {
    let mut guest = Guest::new();
    for (callback, arguments) in CALLBACKS {
        let short = format!("{name} {}", callback.trim_start_matches("proxy_on_"));
        guest.on(callback, arguments, Some(answer(callback)), |call| {
            call.say(&short).show_argument(1);
            if arguments == 3 {
                call.show_argument(2);
            }
        });
    }
    guest
}

fn told(name: &str, numbers: &[u32]) -> Vec<Shown> {
    std::iter::once(text(name)).chain(numbers.iter().map(|number| status(*number))).collect()
}

/// Several filters in virtual machines of their own, in one world.
fn hosts(guests: &[Guest]) -> (Host, Vec<Arc<Seat>>) {
    let host = Host::new(guests.first().unwrap());
    let seats =
        guests.iter().map(|guest| Seat::start(&host.worker, plugin(guest, |_| {})).unwrap());
    let seats = seats.collect();
    (host, seats)
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// Requests go through the filters in their order, responses the other way round.
#[test]
fn filters_stand_in_a_row() {
    let (host, seats) = hosts(&[telling("a"), telling("b")]);
    let mut chain = Chain::http(&seats, Box::new(()));
    chain.put_head(Way::Request, head(), false);
    chain.put_data(Way::Request, "abc".into(), true);
    chain.put_head(Way::Response, response(&[("x", "y")]), false);
    chain.put_data(Way::Response, "d".into(), false);
    chain.put_trailers(Way::Response, response(&[("t", "u")]).into_fields());
    let expected = [
        told("a request_headers", &[5, 0]),
        told("b request_headers", &[5, 0]),
        told("a request_body", &[3, 1]),
        told("b request_body", &[3, 1]),
        told("b response_headers", &[2, 0]),
        told("a response_headers", &[2, 0]),
        told("b response_body", &[1, 0]),
        told("a response_body", &[1, 0]),
        told("b response_trailers", &[1]),
        told("a response_trailers", &[1]),
    ];
    assert_eq!(host.shown(), expected.concat());
    let data = |data: &'static str, end| Out::Data(data.into(), end);
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(false), data("abc", true)]);
    let response = [Out::Head(false), data("d", false), Out::Trailers];
    assert_eq!(out(&mut chain, Way::Response), response);
}

/// The end of a message comes with its head if there is nothing else.
#[test]
fn a_message_may_be_a_head_alone() {
    let (host, seats) = hosts(&[telling("a")]);
    let mut chain = Chain::http(&seats, Box::new(()));
    chain.put_head(Way::Request, head(), true);
    chain.put_head(Way::Response, response(&[]), true);
    let expected = [told("a request_headers", &[5, 1]), told("a response_headers", &[1, 1])];
    assert_eq!(host.shown(), expected.concat());
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(true)]);
    assert_eq!(out(&mut chain, Way::Response), [Out::Head(true)]);
}

/// A guest that pauses on a head and goes on at a tick.
fn pausing(action: u32) -> Guest {
    let mut guest = answering("a", |name| if name.ends_with("headers") { action } else { 0 });
    guest.on("proxy_on_tick", 1, None, |call| {
        call.quietly("proxy_set_effective_context", &[2]);
        call.call("proxy_continue_stream", &[0]);
        call.call("proxy_continue_stream", &[1]);
        call.call("proxy_continue_stream", &[4]);
    });
    guest
}

/// "`PAUSE` to pause processing", as Envoy has it unless told otherwise: all that follows waits.
/// "Resumes processing of paused `stream_type`."
#[test]
fn a_pause_on_a_head_holds_everything() {
    for action in [1, 3, 4, 77] {
        let host = Host::new(&pausing(action));
        let mut chain = host.http();
        chain.put_head(Way::Request, head(), false);
        chain.put_data(Way::Request, "abc".into(), false);
        chain.put_data(Way::Request, "d".into(), true);
        assert_eq!(out(&mut chain, Way::Request), []);
        assert_eq!(host.shown(), told("a request_headers", &[5, 0]));
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        chain.poll(Way::Request, &Context::from_waker(&waker));
        let running = host.running();
        lock(&running.vm).tick(running.root).unwrap();
        assert_eq!(count.0.load(Relaxed), 1, "the driver is woken");
        assert_eq!(host.shown(), [0, 0, 2].map(status));
        chain.poll(Way::Request, &Context::from_waker(&waker));
        let bodies = [told("a request_body", &[3, 0]), told("a request_body", &[1, 1])];
        assert_eq!(host.shown(), bodies.concat());
        let (body, ended) = body(&out(&mut chain, Way::Request));
        assert_eq!((body.as_str(), ended), ("abcd", true));
    }
}

/// With `headers-stop = "iteration"` the head waits and the body comes, as the specification has
/// it: "Called for each chunk, even when the processing is paused."
#[test]
fn a_head_may_wait_for_the_body() {
    let host = Host::with(&pausing(1), |plugin| plugin.headers_stop = HeadersStop::Iteration);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), false);
    assert_eq!(out(&mut chain, Way::Request), []);
    chain.put_data(Way::Request, "abc".into(), true);
    let expected = [told("a request_headers", &[5, 0]), told("a request_body", &[3, 1])];
    assert_eq!(host.shown(), expected.concat());
    // The body went on, and so the head did before it.
    let data = Out::Data("abc".into(), true);
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(false), data]);
}

/// "Continue and end the stream" is plain continuing.
#[test]
fn two_is_continue() {
    let host = Host::new(&pausing(2));
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(true)]);
}

/// Going on while the callback still runs counts, whatever it answers.
#[test]
fn going_on_within_the_callback_counts() {
    let mut guest = Guest::new();
    guest.on("proxy_on_request_headers", 3, Some(1), |call| {
        call.call("proxy_continue_stream", &[0]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(true)]);
}

/// What does not wait does not go on twice.
#[test]
fn going_on_with_what_does_not_wait_is_nothing() {
    let mut guest = answering("a", |_| 0);
    guest.on("proxy_on_tick", 1, None, |call| {
        call.quietly("proxy_set_effective_context", &[2]);
        call.call("proxy_continue_stream", &[0]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), false);
    let running = host.running();
    lock(&running.vm).tick(running.root).unwrap();
    chain.poll(Way::Request, &Context::from_waker(Waker::noop()));
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(false)]);
}

/// Paused trailers hold the end.
#[test]
fn a_pause_on_trailers_holds_the_end() {
    let mut guest = answering("a", |name| u32::from(name.ends_with("trailers")));
    guest.on("proxy_on_tick", 1, None, |call| {
        call.quietly("proxy_set_effective_context", &[2]);
        call.quietly("proxy_continue_stream", &[0]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), false);
    chain.put_trailers(Way::Request, response(&[("t", "u")]).into_fields());
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(false)]);
    let running = host.running();
    lock(&running.vm).tick(running.root).unwrap();
    chain.poll(Way::Request, &Context::from_waker(Waker::noop()));
    assert_eq!(out(&mut chain, Way::Request), [Out::Trailers]);
}

/// A guest that answers in one callback.
fn replying(callback: &str) -> Guest {
    let mut guest = Guest::new();
    let fields = pairs::to_bytes(|| [(&b"x-own"[..], &b"1"[..])].into_iter());
    let (fields, text, details) = (guest.text(&fields), guest.text("no"), guest.text("why"));
    for (name, arguments) in CALLBACKS {
        guest.on(name, arguments, Some(0), |call| {
            call.say(name.trim_start_matches("proxy_on_"));
            if name == callback {
                let code =
                    [403, details.0, details.1, text.0, text.1, fields.0, fields.1, u32::MAX];
                call.call("proxy_send_local_response", &code);
            }
        });
    }
    guest
}

/// "Sends HTTP response with body and serialized headers. This can be used as long as HTTP response
/// headers were not sent downstream."
#[test]
fn a_filter_answers_instead_of_the_server() {
    for callback in ["proxy_on_request_headers", "proxy_on_request_body"] {
        let (host, seats) = hosts(&[telling("before"), replying(callback), telling("after")]);
        let mut chain = Chain::http(&seats, Box::new(()));
        chain.put_head(Way::Request, head(), false);
        chain.put_data(Way::Request, "abc".into(), true);
        assert!(chain.is_answered());
        let head = chain.head(Way::Response).unwrap();
        assert_eq!(head.status().unwrap().as_u16(), 403);
        assert_eq!(head.get(b"x-own").unwrap(), "1");
        assert_eq!(head.get(b"content-length").unwrap(), "2");
        let (body, ended) = body(&out(&mut chain, Way::Response));
        assert_eq!((body.as_str(), ended), ("no", true));
        let shown = host.shown();
        let names: Vec<_> = shown.iter().filter(|it| matches!(it, Shown::Text(_))).collect();
        // The filter itself and those before it see the answer; the later ones never heard of it.
        let end = ["response_headers", "before response_headers", "response_body"].map(text);
        assert_eq!(names[names.len() - 4..names.len() - 1], end.iter().collect::<Vec<_>>());
        assert!(!shown.contains(&text("after response_headers")) || callback.ends_with("body"));
    }
}

/// In the response's turn it takes the place of the server's; the filters before see only it.
#[test]
fn a_filter_answers_instead_of_the_servers_answer() {
    let (host, seats) = hosts(&[telling("before"), replying("proxy_on_response_headers")]);
    let mut chain = Chain::http(&seats, Box::new(()));
    chain.put_head(Way::Request, head(), true);
    out(&mut chain, Way::Request);
    host.shown();
    chain.put_head(Way::Response, response(&[("x-server", "1")]), false);
    chain.put_data(Way::Response, "hidden".into(), true);
    let head = chain.head(Way::Response).unwrap();
    assert_eq!(head.status().unwrap().as_u16(), 403);
    assert_eq!(head.get(b"x-server"), None);
    assert_eq!(body(&out(&mut chain, Way::Response)), ("no".to_owned(), true));
    let expected = [
        vec![text("response_headers"), status(0)],
        told("before response_headers", &[4, 0]),
        told("before response_body", &[2, 1]),
    ];
    assert_eq!(host.shown(), expected.concat());
}

/// Later there is nothing to be answered any more: the stream is cut off.
#[test]
fn an_answer_that_comes_too_late_cuts_off() {
    for callback in ["proxy_on_response_body", "proxy_on_response_trailers"] {
        let (_host, seats) = hosts(&[replying(callback)]);
        let mut chain = Chain::http(&seats, Box::new(()));
        chain.put_head(Way::Request, head(), true);
        chain.put_head(Way::Response, response(&[]), false);
        out(&mut chain, Way::Response);
        assert!(!chain.is_reset());
        chain.put_data(Way::Response, "abc".into(), false);
        chain.put_trailers(Way::Response, response(&[("t", "u")]).into_fields());
        assert!(chain.is_reset());
    }
}

/// A status that ends nothing, and headers that are none, are refused; a client of gRPC gets its
/// own kind of answer.
#[test]
fn answers_are_looked_at() {
    let mut guest = Guest::new();
    let bad = guest.text([1, 2, 3]);
    let text = guest.text("no %");
    guest.on_request(|call| {
        for code in [0, 100, 101, 600, 70_000] {
            call.call("proxy_send_local_response", &[code, 0, 0, 0, 0, 0, 0, u32::MAX]);
        }
        call.call("proxy_send_local_response", &[200, 0, 0, 0, 0, bad.0, bad.1, u32::MAX]);
        call.call("proxy_send_local_response", &[403, 0, 0, text.0, text.1, 0, 0, u32::MAX]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    let mut call = head();
    call.add(b"content-type", b"application/grpc").unwrap();
    chain.put_head(Way::Request, call, false);
    assert_eq!(host.shown(), [2, 2, 2, 2, 2, 2, 0].map(status));
    let head = chain.head(Way::Response).unwrap();
    assert_eq!(head.status().unwrap().as_u16(), 200);
    assert_eq!(head.get(b"grpc-status").unwrap(), "7");
    assert_eq!(head.get(b"grpc-message").unwrap(), "no %25");
    assert_eq!(out(&mut chain, Way::Response), [Out::Head(true)]);
}

/// "Closes or resets `stream_type`."
#[test]
fn a_filter_closes_a_stream() {
    let mut guest = Guest::new();
    guest.on_request(|call| {
        call.call("proxy_close_stream", &[9]);
        call.call("proxy_close_stream", &[0]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    assert_eq!(host.shown(), [2, 0].map(status));
    assert!(chain.is_reset());
    assert_eq!(out(&mut chain, Way::Request), []);
}

/// A stream that goes away while it waits takes its context with it; a late call for it is nothing.
#[test]
fn a_client_may_go_away_while_a_filter_waits() {
    let host = Host::new(&pausing(1));
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    drop(chain);
    let running = host.running();
    lock(&running.vm).tick(running.root).unwrap();
    assert!(host.failure().is_none());
    assert_eq!(lock(&running.vm).contexts(), 1);
}

/// Before 0.2.0 headers come without a word on the end, and going on has names of its own.
#[test]
fn before_0_2_0_there_are_other_names() {
    let mut guest = Guest::of("proxy_abi_version_0_1_0");
    guest.on("proxy_on_request_headers", 2, Some(1), |call| {
        call.show_argument(1);
    });
    guest.on("proxy_on_tick", 1, None, |call| {
        call.quietly("proxy_set_effective_context", &[2]);
        call.call("proxy_continue_request", &[]);
        call.call("proxy_continue_response", &[]);
        call.call("proxy_clear_route_cache", &[]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    let running = host.running();
    lock(&running.vm).tick(running.root).unwrap();
    assert_eq!(host.shown(), [5, 0, 0, 0].map(status));
    chain.poll(Way::Request, &Context::from_waker(Waker::noop()));
    assert_eq!(out(&mut chain, Way::Request), [Out::Head(true)]);
}
