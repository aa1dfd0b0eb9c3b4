//! One good component beside hostile ones.

use crate::support::client::{Connection, ask, beside, get, wait, with};
use crate::support::{Served, deploy};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Everything that hostile guests do, 100 of them at once.
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

/// What the program may hold of its own memory after the first hostile calls, beyond what it held
/// after as many at once that did no harm: pages of the allocator and of slots that are used in part.
const KEPT: u64 = 24 << 20;
/// What it may hold after those that come later beyond what it held after the first: chance.
const MORE: u64 = 4 << 20;

const HOSTILE: usize = 100;

/// One good component, and a hundred hostile ones at hosts of their own, of either version of WASI.
fn deployment() -> String {
    let hostile = (0..HOSTILE).map(|number| {
        let version = if number % 2 == 0 { "p2" } else { "p3" };
        format!(
            r#"
            [component.bad{number}]
            source = "hostile-{version}.wasm"
            limits = {{ request-timeout = "3s", memory = "16MiB", response-body = "64MiB" }}
            [[http.route]]
            host = "bad{number}"
            component = "bad{number}"
            "#
        )
    });
    let good = r#"
        name = "neighbours"
        [component.good]
        source = "hello-p2.wasm"
        [[http.route]]
        component = "good"
    "#;
    std::iter::once(good.to_owned()).chain(hostile).collect()
}

#[test]
fn every_good_request_is_answered_beside_a_hundred_hostile_guests() {
    let wharf = deploy(&deployment());
    let alone = ask_good(wharf.address, seconds() / 8);
    wait_at_once(wharf.address);
    let before = settled(&wharf);
    let first = round(&wharf, &alone, before);
    assert!(first <= before + KEPT, "{before} bytes of its own before, and {first} after");
    let second = round(&wharf, &alone, first);
    assert!(second <= first + MORE, "{first} bytes of its own after some, and {second} after more");
}

/// Asks good requests beside hostile ones, for half of the time that there is, and says the figures.
/// Returns what the program holds of its own memory afterwards.
fn round(wharf: &Served, alone: &[Duration], before: u64) -> u64 {
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let address = wharf.address;
    for number in 0..HOSTILE {
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        drop(beside(async move {
            for harm in HARM.iter().cycle().skip(number) {
                if stop.load(Relaxed) {
                    return;
                }
                let request = with(get(harm), "host", &format!("bad{number}"));
                // A body without an end is taken for a while only.
                let asked = tokio::time::timeout(Duration::from_secs(5), ask(address, request));
                drop(asked.await);
                answered.fetch_add(1, Relaxed);
            }
        }));
    }
    let beside_them = ask_good(address, seconds() / 2);
    stop.store(true, Relaxed);
    let harmed = answered.load(Relaxed);
    let good = beside_them.len();
    assert!(good > 100 && harmed > 100, "{good} good ones, {harmed} bad ones");
    assert!(wharf.program.memory() < 4 << 30, "it holds {} bytes", wharf.program.memory());
    report(wharf, alone, &beside_them, harmed, before)
}

/// As many calls at once as the hostile ones will be, which wait for their time limit.
fn wait_at_once(address: SocketAddr) {
    let requests = (0..HOSTILE)
        .map(|number| with(get("/never-answer"), "host", &format!("bad{number}")))
        .map(|request| ask(address, request));
    for answer in wait(futures::future::join_all(requests)) {
        assert_eq!(answer.unwrap().status, 504);
    }
}

/// What the program holds of its own memory once it holds no less than five seconds before: calls
/// that were given up have to end, and threads to be quiet for a while.
#[expect(clippy::print_stderr, clippy::disallowed_methods, reason = "a report, on no runtime")]
fn settled(wharf: &Served) -> u64 {
    let mut own = wharf.program.own_memory();
    for _ in 0..12 {
        std::thread::sleep(Duration::from_secs(5));
        let now = wharf.program.own_memory();
        eprintln!("{} MiB, {} of its own", wharf.program.memory() >> 20, now >> 20);
        if now + (256 << 10) > own {
            return now;
        }
        own = now;
    }
    own
}

/// Says the figures of a campaign, and waits until the memory is given back.
#[expect(clippy::print_stderr, reason = "a report")]
fn report(
    wharf: &Served,
    alone: &[Duration],
    beside: &[Duration],
    harmed: u64,
    before: u64,
) -> u64 {
    eprintln!(
        "alone: p99 {:?} of {}; beside {harmed} hostile requests: p99 {:?} of {}; \
         {} MiB of its own memory before them, and now {}",
        p99(alone),
        alone.len(),
        p99(beside),
        beside.len(),
        before >> 20,
        wharf.program.own_memory() >> 20,
    );
    settled(wharf)
}

/// How long the good component is asked beside the hostile ones: short in a test, as long as
/// `cargo xtask soak` says in a campaign.
#[expect(clippy::disallowed_methods, reason = "the one parameter of a campaign")]
fn seconds() -> Duration {
    let seconds = std::env::var("WHARF_SOAK_SECONDS").ok().map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// Asks one request after the other, all of which must be answered well; how long each took.
fn ask_good(address: SocketAddr, long: Duration) -> Vec<Duration> {
    let (begun, mut took) = (Instant::now(), Vec::new());
    let mut connection = Connection::http1(address).unwrap();
    while begun.elapsed() < long {
        let asked = Instant::now();
        let answer = connection.send(get("/")).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world"));
        took.push(asked.elapsed());
    }
    took.sort();
    took
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}
