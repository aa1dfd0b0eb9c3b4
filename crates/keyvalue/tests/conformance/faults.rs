//! Servers that are away, hang, crash or are not what was meant: every vendor's.

mod etcd;
pub(crate) mod etcd_cluster;
mod fragments;
mod mysql;
mod nats;
mod postgres;
mod redis;

use crate::{opened, place, trial};
use base::{Kind, Place, Result};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::proxy::Proxy;
use testkit::servers::{VENDORS, Vendor};
use testkit::stranger::Stranger;
use wharf_keyvalue::{BACKENDS, Change, Changes, Position, Store, WatchOptions, WriteOptions};

const PLAIN: WriteOptions = WriteOptions { expect: None, ttl: None, fence: None };

/// A call of a second that takes longer hangs, whatever a busy machine adds.
const HANGS: Duration = Duration::from_secs(4);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for vendor in VENDORS {
        let mut add = |name: &str, body: BoxFuture<'static, ()>| {
            trials.push(trial(format!("faults::{}::{name}", vendor.name), body));
        };
        add("a_server_that_is_away_fails_calls_at_once_and_heals", away(vendor).boxed());
        add("a_server_that_hangs_holds_no_call_beyond_its_timeout", hangs(vendor).boxed());
        add("a_cut_connection_is_made_anew", cut(vendor).boxed());
        add("what_was_acknowledged_survives_a_crash_of_the_server", crash(vendor).boxed());
        add("servers_that_are_not_what_was_meant_are_told_apart", wrong_servers(vendor).boxed());
        add("calls_that_are_given_up_harm_no_other", given_up(vendor).boxed());
        add("a_watch_goes_on_after_the_server_was_away", watch(vendor).boxed());
    }
    trials.extend(fragments::trials());
    trials.extend(etcd::trials());
    trials.extend(etcd_cluster::trials());
    trials.extend(mysql::trials());
    trials.extend(nats::trials());
    trials.extend(postgres::trials());
    trials.extend(redis::trials());
    trials
}

async fn open(url: &str) -> Result<Arc<dyn Store>> {
    let folder = tempfile::tempdir().unwrap();
    let place = Place { app: folder.path().display().to_string(), ..place(folder.path()) };
    base::backend::open(BACKENDS, url, place).await
}

/// What a line of the deployment file opens, `{ url = … }`, for a binding that is always the same.
async fn bound(settings: &str) -> Result<Arc<dyn Store>> {
    opened(settings, place(tempfile::tempdir().unwrap().path())).await
}

/// A store whose calls take a second at most.
async fn impatient(vendor: &Vendor, address: SocketAddr) -> Arc<dyn Store> {
    let url = (vendor.url)(address);
    let begun = Instant::now();
    loop {
        // What is made when a binding is first opened may take longer on a busy machine.
        match bound(&format!("{{ url = '{url}', timeout = '1s' }}")).await {
            Err(error)
                if error.kind() == Kind::Timeout && begun.elapsed() < Duration::from_secs(30) => {}
            opened => return opened.unwrap(),
        }
    }
}

async fn put(store: &Arc<dyn Store>, key: &str) -> Result<()> {
    store.put(key, Bytes::from_static(b"x")).await
}

