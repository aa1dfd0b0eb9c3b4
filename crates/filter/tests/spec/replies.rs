//! Answers and cuts of a filter's own, in every phase of a stream.

use crate::support::{Guest, Host, Shown, body, head, out, response, status, text};
use filter::{Chain, Out, Way, lock, pairs};
use std::task::{Context, Waker};

/// Where a filter may answer instead of the server.
const IN_TIME: [(&str, usize); 4] = [
    ("proxy_on_request_headers", 3),
    ("proxy_on_request_body", 3),
    ("proxy_on_request_trailers", 2),
    ("proxy_on_response_headers", 3),
];

/// Where it is too late for that.
const LATE: [(&str, usize); 2] = [("proxy_on_response_body", 3), ("proxy_on_response_trailers", 2)];

/// A guest that does one call in one callback, and goes on with everything else.
fn doing(callback: (&str, usize), call: &str, with: &[u32]) -> Guest {
    let mut guest = Guest::new();
    guest.on(callback.0, callback.1, Some(0), |it| {
        it.call(call, with);
    });
    guest
}

/// Plays a stream with bodies and trailers both ways; stops where a filter ends it.
fn play(host: &Host) -> Chain {
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), false);
    chain.put_data(Way::Request, "question".into(), false);
    chain.put_trailers(Way::Request, response(&[("t", "1")]).into_fields());
    if chain.is_answered() || chain.is_reset() {
        return chain;
    }
    chain.put_head(Way::Response, response(&[("x-server", "1")]), false);
    if !chain.is_answered() && !chain.is_reset() {
        assert_eq!(out(&mut chain, Way::Response), [Out::Head(false)], "the client has the head");
    }
    chain.put_data(Way::Response, "answer".into(), false);
    chain.put_trailers(Way::Response, response(&[("t", "2")]).into_fields());
    chain
}

/// "This can be used as long as HTTP response headers were not sent downstream."
#[test]
fn a_filter_answers_in_each_phase_up_to_the_answers_head() {
    let reply = [403, 0, 0, 0, 0, 0, 0, u32::MAX];
    for callback in IN_TIME {
        let host = Host::new(&doing(callback, "proxy_send_local_response", &reply));
        let mut chain = play(&host);
        assert!(chain.is_answered() && !chain.is_reset(), "{}", callback.0);
        assert_eq!(host.shown()[0], status(0));
        let head = chain.head(Way::Response).unwrap();
        assert_eq!(head.status().unwrap().as_u16(), 403);
        assert_eq!(head.get(b"x-server"), None, "{}", callback.0);
        assert_eq!(out(&mut chain, Way::Response), [Out::Head(true)], "{}", callback.0);
        assert_eq!(out(&mut chain, Way::Request), [], "{}", callback.0);
    }
    for callback in LATE {
        let host = Host::new(&doing(callback, "proxy_send_local_response", &reply));
        let chain = play(&host);
        assert!(chain.is_reset() && !chain.is_answered(), "{}", callback.0);
    }
}

/// A timer may answer for a stream that waits, on its way there or on its way back.
#[test]
fn a_timer_answers_what_waits() {
    for waiting in [Way::Request, Way::Response] {
        let mut guest = Guest::new();
        let name = if waiting == Way::Request { "request" } else { "response" };
        guest.on(&format!("proxy_on_{name}_headers"), 3, Some(1), |_| {});
        guest.on("proxy_on_tick", 1, None, |call| {
            call.quietly("proxy_set_effective_context", &[2]);
            call.call("proxy_send_local_response", &[429, 0, 0, 0, 0, 0, 0, u32::MAX]);
            // What comes second is not heard.
            call.call("proxy_send_local_response", &[500, 0, 0, 0, 0, 0, 0, u32::MAX]);
        });
        let host = Host::new(&guest);
        let mut chain = host.http();
        chain.put_head(Way::Request, head(), true);
        if waiting == Way::Response {
            chain.put_head(Way::Response, response(&[("x-server", "1")]), true);
        }
        assert_eq!(out(&mut chain, Way::Response), []);
        let running = host.running();
        lock(&running.vm).tick(running.root).unwrap();
        chain.poll(Way::Response, &Context::from_waker(Waker::noop()));
        assert!(chain.is_answered(), "{name}");
        let head = chain.head(Way::Response).unwrap();
        assert_eq!(head.status().unwrap().as_u16(), 429, "{name}");
        assert_eq!(head.get(b"x-server"), None, "{name}");
    }
}

/// A plugin without a stream has nobody to answer.
#[test]
fn nobody_is_answered_where_nobody_asked() {
    let mut guest = Guest::new();
    guest.on("proxy_on_tick", 1, None, |call| {
        call.call("proxy_send_local_response", &[200, 0, 0, 0, 0, 0, 0, u32::MAX]);
        call.call("proxy_close_stream", &[0]);
        call.call("proxy_continue_stream", &[0]);
    });
    let host = Host::new(&guest);
    let running = host.running();
    lock(&running.vm).tick(running.root).unwrap();
    assert_eq!(host.shown(), [2, 0, 0].map(status));
}

