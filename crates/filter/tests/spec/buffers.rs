//! Buffers.

use crate::support::{Guest, Host, OUT, Shown, body, head, out, response, status, text};
use filter::Way;

const REQUEST: u32 = 0;
const RESPONSE: u32 = 1;

/// A guest that edits each part of a request's body, and what goes on.
fn edited(parts: &[&'static str], start: u32, size: u32, value: &str) -> (Vec<Shown>, String) {
    let mut guest = Guest::new();
    let value = guest.text(value);
    guest.on("proxy_on_request_body", 3, Some(0), |call| {
        call.call("proxy_set_buffer_bytes", &[REQUEST, start, size, value.0, value.1]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), false);
    for (index, part) in parts.iter().enumerate() {
        chain.put_data(Way::Request, (*part).into(), index + 1 == parts.len());
    }
    let (body, ended) = body(&out(&mut chain, Way::Request));
    assert!(ended);
    (host.shown(), body)
}

/// "The combination of `start` and `size` parameters can be used to perform prepend (`start=0`,
/// `size=0`), append (`start` larger or equal than the existing buffer size, may be set to the
/// maximum `size_t` value), inject and replace (`start` smaller than the existing buffer size)
/// operations."
#[test]
fn bytes_are_put_anywhere() {
    let once = |start, size, value| {
        let (shown, body) = edited(&["hello"], start, size, value);
        assert_eq!(shown, [status(0)]);
        body
    };
    assert_eq!(once(0, 0, "oh "), "oh hello");
    assert_eq!(once(5, 0, "!"), "hello!");
    assert_eq!(once(u32::MAX, 0, "!"), "hello!");
    assert_eq!(once(u32::MAX, u32::MAX, "!"), "hello!");
    assert_eq!(once(0, 5, "bye"), "bye");
    assert_eq!(once(0, u32::MAX, ""), "");
    // Envoy refuses these two, which the specification wants.
    assert_eq!(once(2, 0, "-"), "he-llo");
    assert_eq!(once(1, 3, "ipp"), "hippo");
}

/// Each part of a body is a buffer of its own, as long as nothing is paused.
#[test]
fn each_part_is_edited() {
    assert_eq!(edited(&["a", "b"], 0, 0, "-").1, "-a-b");
}

/// "Retrieves up to `max_size` bytes starting at `start` from the buffer. `BAD_ARGUMENT` for
/// unknown `buffer_id`, or in case of buffer overflow due to invalid `start` and/or `max_size`
/// values."
#[test]
fn a_part_of_a_buffer_is_given() {
    let mut guest = Guest::new();
    guest.on("proxy_on_request_body", 3, Some(0), |call| {
        let mut get = |start, most| {
            call.call("proxy_get_buffer_bytes", &[REQUEST, start, most, OUT, OUT + 4]).show();
        };
        get(0, 100);
        get(1, 3);
        get(0, u32::MAX);
        get(5, 1);
        get(6, 1);
        call.call("proxy_get_buffer_bytes", &[REQUEST, 6, u32::MAX - 1, OUT, OUT + 4]);
        call.call("proxy_get_buffer_bytes", &[9, 0, 1, OUT, OUT + 4]);
        call.call("proxy_set_buffer_bytes", &[9, 0, 1, OUT, 0]);
        call.call("proxy_get_buffer_status", &[REQUEST, OUT, OUT + 4]).show_word(OUT);
        call.call("proxy_get_buffer_status", &[9, OUT, OUT + 4]);
    });
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), false);
    chain.put_data(Way::Request, "hello".into(), true);
    let given = ["hello", "ell", "hello", "", ""];
    let mut expected: Vec<_> = given.iter().flat_map(|it| [status(0), text(it)]).collect();
    expected.extend([2, 2, 2, 0, 5, 2].map(status));
    assert_eq!(host.shown(), expected);
}

/// "`NOT_FOUND` when requested `buffer_id` isn't available." Envoy gives an empty one, or the last
/// one that somebody used.
#[test]
fn a_buffer_is_there_in_its_callback_alone() {
    let mut guest = Guest::new();
    let nothing = guest.text("x");
    guest.on_request(|call| {
        for buffer in 0..9 {
            call.call("proxy_get_buffer_bytes", &[buffer, 0, 1, OUT, OUT + 4]);
            call.call("proxy_set_buffer_bytes", &[buffer, 0, 1, nothing.0, nothing.1]);
            call.call("proxy_get_buffer_status", &[buffer, OUT, OUT + 4]);
        }
    });
    assert_eq!(Host::new(&guest).request(), vec![status(1); 27]);
}

