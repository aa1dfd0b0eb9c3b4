//! Watchers hear of every change, or that they missed some.

use super::{PLAIN, Stage, change, put, text};
use crate::{Change, Changes, Position, Store, WatchOptions, WriteOptions};
use base::Kind;
use base::offer::{Ttl, Watch};
use base::promise::{Broken, Kept, Promise, equal, holds, refused};
use futures::FutureExt as _;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(super) const PROMISES: &[Promise<dyn Store>] = base::promises![
    a_watcher_hears_of_sets_and_deletes,
    a_watcher_hears_of_what_it_asked_for,
    every_kind_of_write_is_heard_of,
    refused_writes_are_not_heard_of,
    a_watcher_hears_of_what_is_over,
    every_watcher_hears_of_every_change,
    a_slow_watcher_is_told_what_it_missed,
    a_watcher_goes_on_where_it_was,
];

/// The store, if it can be watched; else watching has to fail.
async fn watched(stage: &Stage) -> Result<Option<Arc<dyn Store>>, Broken> {
    let store = stage.open().await?;
    if store.offer().levels.watch > Watch::None {
        return Ok(Some(store));
    }
    let outcome = store.watch(&WatchOptions::default()).await.map(drop);
    refused(outcome, Kind::Unsupported)?;
    Ok(None)
}

async fn set(changes: &mut Changes, wanted: (&str, &str)) -> Result<Position, Broken> {
    match change(changes).await? {
        Change::Set { key, value, position, .. } => {
            equal((key.as_str(), value), (wanted.0, text(wanted.1)))?;
            Ok(position)
        }
        other => Err(Broken::new(format!("found {other:?}, wanted {wanted:?} to be set"))),
    }
}

/// So many keys, each of which gets its own name for a value. The changes of one key come in their
/// order, those of several may not.
async fn heard(changes: &mut Changes, number: usize) -> Result<BTreeSet<String>, Broken> {
    let mut keys = BTreeSet::new();
    while keys.len() < number {
        match change(changes).await? {
            Change::Set { key, value, .. } => {
                equal(text(key.clone()), value)?;
                holds(keys.insert(key), "a change comes once")?;
            }
            other => return Err(Broken::new(format!("found {other:?}, wanted a key to be set"))),
        }
    }
    Ok(keys)
}

async fn deleted(changes: &mut Changes, wanted: &str) -> Result<Position, Broken> {
    match change(changes).await? {
        Change::Delete { key, position } => {
            equal(key.as_str(), wanted)?;
            Ok(position)
        }
        other => Err(Broken::new(format!("found {other:?}, wanted {wanted} to be deleted"))),
    }
}

async fn a_watcher_hears_of_sets_and_deletes(stage: Stage) -> Kept {
    let Some(store) = watched(&stage).await? else { return Ok(()) };
    put(&*store, "before", "value").await?;
    let mut changes = store.watch(&WatchOptions::default()).await?;
    put(&*store, "key", "one").await?;
    set(&mut changes, ("key", "one")).await?;
    let version = store.set("key", text(""), &PLAIN).await?;
    match change(&mut changes).await? {
        Change::Set { version: heard, .. } => equal(heard, version)?,
        other => return Err(Broken::new(format!("found {other:?}"))),
    }
    store.delete("key", &PLAIN).await?;
    deleted(&mut changes, "key").await?;
    store.delete("key", &PLAIN).await?;
    put(&*store, "key", "again").await?;
    set(&mut changes, ("key", "again")).await.map(drop)
}

async fn a_watcher_hears_of_what_it_asked_for(stage: Stage) -> Kept {
    let Some(store) = watched(&stage).await? else { return Ok(()) };
    let keys = vec!["a/1".to_owned(), "b/1".to_owned()];
    let mut by_prefix = store.watch(&WatchOptions::prefix("a/")).await?;
    let by_keys = WatchOptions { keys: keys.clone(), ..WatchOptions::default() };
    let mut by_keys = store.watch(&by_keys).await?;
    let both = WatchOptions { keys, prefix: "a/".to_owned(), from: None };
    let mut by_both = store.watch(&both).await?;
    for key in ["a", "c", "a/2", "a/1", "b/2", "b/1", "a/3"] {
        put(&*store, key, key).await?;
    }
    equal(heard(&mut by_prefix, 3).await?, ["a/1", "a/2", "a/3"].map(str::to_owned).into())?;
    equal(heard(&mut by_keys, 2).await?, ["a/1", "b/1"].map(str::to_owned).into())?;
    set(&mut by_both, ("a/1", "a/1")).await?;
    for rest in [by_prefix, by_keys, by_both] {
        holds(futures::StreamExt::into_future(rest).now_or_never().is_none(), "no more comes")?;
    }
    Ok(())
}

