//! Guests that are told of changes.

use super::stores::{Faulty, Watching};
use super::{expect, load, memory, set};
use base::{Error, Kind};
use engine::{Limits, Stop};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use wharf_keyvalue::trigger::{Watcher, run};
use wharf_keyvalue::{Store, WatchOptions, WriteOptions};

type Running = tokio::task::JoinHandle<base::Result<()>>;

/// Starts telling `guest` of the changes of `store`.
async fn start(guest: &str, store: &Arc<dyn Store>, options: WatchOptions) -> (Running, Stop) {
    start_with(guest, store, options, Limits::default()).await
}

async fn start_with(
    guest: &str,
    store: &Arc<dyn Store>,
    options: WatchOptions,
    limits: Limits,
) -> (Running, Stop) {
    let watcher = Watcher::new(load(guest, store, limits).unwrap()).unwrap().unwrap();
    let (stop, store) = (Stop::new(), Arc::clone(store));
    let stopped = stop.clone();
    let tasks = engine::Tasks::new();
    let (_, watcher) = tokio::sync::watch::channel(watcher);
    let running = tasks.spawn(async move { run(watcher, store, "test", options, stopped).await });
    // The subscription is the first thing that it does.
    tokio::time::sleep(Duration::from_millis(50)).await;
    (running, stop)
}

async fn end((running, stop): (Running, Stop)) {
    stop.now();
    running.await.unwrap().unwrap();
}

async fn is_told(guest: &str, interface: &str, seen: &str) {
    let store = memory(guest).await;
    let watcher = Watcher::new(load(guest, &store, Limits::default()).unwrap()).unwrap();
    assert_eq!(watcher.unwrap().interface(), interface);
    set(&store, "before", "x").await;
    let running = start(guest, &store, WatchOptions::default()).await;
    set(&store, "a", "hello").await;
    expect(&store, "seen/a", seen).await;
    store.delete("a", &WriteOptions::default()).await.unwrap();
    expect(&store, "seen/a", "(deleted)").await;
    assert_eq!(store.get("seen/before").await.unwrap(), None);
    end(running).await;
    set(&store, "late", "x").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(store.get("seen/late").await.unwrap(), None);
}

#[tokio::test]
async fn a_guest_of_the_first_draft_is_told() {
    is_told("kv-watch-draft", "wasi:keyvalue/watcher@0.2.0-draft", "hello").await;
}

#[tokio::test]
async fn a_guest_of_the_second_draft_is_told() {
    is_told("kv-watch-draft2", "wasi:keyvalue/watcher@0.2.0-draft2", "hello").await;
}

#[tokio::test]
async fn a_guest_of_wasmcloud_is_told() {
    is_told("kv-watch-wasmcloud", "wasmcloud:keyvalue/watcher@0.2.0", "hello").await;
}

#[tokio::test]
async fn a_guest_of_the_oldest_interface_is_told_how_long_the_value_is() {
    is_told("kv-watch-old", "wasi:keyvalue/handle-watch@0.2.0-draft", "5").await;
}

#[tokio::test]
async fn a_guest_that_exports_no_watcher_is_none() {
    let store = memory("none").await;
    let guest = load("exports-nothing", &store, Limits::default()).unwrap();
    assert!(Watcher::new(guest).unwrap().is_none());
}

#[tokio::test]
async fn only_what_was_asked_for_is_told_and_each_key_in_its_order() {
    let store = memory("order").await;
    let options =
        WatchOptions { keys: vec!["in/a".into(), "in/b".into()], ..WatchOptions::prefix("in/") };
    let running = start("kv-watch-draft2", &store, options).await;
    set(&store, "out", "x").await;
    set(&store, "in/c", "x").await;
    for number in 0..100 {
        set(&store, "in/a", &number.to_string()).await;
        set(&store, "in/b", &number.to_string()).await;
    }
    // The last write of a key is told last.
    expect(&store, "seen/in/a", "99").await;
    expect(&store, "seen/in/b", "99").await;
    end(running).await;
    for (key, value) in [("seen/in/a", Some("99")), ("seen/in/b", Some("99"))] {
        assert_eq!(store.get(key).await.unwrap().as_deref(), value.map(str::as_bytes));
    }
    for key in ["seen/out", "seen/in/c"] {
        assert_eq!(store.get(key).await.unwrap(), None, "{key}");
    }
}

