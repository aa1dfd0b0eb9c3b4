//! Instances that answer more than one request, in turn or at once.

use crate::support::client::{Connection, ask, beside, get, wait};
use crate::support::{Folder, Served, deploy, eventually};

/// On one thread, because instances stay on theirs.
fn file(guest: &str, settings: &str) -> String {
    format!(
        r#"
            name = "reuse"
            [component.web]
            source = "{guest}.wasm"
            {settings}
            [http]
            threads = 1
            [[http.route]]
            component = "web"
        "#
    )
}

/// How often the instance was asked, for each of some requests in turn.
fn counts(wharf: &Served, requests: usize) -> Vec<u32> {
    (0..requests).map(|_| wharf.text("/count").parse().unwrap()).collect()
}

/// Asks until an instance has answered so often, and then on: none answers more often.
fn answers_at_most(wharf: &Served, most: u32) {
    // A request that comes before an instance is back from the last one finds another, so which
    // instance counts is left open.
    eventually("an instance that is used up", || (counts(wharf, 1) == [most]).then_some(()));
    let more = usize::try_from(2 * most).unwrap();
    assert!(counts(wharf, more).into_iter().all(|count| count <= most));
}

#[test]
fn an_instance_answers_as_many_requests_as_the_file_says() {
    for guest in ["hostile-p2", "hostile-p3"] {
        let wharf = deploy(&file(guest, "reuse = { requests = 3 }"));
        answers_at_most(&wharf, 3);
    }
    let wharf = deploy(&file("hostile-p3", "reuse = { requests = 3, concurrent = 2 }"));
    answers_at_most(&wharf, 3);
}

#[test]
fn it_is_one_for_0_2_and_128_for_0_3_if_nothing_is_said() {
    assert_eq!(counts(&deploy(&file("hostile-p2", "")), 3), [1, 1, 1]);
    answers_at_most(&deploy(&file("hostile-p3", "")), 128);
}

fn shared(more: &str) -> Served {
    let wharf = deploy(&file("hostile-p3", &format!("reuse = {{ concurrent = 4 }}\n{more}")));
    assert_eq!(wharf.text("/good"), "fine");
    wharf
}

#[test]
fn requests_meet_in_one_instance_and_not_where_they_come_one_at_a_time() {
    let wharf = shared("");
    let meeting: Vec<_> = (0..4).map(|_| beside(ask(wharf.address, get("/meet?n=4")))).collect();
    for met in meeting {
        assert_eq!(wait(met).unwrap().unwrap().text(), "met");
    }
    // Four have room; the fifth goes elsewhere, alone.
    let wharf = shared("limits = { request-timeout = \"2s\" }");
    let meeting: Vec<_> = (0..5).map(|_| beside(ask(wharf.address, get("/meet?n=5")))).collect();
    for met in meeting {
        assert_eq!(wait(met).unwrap().unwrap().status, 504);
    }
    let wharf = deploy(&file("hostile-p3", "limits = { request-timeout = \"2s\" }"));
    let meeting: Vec<_> = (0..2).map(|_| beside(ask(wharf.address, get("/meet?n=2")))).collect();
    for met in meeting {
        assert_eq!(wait(met).unwrap().unwrap().status, 504);
    }
}

#[test]
fn a_trap_ends_what_is_in_its_instance_and_nothing_else() {
    let wharf = shared("");
    for _ in 0..3 {
        let mut connection = Connection::http1(wharf.address).unwrap();
        let mut slow = connection.open(get("/slow-body")).unwrap();
        assert_eq!(slow.piece().unwrap().unwrap(), ".");
        assert_eq!(wharf.get("/trap").status, 500);
        assert!(slow.rest().is_err(), "it was in the same instance, and is not whole");
        assert_eq!(counts(&wharf, 2), [1, 2], "a new instance");
        // Its place is free again.
        eventually("an empty instance", || (wharf.text("/good") == "fine").then_some(()));
    }
}

#[test]
fn a_guest_that_computes_past_its_deadline_ends_alone_where_it_waits_and_with_all_where_not() {
    let wharf = shared("limits = { request-timeout = \"1s\" }");
    for path in ["/loop", "/yield-loop", "/yield-blocking-loop", "/hostcalls", "/never-answer"] {
        let answer = wharf.get(path);
        assert_eq!(answer.status, 504, "{path}: {}", answer.text());
        eventually("a good answer", || {
            wharf.try_get("/good").ok().filter(|answer| answer.status == 200)
        });
    }
    // An instance whose call was given up gets no other.
    assert_eq!(counts(&wharf, 2), [1, 2]);
    assert_eq!(wharf.get("/never-answer").status, 504);
    eventually("another instance", || (wharf.text("/count") == "1").then_some(()));
}

#[test]
fn requests_keep_their_places_and_bodies_stream() {
    let settings = "reuse = { concurrent = 4 }\nlimits = { concurrency = 2, queue = 0 }";
    let wharf = deploy(&file("http-stream-p3", settings));
    let mut two: Vec<_> = (0..2)
        .map(|_| {
            let mut connection = Connection::http2(wharf.address).unwrap();
            let mut answer = connection.open(get("/drip?n=40&ms=50")).unwrap();
            assert_eq!(answer.piece().unwrap().unwrap(), ".");
            (connection, answer)
        })
        .collect();
    assert_eq!(wharf.get("/bytes?n=1").status, 503);
    let (connection, answer) = two.pop().unwrap();
    let rest = answer.rest().unwrap().text().len();
    assert!(rest > 10, "{rest}");
    drop((connection, two));
    eventually("a free place", || (wharf.get("/bytes?n=9").status == 200).then_some(()));
    assert_eq!(wharf.get("/bytes?n=1000000").body.len(), 1_000_000);
}

#[test]
fn calls_of_0_2_cannot_overlap_and_check_says_so() {
    let folder = Folder::with(&file("hello-p2", "reuse = { requests = 9, concurrent = 2 }"));
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    let words = "calls of WASI 0.2 cannot overlap, so `reuse.concurrent` must be 1";
    assert!(ended.errors.contains(words), "{}", ended.errors);
}
