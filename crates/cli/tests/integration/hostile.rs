//! Guests that do harm: their request fails, it is logged, and the next one is served.

use crate::admin::{free, health};
use crate::support::client::{Connection, get};
use crate::support::{Served, deploy, promises};
use serde_json::json;
use std::time::Duration;
use testkit::program::Signal;

promises!([
    what_never_ends_is_ended,
    what_takes_too_much_gets_no_more,
    more_than_one_call_may_hand_over_is_not_copied,
    a_trap_or_an_exit_fails_one_request,
    floods_of_output_are_cut,
    a_body_that_is_too_long_is_cut_off,
    a_body_that_is_too_short_is_no_whole_answer,
    a_trap_in_the_middle_of_a_body_is_no_whole_answer,
    a_trap_is_logged_with_names,
    a_loop_is_logged_with_names,
    requests_are_counted_by_how_they_end,
] of hostile_p2, hostile_p3);

fn harmed(guest: &str, timeout: &str) -> Served {
    deploy(&harm_file(guest, timeout))
}

fn harm_file(guest: &str, timeout: &str) -> String {
    format!(
        r#"
            name = "harm"
            [component.web]
            source = "{guest}.wasm"
            [component.web.limits]
            request-timeout = "{timeout}"
            memory = "32MiB"
            response-body = "2MiB"
            log-rate = 100
            [[http.route]]
            component = "web"
        "#
    )
}

/// Does harm, and shows that the same server goes on.
fn harm(wharf: &Served, path: &str) -> u16 {
    let status = wharf.get(path).status;
    assert_eq!(wharf.text("/good"), "fine", "after {path}");
    status
}

fn what_never_ends_is_ended(guest: &str) {
    let wharf = harmed(guest, "1s");
    for path in ["/loop", "/yield-loop", "/hostcalls", "/never-answer"] {
        assert_eq!(harm(&wharf, path), 504, "{path}");
    }
    if guest == "hostile-p3" {
        assert_eq!(harm(&wharf, "/yield-blocking-loop"), 504);
        // Answered, and then never over: the answer stands, the guest does not.
        assert_eq!(harm(&wharf, "/late"), 200);
    }
}

fn what_takes_too_much_gets_no_more(guest: &str) {
    let wharf = harmed(guest, "20s");
    for path in ["/memory", "/recurse", "/handles", "/random", "/headers"] {
        assert_eq!(harm(&wharf, path), 500, "{path}");
    }
    assert_eq!(harm(&wharf, "/handles?n=5000"), 200);
    let grown = wharf.program.memory();
    assert!(grown < 512 << 20, "it holds {grown} bytes");
}

fn more_than_one_call_may_hand_over_is_not_copied(guest: &str) {
    let wharf = deploy(&format!(
        r#"
            name = "harm"
            [component.web]
            source = "{guest}.wasm"
            limits = {{ hostcall-buffer = "64KiB" }}
            [[http.route]]
            component = "web"
        "#
    ));
    assert_eq!(harm(&wharf, "/headers?n=2&size=40000"), 200);
    let line = logged(&wharf, "/headers?n=1&size=80000");
    assert!(line.contains("the limit `hostcall-buffer` was reached"), "{line}");
    assert_eq!(wharf.text("/good"), "fine");
}

#[test]
fn tasks_and_streams_are_bounded() {
    let wharf = harmed("hostile-p3", "20s");
    for path in ["/tasks", "/streams"] {
        assert_eq!(harm(&wharf, path), 500, "{path}");
    }
}

fn a_trap_or_an_exit_fails_one_request(guest: &str) {
    let wharf = harmed(guest, "20s");
    for path in ["/trap", "/exit"] {
        assert_eq!(harm(&wharf, path), 500, "{path}");
        // The connection on which it happened serves on too.
        let mut connection = Connection::http1(wharf.address).unwrap();
        assert_eq!(connection.send(get(path)).unwrap().status, 500);
        assert_eq!(connection.send(get("/good")).unwrap().text(), "fine");
        let answer = connection.send(get(path)).unwrap();
        assert_eq!(answer.text(), "the component failed\n", "the client learns nothing else");
    }
    if guest == "hostile-p2" {
        assert_eq!(harm(&wharf, "/no-answer"), 500);
    }
}

