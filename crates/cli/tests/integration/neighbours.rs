//! One good component beside hostile ones.

use crate::support::client::{Connection, ask, beside, get, with};
use crate::support::deploy;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Everything that hostile guests do, about 100 at once.
const HARM: &[&str] = &[
    "/loop",
    "/yield-loop",
    "/hostcalls",
    "/never-answer",
    "/memory",
    "/recurse",
    "/handles",
    "/random",
    "/logs?n=10000",
    "/prints?n=10000",
    "/headers",
    "/trap",
    "/exit",
    "/slow-body",
    "/endless-body",
    "/tasks",
    "/late",
];

const FOR: Duration = Duration::from_secs(15);

#[test]
fn every_good_request_is_answered_beside_a_hundred_hostile_ones() {
    let wharf = deploy(
        r#"
            name = "neighbours"
            [component.good]
            source = "hello-p2.wasm"
            [component.bad2]
            source = "hostile-p2.wasm"
            limits = { request-timeout = "3s", memory = "16MiB", response-body = "64MiB" }
            [component.bad3]
            source = "hostile-p3.wasm"
            limits = { request-timeout = "3s", memory = "16MiB", response-body = "64MiB" }
            [[http.route]]
            component = "good"
            [[http.route]]
            host = "p2"
            component = "bad2"
            [[http.route]]
            host = "p3"
            component = "bad3"
        "#,
    );
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let address = wharf.address;
    for number in 0..100 {
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        let host = if number % 2 == 0 { "p2" } else { "p3" };
        drop(beside(async move {
            for harm in HARM.iter().cycle().skip(number) {
                if stop.load(Relaxed) {
                    return;
                }
                let request = with(get(harm), "host", host);
                // A body without an end is taken for a while only.
                let asked = tokio::time::timeout(Duration::from_secs(5), ask(address, request));
                drop(asked.await);
                answered.fetch_add(1, Relaxed);
            }
        }));
    }
    let (begun, mut good, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    let mut connection = Connection::http1(address).unwrap();
    while begun.elapsed() < FOR {
        let asked = Instant::now();
        let answer = connection.send(get("/")).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world"));
        slowest = slowest.max(asked.elapsed());
        good += 1;
    }
    stop.store(true, Relaxed);
    let harmed = answered.load(Relaxed);
    assert!(good > 100 && harmed > 100, "{good} good ones, {harmed} bad ones, {slowest:?}");
    assert!(wharf.program.memory() < 4 << 30, "it holds {} bytes", wharf.program.memory());
}