#[tokio::test]
async fn a_guest_that_fails_is_tried_again_then_left_out_and_holds_up_nobody_else() {
    let store = memory("failing").await;
    let faulty = Faulty::new(&store, []);
    let front: Arc<dyn Store> = Arc::<Faulty>::clone(&faulty);
    let running = start("kv-watch-draft2", &front, WatchOptions::default()).await;
    set(&store, "bad", "refuse").await;
    set(&store, "bad", "better").await;
    set(&store, "good", "x").await;
    expect(&store, "seen/good", "x").await;
    assert!(faulty.refused.load(SeqCst) < 4, "others do not wait for the attempts");
    expect(&store, "seen/bad", "better").await;
    assert_eq!(faulty.refused.load(SeqCst), 4);
    end(running).await;
}

#[tokio::test]
async fn a_guest_that_hangs_is_ended_at_its_deadline() {
    let store = memory("hanging").await;
    let faulty = Faulty::new(&store, []);
    let front: Arc<dyn Store> = Arc::<Faulty>::clone(&faulty);
    let limits = Limits { request_timeout: Duration::from_millis(100), ..Limits::default() };
    let running = start_with("kv-watch-draft", &front, WatchOptions::default(), limits).await;
    set(&store, "k", "hang").await;
    set(&store, "k", "x").await;
    expect(&store, "seen/k", "x").await;
    assert_eq!(faulty.refused.load(SeqCst), 4);
    end(running).await;
}

#[tokio::test]
async fn many_keys_are_told_at_once_and_stopping_finishes_what_has_begun() {
    let store = memory("stopping").await;
    let faulty = Faulty::new(&store, []);
    let front: Arc<dyn Store> = Arc::<Faulty>::clone(&faulty);
    let running = start("kv-watch-draft2", &front, WatchOptions::default()).await;
    for number in 0..40 {
        set(&store, &format!("k{number}"), "slow").await;
    }
    while faulty.most.load(SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    end(running).await;
    for number in 0..40 {
        let seen = store.get(&format!("seen/k{number}")).await.unwrap();
        assert_eq!(seen.as_deref(), Some(b"slow".as_slice()), "k{number}");
    }
    let most = faulty.most.load(SeqCst);
    assert!((2..=16).contains(&most), "{most} at once");
}

#[tokio::test]
async fn a_lost_subscription_goes_on_where_it_was() {
    let store = memory("lost").await;
    let away = || Watching::Refused(Error::unavailable("on purpose"));
    let watching = [away(), Watching::Ends(1), away(), Watching::Stumbles(1), Watching::Ends(2)];
    let faulty = Faulty::new(&store, watching);
    let front: Arc<dyn Store> = Arc::<Faulty>::clone(&faulty);
    let options = WatchOptions::prefix("in/");
    let running = start("kv-watch-draft2", &front, options).await;
    // The first subscription was refused; what is written before the second is missed.
    while faulty.from.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    for number in 0..6 {
        set(&store, &format!("in/{number}"), "x").await;
    }
    for number in 0..6 {
        expect(&store, &format!("seen/in/{number}"), "x").await;
    }
    end(running).await;
    let from = faulty.from.lock().unwrap();
    assert_eq!(from.iter().take(2).flatten().count(), 0);
    assert!(from.len() >= 4 && from.iter().skip(2).all(Option::is_some), "{from:?}");
}

#[tokio::test]
async fn a_store_that_cannot_be_watched_is_an_error_at_once() {
    let store = memory("unwatchable").await;
    let refused = [Watching::Refused(Error::unsupported("this store cannot be watched"))];
    let front: Arc<dyn Store> = Faulty::new(&store, refused);
    let (running, _stop) = start("kv-watch-draft", &front, WatchOptions::default()).await;
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(error.message(), "binding `test`: this store cannot be watched");
}
