//! Versions, and writes that expect one.

use super::{PLAIN, Stage, put, some, text};
use crate::{Expect, Store, Version, WriteOptions, is_unmet};
use base::promise::{Broken, Kept, Promise, equal, holds, refused};
use base::{Kind, Result};
use bytes::Bytes;
use std::collections::HashSet;
use std::fmt::Debug;

pub(super) const PROMISES: &[Promise<dyn Store>] = base::promises![
    every_write_has_a_version_of_its_own,
    reading_leaves_the_version,
    a_write_returns_the_version_that_is_read,
    the_expected_version_is_replaced,
    another_version_is_left_alone,
    absence_can_be_expected,
    a_recreated_key_is_another,
    deletion_can_expect_a_version,
    of_many_that_expect_the_same_one_wins,
    versions_go_through_text,
];

/// Holds if the write was refused because its expectation did not hold.
#[track_caller]
fn unmet<T: Debug>(outcome: Result<T>) -> Kept {
    let error = refused(outcome, Kind::Conflict)?;
    holds(is_unmet(&error), "the error says that the expectation was not met")
}

async fn version(store: &dyn Store, key: &str) -> Result<Version, Broken> {
    let found = store.versioned(key).await?;
    found.map(|found| found.version).ok_or_else(|| Broken::new("the key is absent"))
}

fn expecting(version: Version) -> WriteOptions {
    WriteOptions::expecting(Expect::Version(version))
}

async fn every_write_has_a_version_of_its_own(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let mut seen = HashSet::new();
    for round in 0..20 {
        holds(seen.insert(store.set("key", text("same"), &PLAIN).await?), "a new version")?;
        if round % 5 == 0 {
            store.delete("key", &PLAIN).await?;
            store.increment("key", 1, &PLAIN).await?;
            holds(seen.insert(version(&*store, "key").await?), "a new version for a counter")?;
        }
        store.set_many(vec![("key".to_owned(), text("same"))], &PLAIN).await?;
        holds(seen.insert(version(&*store, "key").await?), "a new version in a batch")?;
    }
    Ok(())
}

async fn reading_leaves_the_version(stage: Stage) -> Kept {
    let store = stage.open().await?;
    put(&*store, "key", "value").await?;
    put(&*store, "other", "value").await?;
    let before = version(&*store, "key").await?;
    store.get("key").await?;
    put(&*store, "other", "changed").await?;
    equal(version(&*store, "key").await?, before)
}

async fn a_write_returns_the_version_that_is_read(stage: Stage) -> Kept {
    let store = stage.open().await?;
    for value in ["one", "two"] {
        let written = store.set("key", text(value), &PLAIN).await?;
        equal(version(&*store, "key").await?, written)?;
    }
    Ok(())
}

async fn the_expected_version_is_replaced(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let first = store.set("key", text("one"), &PLAIN).await?;
    let second = store.set("key", text("two"), &expecting(first)).await?;
    store.set("key", text("three"), &expecting(second)).await?;
    equal(store.get("key").await?, some("three"))?;
    let third = store.set("n", text("1"), &PLAIN).await?;
    equal(store.increment("n", 1, &expecting(third)).await?, 2)
}

async fn another_version_is_left_alone(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let first = store.set("key", text("1"), &PLAIN).await?;
    let second = store.set("key", text("2"), &PLAIN).await?;
    unmet(store.set("key", text("3"), &expecting(first)).await)?;
    unmet(store.increment("key", 1, &expecting(first)).await)?;
    unmet(store.set("absent", text("3"), &expecting(second)).await)?;
    equal(store.get("key").await?, some("2"))?;
    equal(version(&*store, "key").await?, second)?;
    equal(store.get("absent").await?, None::<Bytes>)
}

async fn absence_can_be_expected(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let absent = WriteOptions::expecting(Expect::Absent);
    store.set("key", text(""), &absent).await?;
    unmet(store.set("key", text("again"), &absent).await)?;
    unmet(store.increment("key", 1, &absent).await)?;
    equal(store.get("key").await?, some(""))?;
    store.delete("key", &PLAIN).await?;
    store.set("key", text("new"), &absent).await?;
    equal(store.get("key").await?, some("new"))
}

async fn a_recreated_key_is_another(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let old = store.set("key", text("same"), &PLAIN).await?;
    store.delete("key", &PLAIN).await?;
    unmet(store.set("key", text("late"), &expecting(old)).await)?;
    for _ in 0..3 {
        put(&*store, "key", "same").await?;
        unmet(store.set("key", text("late"), &expecting(old)).await)?;
        unmet(store.delete("key", &expecting(old)).await)?;
        equal(store.get("key").await?, some("same"))?;
        store.delete("key", &PLAIN).await?;
    }
    Ok(())
}

async fn deletion_can_expect_a_version(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let first = store.set("key", text("one"), &PLAIN).await?;
    let second = store.set("key", text("two"), &PLAIN).await?;
    unmet(store.delete("key", &expecting(first)).await)?;
    unmet(store.delete("key", &WriteOptions::expecting(Expect::Absent)).await)?;
    store.delete("key", &expecting(second)).await?;
    equal(store.get("key").await?, None::<Bytes>)?;
    unmet(store.delete("key", &expecting(second)).await)?;
    store.delete("key", &WriteOptions::expecting(Expect::Absent)).await.map_err(Broken::from)
}

async fn of_many_that_expect_the_same_one_wins(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let mut current = store.set("key", text("start"), &PLAIN).await?;
    for _ in 0..10 {
        let options = expecting(current);
        let names: Vec<String> = (0..8).map(|writer| format!("writer {writer}")).collect();
        let writes = names.iter().map(|name| store.set("key", text(name.clone()), &options));
        let outcomes = futures::future::join_all(writes).await;
        let mut winners = Vec::new();
        for (name, outcome) in names.iter().zip(outcomes) {
            match outcome {
                Ok(version) => winners.push((name, version)),
                Err(error) => holds(is_unmet(&error), "the others are told that it was taken")?,
            }
        }
        let [(winner, version)] = winners.as_slice() else {
            return Err(Broken::new(format!("{} of 8 won", winners.len())));
        };
        equal(store.get("key").await?, some(winner))?;
        current = *version;
    }
    Ok(())
}

async fn versions_go_through_text(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let version = store.set("key", text("one"), &PLAIN).await?;
    let read: Version = version.to_string().parse()?;
    store.set("key", text("two"), &expecting(read)).await?;
    equal(store.get("key").await?, some("two"))
}
