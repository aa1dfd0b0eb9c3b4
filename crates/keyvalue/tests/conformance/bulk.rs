//! Many keys and many watchers, on every kind of store.

use crate::{stores, trial};
use bytes::Bytes;
use futures::StreamExt as _;
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use wharf_keyvalue::{Change, ListOptions, Store, WatchOptions, WriteOptions};

const KEYS: usize = 100_000;
const WATCHERS: usize = 10_000;
/// So many of the watchers' keys are written to.
const TOLD: usize = 200;

const PLAIN: WriteOptions = WriteOptions { expect: None, ttl: None, fence: None };

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, open) in stores() {
        let other = Arc::clone(&open);
        trials.push(trial(format!("bulk::{name}::100_000_keys_are_listed_once"), async move {
            let folder = tempfile::tempdir().unwrap();
            listed(other(folder.path()).await).await;
        }));
        trials.push(trial(format!("bulk::{name}::10_000_watchers_hear_their_own"), async move {
            let folder = tempfile::tempdir().unwrap();
            watched(open(folder.path()).await).await;
        }));
    }
    trials
}

async fn set(store: &Arc<dyn Store>, key: &str) -> base::Result<()> {
    store.put(key, Bytes::from_static(b"value")).await
}

/// All that stay come once, page by page, while others come and go between them.
async fn listed(store: Arc<dyn Store>) {
    let keys: Vec<String> = (0..KEYS).map(|number| format!("key {number:06}")).collect();
    for part in keys.chunks(1000) {
        let entries = part.iter().map(|key| (key.clone(), Bytes::from_static(b"value")));
        store.set_many(entries.collect(), &PLAIN).await.unwrap();
    }
    let mut options = ListOptions { prefix: "key ".to_owned(), ..ListOptions::default() };
    let (mut found, mut ordered, mut last) = (BTreeSet::new(), true, String::new());
    for round in 0.. {
        let (page, ()) = futures::join!(store.list(&options), come_and_go(&store, round));
        let page = page.unwrap();
        for key in page.keys {
            ordered &= last < key;
            last.clone_from(&key);
            assert!(found.insert(key), "`{last}` comes twice");
        }
        options.after = page.next;
        if options.after.is_none() {
            break;
        }
    }
    assert!(keys.iter().all(|key| found.contains(key)), "not every key was listed");
    assert!(ordered || store.offer().levels.list < base::offer::List::Ordered);
    // What is left would be in the way of the next one on the same server.
    for part in keys.chunks(1000) {
        store.delete_many(part, &PLAIN).await.unwrap();
    }
}

/// Keys all over the place, some of which leave again.
async fn come_and_go(store: &Arc<dyn Store>, round: usize) {
    for number in 0..10 {
        let key = format!("key {:06} more", (round * 10 + number) * 7919 % KEYS);
        set(store, &key).await.unwrap();
        if number % 2 == 0 {
            store.delete(&key, &PLAIN).await.unwrap();
        }
    }
}

async fn watched(store: Arc<dyn Store>) {
    let mut watchers = Vec::with_capacity(WATCHERS);
    for number in 0..WATCHERS {
        watchers.push(store.watch(&WatchOptions::prefix(format!("{number}/"))).await.unwrap());
    }
    for number in (0..WATCHERS).step_by(WATCHERS / TOLD) {
        set(&store, &format!("{number}/key")).await.unwrap();
    }
    set(&store, "0/last").await.unwrap();
    for (number, changes) in watchers.iter_mut().enumerate().step_by(WATCHERS / TOLD) {
        let change = tokio::time::timeout(Duration::from_secs(20), changes.next()).await;
        let change = change.unwrap_or_else(|_| panic!("watcher {number} heard nothing"));
        let Some(Ok(Change::Set { key, .. })) = change else { panic!("{number}: {change:?}") };
        assert_eq!(key, format!("{number}/key"));
    }
    // Everything was told by now, and nobody heard of another's keys.
    let silent = watchers.iter_mut().enumerate().filter(|(number, _)| number % 50 != 0);
    for (number, changes) in silent {
        let heard = futures::FutureExt::now_or_never(changes.next());
        assert!(heard.is_none(), "watcher {number}: {heard:?}");
    }
}
