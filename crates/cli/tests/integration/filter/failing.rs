//! Filters that trap, loop and grow, and what becomes of requests.

use super::{before_component, check, component, file};
use crate::support::client::{Connection, get, post, with};
use crate::support::{Served, deploy, eventually};

const PLACES: [&str; 3] = ["request-headers", "request-body", "response-headers"];

/// Does harm once, and says what the request was answered with.
fn harm(wharf: &Served, header: &'static str, place: &str, how: &str) -> u16 {
    let how_header: &'static str = match header {
        "x-crash" => "x-crash-how",
        "x-loop" => "x-loop-how",
        _ => "x-bomb-how",
    };
    let asked = with(with(post("/", "body"), header, place), how_header, how);
    Connection::http1(wharf.address).unwrap().send(asked).unwrap().status
}

fn is_well(wharf: &Served) {
    let answer = Connection::http1(wharf.address).unwrap().send(post("/", "body")).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "body"));
}

pub(crate) mod filter_crash {
    use super::*;

    #[test]
    fn the_request_is_answered_with_503_and_the_next_finds_the_filter_again() {
        for how in ["panic", "trap", "exit", "recurse", "pointer"] {
            let wharf = before_component("filter-crash", "");
            for place in PLACES {
                assert_eq!(harm(&wharf, "x-crash", place, how), 503, "{how} {place}");
                is_well(&wharf);
            }
            let log = wharf.program.errors().join("\n");
            assert!(log.contains("a filter failed"), "{log}");
        }
    }

    #[test]
    fn open_goes_on_without_it() {
        let wharf = before_component("filter-crash", "on-failure = \"open\"");
        for place in PLACES {
            assert_eq!(harm(&wharf, "x-crash", place, "trap"), 200, "{place}");
            is_well(&wharf);
        }
    }

    #[test]
    fn closed_stays_closed() {
        let wharf = before_component("filter-crash", "on-failure = \"closed\"");
        is_well(&wharf);
        assert_eq!(harm(&wharf, "x-crash", "request-headers", "trap"), 503);
        assert_eq!(wharf.get("/").status, 503);
    }

    #[test]
    fn a_stream_of_its_own_fails_alone() {
        let wharf = before_component("filter-crash", "isolation = \"stream\"");
        for place in PLACES {
            for _ in 0..10 {
                assert_eq!(harm(&wharf, "x-crash", place, "trap"), 503, "{place}");
            }
        }
        // Many at once are too many.
        eventually("it is well again", || {
            let answer = wharf.try_get("/").ok()?;
            (answer.status == 200).then_some(())
        });
    }

    #[test]
    fn one_that_fails_at_its_start_is_refused_by_check() {
        for (keys, why) in [
            ("configuration = { at = \"configure\", how = \"panic\" }", "failed"),
            ("vm-configuration = { at = \"start\", how = \"trap\" }", "failed"),
        ] {
            let ended = check(&file("filter-crash", keys, &component()));
            assert_eq!(ended.code, Some(64), "{}", ended.errors);
            assert!(ended.errors.contains("filter `f`"), "{}", ended.errors);
            assert!(ended.errors.contains(why), "{}", ended.errors);
        }
    }
}

pub(crate) mod filter_loop {
    use super::*;

    #[test]
    fn a_loop_ends_at_its_limit_and_nobody_else_waits_long() {
        for how in ["", "calls"] {
            let wharf = before_component("filter-loop", "limits = { callback = \"50ms\" }");
            for place in PLACES {
                assert_eq!(harm(&wharf, "x-loop", place, how), 503, "{how} {place}");
                is_well(&wharf);
            }
            let log = wharf.program.errors().join("\n");
            assert!(log.contains("computed for longer than `callback` = 50ms"), "{log}");
        }
    }
}

pub(crate) mod filter_bomb {
    use super::*;

    #[test]
    fn what_grows_is_bounded() {
        let keys = "limits = { memory = \"16MiB\", buffer = \"1MiB\", callback = \"1s\" }";
        for how in ["memory", "shared", "queue", "queues", "metrics", "body", "calls"] {
            let wharf = before_component("filter-bomb", keys);
            let status = harm(&wharf, "x-bomb", "request-headers", how);
            assert!(matches!(status, 200 | 400 | 431 | 500 | 503), "{how}: {status}");
            is_well(&wharf);
            let log = wharf.program.errors().join("\n");
            assert!(how != "memory" || log.contains("`memory` was reached"), "{log}");
        }
        let wharf = before_component("filter-bomb", keys);
        for place in ["request-body", "response-body"] {
            let how = if place == "request-body" { "body" } else { "response-body" };
            let asked = with(with(post("/", "body"), "x-bomb", place), "x-bomb-how", how);
            // What has begun may be cut off.
            drop(Connection::http1(wharf.address).unwrap().send(asked));
            is_well(&wharf);
        }
    }

    #[test]
    fn a_neighbour_route_is_not_touched() {
        let file = file("filter-bomb", "limits = { memory = \"16MiB\" }", &component())
            + "[[http.route]]\npath = \"/other\"\ncomponent = \"web\"\n";
        let wharf = deploy(&file);
        for _ in 0..3 {
            harm(&wharf, "x-bomb", "request-headers", "memory");
            let answer = Connection::http1(wharf.address).unwrap().send(get("/other")).unwrap();
            assert_eq!(answer.status, 200);
        }
    }
}
