//! Three hosts of one group, one of which is lost under load.

use super::{publish, seen};
use crate::support::{Served, deploy, eventually, pause};
use std::time::Duration;
use testkit::program::Signal;

/// So many messages are published; after a third of them a host is lost.
const MESSAGES: u64 = 300;
/// So many of them are with one host at once.
const CONCURRENCY: u64 = 4;

/// A test of each broker: its name in the deployment file's list.
macro_rules! brokers {
    ($($name:ident),+ $(,)?) => {$(
        #[test]
        fn $name() {
            super::three_hosts_share(stringify!($name));
        }
    )+};
}

mod three_hosts_share_the_work_on {
    brokers!(amqp, nats, redis);
}

/// One of the hosts, which counts what it handles under its own name.
fn file(app: &str, host: usize, broker: &str, store: &str) -> String {
    format!(
        r#"
            name = "{app}"
            [component.web]
            source = "messages-draft.wasm"
            [component.worker]
            source = "messages-draft.wasm"
            environment = {{ HOST = "{host}" }}
            [[http.route]]
            component = "web"
            [[subscribe]]
            component = "worker"
            topics = ["work"]
            concurrency = {CONCURRENCY}
            deadline = "3s"
            retry = ["1s"]
            [messaging]
            default = "{broker}"
            [keyvalue]
            default = "{store}"
        "#
    )
}

fn by(wharf: &Served, host: usize) -> u64 {
    wharf.get(&format!("/seen?k=by/{host}")).text().parse().unwrap_or(0)
}

fn three_hosts_share(broker: &str) {
    let url = testkit::servers::url(broker).unwrap();
    let store = testkit::servers::url("redis").unwrap();
    let app = format!("hosts-{broker}-{:x}", std::process::id());
    let mut hosts: Vec<Served> =
        (0..3).map(|host| deploy(&file(&app, host, &url, &store))).collect();
    let text = |number: u64| format!("sleep:20:{number}");
    for number in 0..MESSAGES {
        publish(&hosts[0], "work", &text(number));
        if number == MESSAGES / 3 {
            eventually("the host that is lost has work", || (by(&hosts[0], 2) > 0).then_some(()));
            hosts[2].program.signal(Signal::SIGKILL);
            assert_eq!(hosts[2].program.end().code(), None);
        }
    }
    let sum = || (0..3).map(|host| by(&hosts[0], host)).sum::<u64>();
    eventually("everything is handled", || (sum() >= MESSAGES).then_some(()));
    for number in 0..MESSAGES {
        eventually(&format!("message {number} was handled"), || {
            (seen(&hosts[0], &text(number)) >= 1).then_some(())
        });
    }
    pause(Duration::from_secs(4));
    let each: Vec<u64> = (0..3).map(|host| by(&hosts[0], host)).collect();
    let twice = each.iter().sum::<u64>() - MESSAGES;
    report(&format!("{broker}: handled by each of three hosts {each:?}, {twice} of them twice"));
    assert!(each.iter().all(|handled| *handled > 0), "each had a share: {each:?}");
    // What the lost host had at that moment comes again, and nothing else.
    assert!(twice <= CONCURRENCY, "{twice} messages were handled twice");
    // What is published by another host is theirs too.
    publish(&hosts[1], "work", "after");
    eventually("the last one was handled", || (seen(&hosts[1], "after") == 1).then_some(()));
}

#[expect(clippy::print_stderr, reason = "figures for who looks")]
fn report(figures: &str) {
    eprintln!("{figures}");
}