/// "`grpc_status`": what was said, for a client of gRPC as for any other; not said, it follows
/// from the status of HTTP.
#[test]
fn an_answer_has_a_status_of_grpc() {
    let ask = |said: u32, code: u32, is_grpc: bool| {
        let mut guest = Guest::new();
        let text = guest.text("no");
        guest.on_request(|call| {
            let reply = [code, 0, 0, text.0, text.1, 0, 0, said];
            call.call("proxy_send_local_response", &reply);
        });
        let host = Host::new(&guest);
        let mut chain = host.http();
        let mut request = head();
        if is_grpc {
            request.add(b"content-type", b"application/grpc+proto").unwrap();
        }
        chain.put_head(Way::Request, request, true);
        let head = chain.head(Way::Response).unwrap();
        let status = head.get(b"grpc-status").map(|it| it.to_str().unwrap().to_owned());
        (head.status().unwrap().as_u16(), status, body(&out(&mut chain, Way::Response)).0)
    };
    let said = |number: &str| Some(number.to_owned());
    assert_eq!(ask(16, 403, true), (200, said("16"), String::new()));
    assert_eq!(ask(u32::MAX, 404, true), (200, said("12"), String::new()));
    assert_eq!(ask(u32::MAX, 429, true), (200, said("14"), String::new()));
    assert_eq!(ask(16, 403, false), (403, said("16"), "no".to_owned()));
    assert_eq!(ask(u32::MAX, 403, false), (403, None, "no".to_owned()));
}

/// An answer is one message: nothing in it can be another.
#[test]
fn an_answer_cannot_be_two() {
    let mut guest = Guest::new();
    let maps: Vec<_> = [
        ("x", "a\r\nset-cookie: b"),
        ("x\r\ny", "a"),
        ("", "a"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        (":path", "/"),
    ]
    .iter()
    .map(|(name, value)| {
        let pair = [(name.as_bytes(), value.as_bytes())];
        guest.text(pairs::to_bytes(|| pair.into_iter()))
    })
    .collect();
    let text = guest.text("12345");
    let length = [(&b"content-length"[..], &b"1"[..]), (b":status", b"500")];
    let length = guest.text(pairs::to_bytes(|| length.into_iter()));
    guest.on_request(|call| {
        for map in &maps {
            let reply = [200, 0, 0, 0, 0, map.0, map.1, u32::MAX];
            call.call("proxy_send_local_response", &reply);
        }
        let reply = [200, 0, 0, text.0, text.1, length.0, length.1, u32::MAX];
        call.call("proxy_send_local_response", &reply);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    assert_eq!(host.shown(), [2, 2, 2, 2, 2, 2, 2, 0].map(status));
    let head = chain.head(Way::Response).unwrap();
    assert_eq!(head.status().unwrap().as_u16(), 200);
    assert_eq!(head.get(b"content-length").unwrap(), "5", "the length is that of the body");
    assert_eq!(body(&out(&mut chain, Way::Response)), ("12345".to_owned(), true));
}

/// "Closes or resets `stream_type`": either half, in any phase; the other goes with it.
#[test]
fn a_filter_closes_a_stream_in_any_phase() {
    for callback in IN_TIME.into_iter().chain(LATE) {
        for half in [0, 1] {
            let host = Host::new(&doing(callback, "proxy_close_stream", &[half]));
            let chain = play(&host);
            assert!(chain.is_reset() && !chain.is_answered(), "{} {half}", callback.0);
            assert_eq!(host.shown()[0], status(0));
        }
    }
}

/// A stream that was answered or closed still ends as all others do.
#[test]
fn a_stream_that_is_ended_is_done_logged_and_deleted() {
    for (call, with) in [
        ("proxy_send_local_response", &[403, 0, 0, 0, 0, 0, 0, u32::MAX][..]),
        ("proxy_close_stream", &[0]),
    ] {
        let mut guest = doing(("proxy_on_request_headers", 3), call, with);
        for (name, answer) in
            [("proxy_on_done", Some(1)), ("proxy_on_log", None), ("proxy_on_delete", None)]
        {
            guest.on(name, 1, answer, |call| {
                call.say(name).show_argument(0);
            });
        }
        let host = Host::new(&guest);
        drop(play(&host));
        let end = ["proxy_on_done", "proxy_on_log", "proxy_on_delete"];
        let end: Vec<Shown> = end.iter().flat_map(|name| [text(name), status(2)]).collect();
        assert_eq!(host.shown()[1..], end, "{call}");
    }
}
