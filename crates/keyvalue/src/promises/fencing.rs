//! Writes under a lock: who lost it is refused.

use super::{PLAIN, Stage, put, some, text};
use crate::{Expect, Fence, Store, WriteOptions, is_stale_fence, is_unmet};
use base::offer::{Atomicity, Durability, Fence as Level};
use base::promise::{Broken, Kept, Promise, equal, holds, refused};
use base::{Kind, Result};
use bytes::Bytes;
use std::fmt::Debug;
use std::sync::Arc;

pub(super) const PROMISES: &[Promise<dyn Store>] = base::promises![
    a_stale_holder_is_refused,
    the_same_holder_writes_on,
    every_kind_of_write_is_fenced,
    locks_are_told_apart,
    a_refused_write_keeps_no_token,
    fences_survive_reopening,
];

/// The store, if it keeps fences; else fenced writes have to fail.
async fn fenced(stage: &Stage) -> Result<Option<Arc<dyn Store>>, Broken> {
    let store = stage.open().await?;
    if store.offer().levels.fence > Level::None {
        return Ok(Some(store));
    }
    let options = WriteOptions::fenced("lock", 1);
    refused(store.set("key", text("value"), &options).await, Kind::Unsupported)?;
    refused(store.delete("key", &options).await, Kind::Unsupported)?;
    equal(store.get("key").await?, None::<Bytes>)?;
    Ok(None)
}

/// A key whose writes raise the token for the writes of `key` too: any, where a binding is changed
/// as a whole.
fn beside<'a>(store: &Arc<dyn Store>, key: &'a str, another: &'a str) -> &'a str {
    if store.offer().levels.atomicity == Atomicity::Binding { another } else { key }
}

/// Holds if the write was refused because its fence is stale.
#[track_caller]
fn stale<T: Debug>(outcome: Result<T>) -> Kept {
    let error = refused(outcome, Kind::Conflict)?;
    holds(is_stale_fence(&error) && !is_unmet(&error), "the error says that the fence is stale")
}

async fn a_stale_holder_is_refused(stage: Stage) -> Kept {
    let Some(store) = fenced(&stage).await? else { return Ok(()) };
    store.set("key", text("old"), &WriteOptions::fenced("lock", 7)).await?;
    store.set("key", text("new"), &WriteOptions::fenced("lock", 9)).await?;
    stale(store.set("key", text("late"), &WriteOptions::fenced("lock", 7)).await)?;
    stale(store.set("key", text("late"), &WriteOptions::fenced("lock", 8)).await)?;
    equal(store.get("key").await?, some("new"))?;
    let other = beside(&store, "key", "other key");
    stale(store.set(other, text("late"), &WriteOptions::fenced("lock", 8)).await)?;
    equal(store.get(other).await?, if other == "key" { some("new") } else { None })
}

async fn the_same_holder_writes_on(stage: Stage) -> Kept {
    let Some(store) = fenced(&stage).await? else { return Ok(()) };
    let options = WriteOptions::fenced("lock", u64::MAX);
    for value in ["one", "two", "three"] {
        store.set("key", text(value), &options).await?;
    }
    equal(store.get("key").await?, some("three"))?;
    put(&*store, "key", "without a lock").await?;
    equal(store.get("key").await?, some("without a lock"))
}

async fn every_kind_of_write_is_fenced(stage: Stage) -> Kept {
    let Some(store) = fenced(&stage).await? else { return Ok(()) };
    put(&*store, "key", "1").await?;
    let other = beside(&store, "key", "other");
    store.set(other, text("1"), &WriteOptions::fenced("lock", 5)).await?;
    let late = WriteOptions::fenced("lock", 4);
    stale(store.set("key", text("late"), &late).await)?;
    stale(store.increment("key", 1, &late).await)?;
    stale(store.delete("key", &late).await)?;
    stale(store.delete_many(&["key".to_owned()], &late).await)?;
    stale(store.set_many(vec![("key".to_owned(), text("late"))], &late).await)?;
    equal(store.get("key").await?, some("1"))?;
    for token in 6..=9 {
        let options = WriteOptions::fenced("lock", token);
        match token {
            6 => drop(store.increment("key", 1, &options).await?),
            7 => store.set_many(vec![("key".to_owned(), text("2"))], &options).await?,
            8 => store.delete(beside(&store, "key", "absent"), &options).await?,
            _ => store.delete_many(&["key".to_owned()], &options).await?,
        }
        stale(store.set("key", text("late"), &WriteOptions::fenced("lock", token - 1)).await)?;
    }
    equal(store.get("key").await?, None::<Bytes>)
}

async fn locks_are_told_apart(stage: Stage) -> Kept {
    let Some(store) = fenced(&stage).await? else { return Ok(()) };
    store.set("key", text("one"), &WriteOptions::fenced("lock", 9)).await?;
    store.set("key", text("two"), &WriteOptions::fenced("other lock", 1)).await?;
    store.set("key", text("three"), &WriteOptions::fenced("Lock", 1)).await?;
    equal(store.get("key").await?, some("three"))?;
    equal(store.get("lock").await?, None::<Bytes>)
}

async fn a_refused_write_keeps_no_token(stage: Stage) -> Kept {
    let Some(store) = fenced(&stage).await? else { return Ok(()) };
    put(&*store, "key", "text").await?;
    let fence = Some(Fence { lock: "lock".to_owned(), token: 9 });
    let options = WriteOptions { expect: Some(Expect::Absent), ttl: None, fence };
    let error = refused(store.set("key", text("late"), &options).await, Kind::Conflict)?;
    holds(is_unmet(&error), "the error says that the expectation was not met")?;
    let options = WriteOptions { expect: None, ..options };
    refused(store.increment("key", 1, &options).await, Kind::Invalid)?;
    store.set("key", text("lower"), &WriteOptions::fenced("lock", 1)).await?;
    equal(store.get("key").await?, some("lower"))
}

async fn fences_survive_reopening(stage: Stage) -> Kept {
    let Some(store) = fenced(&stage).await? else { return Ok(()) };
    if store.offer().levels.durability == Durability::None {
        return Ok(());
    }
    store.set("key", text("new"), &WriteOptions::fenced("lock", 9)).await?;
    store.delete("key", &PLAIN).await?;
    drop(store);
    let store = stage.open().await?;
    stale(store.set("key", text("late"), &WriteOptions::fenced("lock", 8)).await)?;
    store.set("key", text("next"), &WriteOptions::fenced("lock", 10)).await?;
    equal(store.get("key").await?, some("next"))
}