async fn every_kind_of_write_is_heard_of(stage: Stage) -> Kept {
    let Some(store) = watched(&stage).await? else { return Ok(()) };
    let mut changes = store.watch(&WatchOptions::default()).await?;
    store.increment("n", 7, &PLAIN).await?;
    set(&mut changes, ("n", "7")).await?;
    store.set_many(vec![("a".to_owned(), text("1"))], &PLAIN).await?;
    set(&mut changes, ("a", "1")).await?;
    store.delete_many(&["a".to_owned(), "absent".to_owned()], &PLAIN).await?;
    deleted(&mut changes, "a").await?;
    put(&*store, "last", "").await?;
    set(&mut changes, ("last", "")).await.map(drop)
}

async fn refused_writes_are_not_heard_of(stage: Stage) -> Kept {
    let Some(store) = watched(&stage).await? else { return Ok(()) };
    put(&*store, "key", "text").await?;
    let mut changes = store.watch(&WatchOptions::default()).await?;
    let absent = WriteOptions::expecting(crate::Expect::Absent);
    refused(store.set("key", text("late"), &absent).await, Kind::Conflict)?;
    refused(store.increment("key", 1, &PLAIN).await, Kind::Invalid)?;
    put(&*store, "key", "next").await?;
    set(&mut changes, ("key", "next")).await.map(drop)
}

async fn a_watcher_hears_of_what_is_over(stage: Stage) -> Kept {
    let Some(store) = watched(&stage).await? else { return Ok(()) };
    let ttl = match store.offer().levels.ttl {
        // Long enough to be told of it before it is over.
        Ttl::Milliseconds => Duration::from_millis(500),
        Ttl::Seconds => Duration::from_secs(1),
        Ttl::None | Ttl::Binding => return Ok(()),
    };
    let mut changes = store.watch(&WatchOptions::default()).await?;
    store.set("key", text("short"), &WriteOptions::living(ttl)).await?;
    set(&mut changes, ("key", "short")).await?;
    deleted(&mut changes, "key").await?;
    put(&*store, "key", "new").await?;
    set(&mut changes, ("key", "new")).await.map(drop)
}

async fn every_watcher_hears_of_every_change(stage: Stage) -> Kept {
    let Some(store) = watched(&stage).await? else { return Ok(()) };
    let mut watchers = Vec::new();
    for _ in 0..20 {
        watchers.push(store.watch(&WatchOptions::default()).await?);
    }
    for round in 0..50 {
        let key = format!("key {round}");
        put(&*store, &key, &key).await?;
    }
    let wanted: BTreeSet<String> = (0..50).map(|round| format!("key {round}")).collect();
    for changes in &mut watchers {
        equal(heard(changes, wanted.len()).await?, wanted.clone())?;
    }
    Ok(())
}

async fn a_slow_watcher_is_told_what_it_missed(stage: Stage) -> Kept {
    let Some(store) = watched(&stage).await? else { return Ok(()) };
    let mut changes = store.watch(&WatchOptions::default()).await?;
    for batch in 0..20 {
        let key = |at: i32| format!("{}", batch * 1000 + at);
        let entries = (0..1000).map(|at| (key(at), text("value"))).collect();
        store.set_many(entries, &PLAIN).await?;
    }
    put(&*store, "last", "value").await?;
    let (mut heard, mut missed) = (0, false);
    loop {
        match change(&mut changes).await? {
            Change::Set { key, .. } if key == "last" => break,
            Change::Missed { .. } => missed = true,
            _ => heard += 1,
        }
    }
    holds(missed || heard == 20_000, "what is missing was announced")
}

async fn a_watcher_goes_on_where_it_was(stage: Stage) -> Kept {
    let Some(store) = watched(&stage).await? else { return Ok(()) };
    let mut changes = store.watch(&WatchOptions::default()).await?;
    put(&*store, "a", "1").await?;
    let position = set(&mut changes, ("a", "1")).await?;
    drop(changes);
    put(&*store, "b", "2").await?;
    store.delete("a", &PLAIN).await?;
    let from = WatchOptions { from: Some(position), ..WatchOptions::default() };
    if store.offer().levels.watch < Watch::Resumable {
        let outcome = store.watch(&from).await.map(drop);
        return refused(outcome, Kind::Unsupported).map(drop);
    }
    let mut changes = store.watch(&from).await?;
    set(&mut changes, ("b", "2")).await?;
    let position = deleted(&mut changes, "a").await?;
    let from = WatchOptions { from: Some(position), ..WatchOptions::default() };
    let mut changes = store.watch(&from).await?;
    put(&*store, "c", "3").await?;
    set(&mut changes, ("c", "3")).await.map(drop)
}
