//! Hosts whose filters keep what they share in one store.

use super::{Served, echo, filtered};
use crate::support::{Folder, eventually, pause};
use std::io::Write as _;
use std::time::{Duration, Instant};

/// At most two connections at once, by a count in a store.
fn file(url: &str, callback: &str) -> String {
    let keys = format!("shared-data = \"state\"\nlimits = {{ callback = \"{callback}\" }}");
    format!("name = \"shared\"\n[http]\nthreads = 2\n[keyvalue]\nstate = \"{url}\"\n")
        + &filtered(echo(), "most = 2", &keys)
}

#[test]
fn two_hosts_count_together() {
    let redis = testkit::servers::redis_with(&[]);
    let file = file(&redis.url(), "10s");
    let (here, there) = (Served::start(&file), Served::start(&file));
    let mut first = here.connect();
    first.gets("hello", "hello");
    let mut second = there.connect();
    second.gets("hello", "hello");
    for host in [&here, &there, &here, &there] {
        assert_eq!(host.connect().rest(), "", "one is too many");
    }
    first.done();
    assert_eq!(first.rest(), "");
    eventually("there is room on the other host", || {
        let mut client = there.connect();
        // It may be closed already.
        drop(client.0.write_all(b"again"));
        client.done();
        (client.rest() == "again").then_some(())
    });
    second.gets("still", "still");
}

#[test]
fn a_store_that_does_not_answer_holds_nobody_for_long() {
    let redis = testkit::servers::redis_with(&[]);
    let wharf = Served::start(&file(&redis.url(), "1s"));
    wharf.connect().gets("hello", "hello");
    // What it counts at its end is not to be among what the store has not answered.
    wharf.program.wait_for("tcp 5 down, 5 up");
    pause(Duration::from_millis(500));
    redis.signal(testkit::program::Signal::SIGSTOP);
    let begun = Instant::now();
    assert_eq!(wharf.connect().rest(), "");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    wharf.program.wait_for("it did not answer in time");
    redis.signal(testkit::program::Signal::SIGCONT);
    eventually("it is asked again", || {
        // A filter that fails on and on would be left alone for long.
        pause(Duration::from_millis(1500));
        let mut client = wharf.connect();
        drop(client.0.write_all(b"again"));
        client.done();
        (client.rest() == "again").then_some(())
    });
}

#[test]
fn a_binding_that_is_none_is_a_mistake() {
    let file = file("memory:", "1s").replace("shared-data = \"state\"", "shared-data = \"stat\"");
    let ended = Folder::with(&file).run(&["check"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert!(ended.errors.contains("did you mean `state`?"), "{}", ended.errors);
}