/// "Body can be read and modified (or for as long as response processing is paused from it)." "Its
/// value will increment if the processing is paused and the body is buffered by the host."
#[test]
fn a_paused_body_grows_and_can_be_changed_as_a_whole() {
    let mut guest = Guest::new();
    let new = guest.text("whole");
    // Pauses until the end.
    guest.raw_import(
        "(import \"env\" \"proxy_set_buffer_bytes\"
            (func $set (param i32 i32 i32 i32 i32) (result i32)))",
    );
    guest.raw(&format!(
        "(func (export \"proxy_on_response_body\") (param i32 i32 i32) (result i32)
            (i32.store (i32.const 32) (local.get 1))
            (drop (call $proxy_log (i32.const 0) (i32.const 32) (i32.const 4)))
            (if (local.get 2) (then
                (drop (call $set (i32.const {RESPONSE}) (i32.const 0) (i32.const -1)
                    (i32.const {}) (i32.const {})))))
            (i32.eqz (local.get 2)))",
        new.0, new.1
    ));
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), true);
    chain.put_head(Way::Response, response(&[]), false);
    chain.put_data(Way::Response, "ab".into(), false);
    chain.put_data(Way::Response, "cde".into(), false);
    assert_eq!(body(&out(&mut chain, Way::Response)), (String::new(), false));
    chain.put_data(Way::Response, "".into(), true);
    assert_eq!(host.shown(), [2, 5, 5].map(status));
    assert_eq!(body(&out(&mut chain, Way::Response)), ("whole".to_owned(), true));
}

/// What waits is bounded: 413 for a request's body, 500 for a response's.
#[test]
fn a_body_that_is_held_too_long_is_refused() {
    for (way, code) in [(Way::Request, 413), (Way::Response, 500)] {
        let mut guest = Guest::new();
        let name = if way == Way::Request { "request" } else { "response" };
        guest.on(&format!("proxy_on_{name}_body"), 3, Some(1), |_| {});
        // The head waits too, so that there is still an answer to be given.
        guest.on(&format!("proxy_on_{name}_headers"), 3, Some(1), |_| {});
        let host = Host::with(&guest, |plugin| {
            plugin.limits.buffer = 10;
            plugin.headers_stop = filter::HeadersStop::Iteration;
        });
        let mut chain = host.http();
        chain.put_head(Way::Request, head(), way == Way::Response);
        if way == Way::Response {
            chain.put_head(Way::Response, response(&[]), false);
        }
        chain.put_data(way, "1234567890".into(), false);
        assert!(!chain.is_answered());
        chain.put_data(way, "1".into(), false);
        assert!(chain.is_answered());
        let head = chain.head(Way::Response).unwrap();
        assert_eq!(head.status().unwrap().as_u16(), code);
    }
}

/// With a watermark nothing more is asked for, and nothing is refused.
#[test]
fn a_watermark_is_back_pressure() {
    let mut guest = Guest::new();
    guest.on("proxy_on_request_body", 3, Some(2), |_| {});
    let host = Host::with(&guest, |plugin| plugin.limits.buffer = 10);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), false);
    assert!(chain.wants(Way::Request));
    chain.put_data(Way::Request, "123456789012".into(), false);
    assert!(!chain.wants(Way::Request));
    assert!(!chain.is_answered());
}

/// What a filter keeps itself does not go on.
#[test]
fn what_is_not_buffered_is_dropped() {
    let mut guest = Guest::new();
    guest.on("proxy_on_request_body", 3, Some(3), |_| {});
    guest.on("proxy_on_tick", 1, None, |_| {});
    let host = Host::new(&guest);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), false);
    chain.put_data(Way::Request, "gone".into(), true);
    assert_eq!(body(&out(&mut chain, Way::Request)), (String::new(), false));
}

/// A filter may not make a body longer than it may hold.
#[test]
fn a_body_grows_within_its_limit() {
    let mut guest = Guest::new();
    let long = guest.text("x".repeat(20));
    guest.on("proxy_on_request_body", 3, Some(0), |call| {
        call.call("proxy_set_buffer_bytes", &[REQUEST, 0, 0, long.0, long.1]);
    });
    let host = Host::with(&guest, |plugin| plugin.limits.buffer = 10);
    let mut chain = host.http();
    chain.put_head(Way::Request, head(), false);
    chain.put_data(Way::Request, "hello".into(), true);
    assert_eq!(host.shown(), [status(10)]);
    assert_eq!(body(&out(&mut chain, Way::Request)).0, "hello");
}
