//! Servers that are away, hang, crash or are not what was meant. A cache that cannot be asked is
//! an error, never a miss, and at once where it is known to be away.

mod fragments;
mod memcached;
mod redis;

use crate::{bound, put, trial};
use base::Kind;
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use libtest_mimic::Trial;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::program::Signal;
use testkit::proxy::Proxy;
use testkit::servers::{CACHES, TIERED, Vendor};
use testkit::stranger::Stranger;
use wharf_cache::{Cache, Entry};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for vendor in CACHES.iter().chain([TIERED]) {
        let mut add = |name: &str, body: BoxFuture<'static, ()>| {
            trials.push(trial(format!("faults::{}::{name}", vendor.name), body));
        };
        add("a_server_that_is_away_fails_calls_at_once_and_heals", away(vendor).boxed());
        add("a_server_that_hangs_holds_no_call_beyond_its_timeout", hangs(vendor).boxed());
        add("servers_that_are_not_what_was_meant_are_told_apart", wrong_servers(vendor).boxed());
        if vendor.name == TIERED.name {
            // The others ask for what the memory in front answers.
            continue;
        }
        add("a_cut_connection_is_made_anew", cut(vendor).boxed());
        add("a_crash_of_the_server_loses_no_more_than_its_entries", crash(vendor).boxed());
        add("calls_that_are_given_up_mix_up_no_answers", given_up(vendor).boxed());
        add("what_is_made_while_the_server_is_away_is_made_once", made_once(vendor).boxed());
    }
    trials.extend(fragments::trials());
    trials.extend(memcached::trials());
    trials.extend(redis::trials());
    trials
}

/// A cache whose calls take a second at most.
async fn impatient(vendor: &Vendor, address: SocketAddr) -> Arc<dyn Cache> {
    bound(&crate::impatient(vendor, address)).await.unwrap()
}

/// Waits until calls are answered again.
pub(crate) async fn healed(cache: &Arc<dyn Cache>) {
    healed_at(cache, "healed").await;
}

/// Waits until calls about this key are answered again.
async fn healed_at(cache: &Arc<dyn Cache>, key: &str) {
    let begun = Instant::now();
    while let Err(error) = put(cache, key).await {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not heal: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn away(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let proxy = Proxy::start(server.address()).await;
    let cache = impatient(vendor, proxy.address()).await;
    put(&cache, "before").await.unwrap();
    proxy.change(|weather| weather.refused = true);
    proxy.cut();
    // What is on its way while the proxy hears of it may still arrive.
    while cache.get("before").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..10 {
        let error = cache.get("before").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        assert!(error.to_string().contains(&proxy.address().to_string()), "{error}");
        cache.get_or_set("before").await.unwrap_err();
    }
    // By now it is known, and nobody waits for the server to say so again.
    let begun = Instant::now();
    for _ in 0..1000 {
        put(&cache, "away").await.unwrap_err();
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    proxy.change(|weather| weather.refused = false);
    healed(&cache).await;
    assert!(cache.exists("before").await.unwrap());
}

async fn hangs(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let cache = impatient(vendor, server.address()).await;
    put(&cache, "before").await.unwrap();
    server.signal(Signal::SIGSTOP);
    let calls = (0..64).map(|number: u32| {
        let cache = Arc::clone(&cache);
        async move { put(&cache, &number.to_string()).await.unwrap_err().kind() }
    });
    let begun = Instant::now();
    for kind in join_all(calls).await {
        let told = matches!(kind, Kind::Timeout | Kind::Unavailable | Kind::Exhausted);
        assert!(told, "{kind:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    server.signal(Signal::SIGCONT);
    healed(&cache).await;
    assert!(cache.exists("before").await.unwrap());
}

async fn cut(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let proxy = Proxy::start(server.address()).await;
    let cache = impatient(vendor, proxy.address()).await;
    for _ in 0..20 {
        healed(&cache).await;
        proxy.cut();
    }
    healed(&cache).await;
    // Reads change nothing, so one that met a broken connection is sent again.
    for _ in 0..20 {
        proxy.cut();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(cache.exists("healed").await.unwrap());
    }
}

async fn crash(vendor: &'static Vendor) {
    let mut server = (vendor.start)();
    let cache = impatient(vendor, server.address()).await;
    for round in 0..3 {
        let key = format!("key {round}");
        put(&cache, &key).await.unwrap();
        server.crash();
        assert!(cache.get(&key).await.is_err(), "what cannot be asked is no miss");
        server = (vendor.again)(server);
        healed(&cache).await;
        let found = cache.get(&key).await.unwrap();
        assert!(found.is_none_or(|value| value == "x"));
    }
}

async fn given_up(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let proxy = Proxy::start(server.address()).await;
    let cache = impatient(vendor, proxy.address()).await;
    for number in 0..20_u32 {
        let key = number.to_string();
        cache.set(&key, key.clone().into(), None).await.unwrap();
    }
    proxy.change(|weather| weather.delay = Duration::from_millis(5));
    for round in 0..60_u32 {
        let key = (round % 20).to_string();
        let patience = Duration::from_millis(u64::from(round % 15));
        let given_up = tokio::time::timeout(patience, cache.get(&key)).await;
        drop(given_up);
        let other = ((round + 7) % 20).to_string();
        assert_eq!(cache.get(&other).await.unwrap().unwrap(), other);
    }
}

async fn made_once(vendor: &'static Vendor) {
    let server = (vendor.start)();
    let cache = impatient(vendor, server.address()).await;
    let Entry::Vacant(vacancy) = cache.get_or_set("key").await.unwrap() else { panic!("a miss") };
    let waiting = (0..10).map(|_| {
        let cache = Arc::clone(&cache);
        async move { cache.get_or_set("key").await }
    });
    let fill = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.crash();
        vacancy.fill("made".into(), None).await
    };
    let (waited, filled) = futures::join!(join_all(waiting), fill);
    filled.unwrap_err();
    for entry in waited {
        assert!(matches!(entry.unwrap(), Entry::Occupied(value) if value == "made"));
    }
}

async fn wrong_servers(vendor: &'static Vendor) {
    let http = Stranger::start().await;
    another_kind(vendor, http.address()).await;
    // A real server, of the other vendor.
    let other = CACHES.iter().find(|other| other.name != vendor.name).unwrap();
    another_kind(vendor, (other.shared)().address()).await;
    // Nobody.
    let nobody = http.address();
    drop(http);
    let error = bound(&format!("'{}'", (vendor.url)(nobody))).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}

async fn another_kind(vendor: &Vendor, address: SocketAddr) {
    let error = bound(&format!("'{}'", (vendor.url)(address))).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    let words = error.to_string();
    let server = if vendor.name == TIERED.name { "redis" } else { vendor.name };
    let told = format!("{server} {address} does not speak as ");
    assert!(words.contains(&told) && words.contains("; is it one?"), "{words}");
}
