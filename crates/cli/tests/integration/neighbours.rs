//! One good component beside hostile ones.

use crate::support::client::{Connection, ask, beside, get, with};
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

/// What the program may keep of its own memory for the next burst: some hundred slots of instances
/// that ran at once, of at most 64 KiB each, and what the allocator cannot give back.
const KEPT: u64 = 32 << 20;

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
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let address = wharf.address;
    let alone = ask_good(address, seconds() / 8);
    let before = (wharf.program.memory(), wharf.program.own_memory());
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
    let beside_them = ask_good(address, seconds());
    stop.store(true, Relaxed);
    let harmed = answered.load(Relaxed);
    let good = beside_them.len();
    assert!(good > 100 && harmed > 100, "{good} good ones, {harmed} bad ones");
    assert!(wharf.program.memory() < 4 << 30, "it holds {} bytes", wharf.program.memory());
    report(&wharf, &alone, &beside_them, harmed, before);
}

/// Says the figures of a campaign, and waits until the memory is given back.
#[expect(clippy::print_stderr, clippy::disallowed_methods, reason = "a report, on no runtime")]
fn report(
    wharf: &Served,
    alone: &[Duration],
    beside: &[Duration],
    harmed: u64,
    before: (u64, u64),
) {
    let peak = wharf.program.own_memory();
    eprintln!(
        "alone: p99 {:?} of {}; beside {harmed} hostile requests: p99 {:?} of {}; \
         memory {} MiB before, {} of them its own, and now {} MiB of its own",
        p99(alone),
        alone.len(),
        p99(beside),
        beside.len(),
        before.0 >> 20,
        before.1 >> 20,
        peak >> 20,
    );
    // The last of the hostile calls have to end, and threads to be quiet for a while.
    let begun = Instant::now();
    loop {
        std::thread::sleep(Duration::from_secs(5));
        let (all, own) = (wharf.program.memory(), wharf.program.own_memory());
        eprintln!("{:?}: {} MiB, {} of its own", begun.elapsed(), all >> 20, own >> 20);
        if own <= before.1 + KEPT {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it keeps {own} bytes of its own");
    }
}

/// How long the good component is asked beside the hostile ones: short in a test, as long as
/// `cargo xtask soak` says in a campaign.
#[expect(clippy::disallowed_methods, reason = "the one parameter of a campaign")]
fn seconds() -> Duration {
    let seconds = std::env::var("WHARF_SOAK_SECONDS").ok().map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(15))
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