fn floods_of_output_are_cut(guest: &str) {
    let wharf = harmed(guest, "3s");
    // Whether it manages within its time is its own affair.
    let flood = if guest == "hostile-p2" { "/logs?n=50000" } else { "/prints?n=50000" };
    assert!([200, 504].contains(&harm(&wharf, flood)));
    assert!([200, 504].contains(&harm(&wharf, "/prints?n=50000")));
    let line = wharf.program.wait_for("the component logs too much");
    assert!(line.contains("dropped"), "{line}");
    let lines = wharf.program.errors().len();
    assert!(lines < 5000, "{lines} lines of 100,000");
}

fn a_body_that_is_too_long_is_cut_off(guest: &str) {
    let wharf = harmed(guest, "20s");
    for connect in [Connection::http1, Connection::http2] {
        let mut connection = connect(wharf.address).unwrap();
        let mut answer = connection.open(get("/endless-body")).unwrap();
        assert_eq!(answer.head.status, 200);
        let (mut length, mut cut) = (0, None);
        while let Some(piece) = answer.piece() {
            match piece {
                Ok(bytes) => length += bytes.len(),
                Err(error) => cut = Some(error),
            }
            if cut.is_some() {
                break;
            }
        }
        assert!(cut.is_some(), "{length} bytes as if they were all");
        assert!(length <= 2 << 20, "{length}");
    }
    assert_eq!(wharf.text("/good"), "fine");
}

fn a_body_that_is_too_short_is_no_whole_answer(guest: &str) {
    is_no_whole_answer(guest, "/short-body");
}

fn a_trap_in_the_middle_of_a_body_is_no_whole_answer(guest: &str) {
    is_no_whole_answer(guest, "/trap-in-body");
}

fn is_no_whole_answer(guest: &str, path: &str) {
    let wharf = harmed(guest, "20s");
    for connect in [Connection::http1, Connection::http2] {
        for _ in 0..5 {
            if let Ok(answer) = connect(wharf.address).unwrap().send(get(path)) {
                assert_eq!(answer.status, 500, "{:?}, as if it were all", answer.body);
            }
        }
    }
    assert_eq!(wharf.text("/good"), "fine");
}

/// The line that the log has of a request, by its id.
fn logged(wharf: &Served, path: &str) -> String {
    let answer = wharf.get(path);
    let id = format!("request={}", answer.header("x-request-id"));
    wharf.program.wait_until(path, |lines| {
        lines.iter().find(|line| line.contains(&id) && line.contains("WARN")).cloned()
    })
}

fn a_trap_is_logged_with_names(guest: &str) {
    let wharf = harmed(guest, "20s");
    let line = logged(&wharf, "/trap");
    assert!(line.contains("component=web") && line.contains("explode"), "{line}");
    assert!(line.contains("unreachable") && !line.contains("tokio"), "{line}");
    let line = logged(&wharf, "/recurse");
    assert!(line.contains("dive") && line.contains("call stack exhausted"), "{line}");
}

fn a_loop_is_logged_with_names(guest: &str) {
    let wharf = harmed(guest, "1s");
    let line = logged(&wharf, "/loop");
    assert!(line.contains("component=web") && line.contains("did not answer in time"), "{line}");
    assert!(line.contains(&guest.replace('-', "_")), "{line}");
}

fn requests_are_counted_by_how_they_end(guest: &str) {
    let admin = free();
    let wharf = deploy(&format!("{}\n[http]\nadmin = \"{admin}\"\n", harm_file(guest, "1s")));
    assert_eq!((harm(&wharf, "/trap"), harm(&wharf, "/loop")), (500, 504));
    let counted = health(admin)["requests"]["web"].clone();
    let expected = json!({ "answered": 2, "failed": 1, "timed-out": 1, "turned-away": 0 });
    assert_eq!(counted, expected);
    // A component that the new file has as it was counts on.
    wharf.program.signal(Signal::SIGHUP);
    wharf.program.wait_for("Reloaded");
    assert_eq!(health(admin)["requests"]["web"], counted);
}

#[test]
fn a_slow_body_goes_on_as_long_as_it_gives_signs_of_life() {
    let wharf = deploy(
        r#"
            name = "slow"
            [component.web]
            source = "hostile-p2.wasm"
            limits = { request-timeout = "3s" }
            [[http.route]]
            component = "web"
        "#,
    );
    let begun = std::time::Instant::now();
    let mut answer = Connection::http1(wharf.address).unwrap().open(get("/slow-body")).unwrap();
    for _ in 0..6 {
        assert_eq!(answer.piece().unwrap().unwrap(), ".");
    }
    assert!(begun.elapsed() > Duration::from_secs(3));
}