/// Waits until calls are answered again.
async fn healed(store: &Arc<dyn Store>) {
    let begun = Instant::now();
    while let Err(error) = put(store, "healed").await {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not heal: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn next(changes: &mut Changes) -> Change {
    let next =
        tokio::time::timeout(Duration::from_secs(20), futures::StreamExt::next(changes)).await;
    next.expect("a change comes").unwrap().unwrap()
}

/// The key of the next change, which is a set.
async fn heard(changes: &mut Changes) -> (String, Position) {
    match next(changes).await {
        Change::Set { key, position, .. } => (key, position),
        other => panic!("{other:?}"),
    }
}

/// Writers on two hosts, one watcher that hears all of it, and one that goes on again and again
/// where it was.
async fn lose_nothing(settings: &str) {
    let hosts = [bound(settings).await.unwrap(), bound(settings).await.unwrap()];
    let mut changes = hosts[0].watch(&WatchOptions::default()).await.unwrap();
    put(&hosts[0], "first").await.unwrap();
    let (_, mut last) = heard(&mut changes).await;
    let writers = (0..8).map(|writer| {
        let store = Arc::clone(&hosts[writer % 2]);
        async move {
            for number in 0..100 {
                put(&store, &format!("{writer}/{number}")).await.unwrap();
            }
        }
    });
    let listener = async {
        let mut told = BTreeSet::new();
        while told.len() < 800 {
            assert!(told.insert(heard(&mut changes).await.0), "a change comes once");
        }
    };
    let again = async {
        let mut told = BTreeSet::new();
        while told.len() < 800 {
            let from = WatchOptions { from: Some(last), ..WatchOptions::default() };
            let mut resumed = hosts[1].watch(&from).await.unwrap();
            for _ in 0..40.min(800 - told.len()) {
                let (key, position) = heard(&mut resumed).await;
                assert!(told.insert(key), "a change comes once");
                last = position;
            }
        }
    };
    futures::join!(futures::future::join_all(writers), listener, again);
}

async fn given_up(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let store = impatient(vendor, server.address()).await;
    for number in 0..8 {
        let value = Bytes::from(number.to_string());
        store.set(&format!("key {number}"), value, &PLAIN).await.unwrap();
    }
    for round in 0..200_u64 {
        let calls = (0..8).map(|number| {
            let store = &store;
            async move {
                let wait = Duration::from_micros((round * 37 + number * 211) % 3000);
                let work = async {
                    let entries = (0..20).map(|key| (format!("{number}/{key}"), Bytes::new()));
                    drop(store.set_many(entries.collect(), &PLAIN).await);
                    drop(store.increment(&format!("counter {number}"), 1, &PLAIN).await);
                };
                drop(tokio::time::timeout(wait, work).await);
                // What the next call is told is the answer to its own question.
                let key = format!("key {number}");
                let found = store.get(&key).await.unwrap();
                assert_eq!(found, Some(Bytes::from(number.to_string())), "{key}");
            }
        });
        futures::future::join_all(calls).await;
    }
}

/// Deletions are forgotten after a while: a watcher that comes back later is told so.
async fn forgets(settings: &str) {
    let store = bound(settings).await.unwrap();
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    put(&store, "stays").await.unwrap();
    put(&store, "goes").await.unwrap();
    heard(&mut changes).await;
    let (_, position) = heard(&mut changes).await;
    drop(changes);
    store.delete("goes", &PLAIN).await.unwrap();
    let from = WatchOptions { from: Some(position), ..WatchOptions::default() };
    let begun = Instant::now();
    let position = loop {
        let mut resumed = store.watch(&from).await.unwrap();
        match next(&mut resumed).await {
            Change::Delete { .. } => tokio::time::sleep(Duration::from_millis(50)).await,
            Change::Missed { position } => break position,
            other => panic!("{other:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it is never forgotten");
    };
    // Behind that nothing is missing.
    let from = WatchOptions { from: Some(position), ..WatchOptions::default() };
    let mut resumed = store.watch(&from).await.unwrap();
    put(&store, "next").await.unwrap();
    assert_eq!(heard(&mut resumed).await.0, "next");
}

/// Hosts that open a new binding at the same time all find it.
async fn open_together(settings: &str) {
    let opened = futures::future::join_all((0..8).map(|_| bound(settings))).await;
    let stores: Vec<Arc<dyn Store>> = opened.into_iter().map(Result::unwrap).collect();
    for (number, store) in stores.iter().enumerate() {
        put(store, &number.to_string()).await.unwrap();
    }
    for number in 0..stores.len() {
        assert!(stores[0].exists(&number.to_string()).await.unwrap());
    }
}

async fn away(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let proxy = Proxy::start(server.address()).await;
    let store = impatient(vendor, proxy.address()).await;
    put(&store, "before").await.unwrap();
    proxy.change(|weather| weather.refused = true);
    proxy.cut();
    // What is on its way while the proxy hears of it may still arrive.
    while put(&store, "away").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..10 {
        let error = put(&store, "away").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        assert!(error.to_string().contains(&proxy.address().to_string()), "{error}");
    }
    // By now it is known, and nobody waits for the server to say so again.
    let begun = Instant::now();
    for _ in 0..1000 {
        put(&store, "away").await.unwrap_err();
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    proxy.change(|weather| weather.refused = false);
    healed(&store).await;
    assert!(store.exists("before").await.unwrap());
}

async fn hangs(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let store = impatient(vendor, server.address()).await;
    let stop = async || server.signal(testkit::program::Signal::SIGSTOP);
    let written = write_until_it_fails(&store, 0, stop).await;
    assert!(!written.is_empty());
    let calls = (0..64).map(|number| {
        let store = Arc::clone(&store);
        async move {
            let begun = Instant::now();
            let kind = put(&store, &number.to_string()).await.unwrap_err().kind();
            assert!(matches!(kind, Kind::Timeout | Kind::Unavailable), "{kind:?}");
            assert!(begun.elapsed() < HANGS, "{:?}", begun.elapsed());
        }
    });
    futures::future::join_all(calls).await;
    server.signal(testkit::program::Signal::SIGCONT);
    healed(&store).await;
    all_there(&store, &written).await;
}

async fn cut(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let proxy = Proxy::start(server.address()).await;
    let store = impatient(vendor, proxy.address()).await;
    for _ in 0..20 {
        healed(&store).await;
        proxy.cut();
    }
    healed(&store).await;
    // Reads change nothing, so one that met a broken connection is sent again.
    for _ in 0..20 {
        proxy.cut();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(store.exists("healed").await.unwrap());
    }
}

async fn crash(vendor: &'static Vendor) {
    let mut server = (vendor.start)();
    let store = impatient(vendor, server.address()).await;
    assert!(store.offer().levels.durability >= base::offer::Durability::OsBuffer);
    let mut written = Vec::new();
    for round in 0..3 {
        written.extend(write_until_it_fails(&store, round, async || server.crash()).await);
        server = (vendor.again)(server);
        healed(&store).await;
        all_there(&store, &written).await;
    }
    assert!(written.len() > 100, "{} writes", written.len());
}

/// Eight write until it fails, or for two seconds; what was acknowledged. Meanwhile comes the harm.
async fn write_until_it_fails(
    store: &Arc<dyn Store>,
    round: u32,
    harm: impl AsyncFnOnce(),
) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(2);
    let writers = (0..8).map(|writer| {
        let store = Arc::clone(store);
        async move {
            let mut written = Vec::new();
            for number in 0.. {
                let key = format!("{round}/{writer}/{number}");
                match put(&store, &key).await {
                    Ok(()) if Instant::now() < end => written.push(key),
                    _ => break,
                }
            }
            written
        }
    });
    let harm = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        harm().await;
    };
    let (all, ()) = futures::join!(futures::future::join_all(writers), harm);
    all.into_iter().flatten().collect()
}

async fn all_there(store: &Arc<dyn Store>, written: &[String]) {
    for key in written {
        assert!(store.exists(key).await.unwrap(), "{key} was acknowledged and is gone");
    }
}

async fn wrong_servers(vendor: &'static Vendor) {
    let http = Stranger::start().await;
    another_kind(vendor, http.address()).await;
    // A real server, of another vendor.
    let other = if vendor.name == "redis" { "nats" } else { "redis" };
    let other = VENDORS.iter().find(|it| it.name == other).unwrap();
    another_kind(vendor, (other.shared)().address()).await;
    // Nobody.
    let nobody = http.address();
    drop(http);
    let error = open(&(vendor.url)(nobody)).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}

/// It does not help to wait for who is not there: what has to change is the URL.
async fn another_kind(vendor: &Vendor, address: SocketAddr) {
    let url = (vendor.url)(address);
    let error = bound(&format!("{{ url = '{url}', timeout = '2s' }}")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    let words = error.to_string();
    let (host, cause) =
        words.split_once(" does not speak as ").unwrap_or_else(|| panic!("{words}"));
    assert_eq!(host, format!("{} {address}", vendor.name));
    let (_, cause) = cause.split_once("; is it one?: ").unwrap_or_else(|| panic!("{words}"));
    assert!(!cause.is_empty(), "{words}");
}

async fn watch(vendor: &'static Vendor) {
    use futures::StreamExt as _;
    let server = (vendor.start)();
    let proxy = Proxy::start(server.address()).await;
    let store = impatient(vendor, proxy.address()).await;
    let direct = impatient(vendor, server.address()).await;
    let mut changes = store.watch(&WatchOptions::default()).await.unwrap();
    for number in 0..20 {
        let key = format!("key {number}");
        if number % 4 == 0 {
            proxy.cut();
        }
        put(&direct, &key).await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(20), changes.next());
        let change = next.await.expect("a change").unwrap().unwrap();
        let told = matches!(&change, Change::Set { key: told, .. } if *told == key);
        assert!(told, "{key}: {change:?}");
    }
}
