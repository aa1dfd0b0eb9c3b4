//! Many at the same time: each is served as if it were alone.

use super::{ALL, PLAIN, Stage, change, put, some, text};
use crate::{Change, Store, WatchOptions};
use base::Kind;
use base::offer::Watch;
use base::promise::{Broken, Kept, Promise, equal, holds, refused};
use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use std::collections::BTreeSet;

pub(super) const PROMISES: &[Promise<dyn Store>] = base::promises![
    writes_of_many_are_all_done_and_told,
    of_many_writes_of_one_key_one_stays,
    reads_of_many_are_each_answered,
    large_values_are_read_by_many,
    who_is_refused_hurts_no_other,
];

const MANY: usize = 150;

fn key(number: usize) -> String {
    format!("key {number}")
}

async fn writes_of_many_are_all_done_and_told(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let mut changes = match store.offer().levels.watch {
        Watch::None => None,
        _ => Some(store.watch(&WatchOptions::default()).await?),
    };
    let write = async |number: usize| put(&*store, &key(number), &number.to_string()).await;
    try_join_all((0..MANY).map(write)).await?;
    let keys: Vec<String> = (0..MANY).map(key).collect();
    let wanted: Vec<_> = (0..MANY).map(|number| some(&number.to_string())).collect();
    equal(store.get_many(&keys, ALL).await?, wanted)?;
    let Some(changes) = &mut changes else { return Ok(()) };
    let mut untold: BTreeSet<String> = keys.into_iter().collect();
    while !untold.is_empty() {
        match change(changes).await? {
            Change::Set { key, .. } => {
                untold.remove(&key);
            }
            // What is missed is said, and then it is not owed.
            Change::Missed { .. } => return Ok(()),
            Change::Delete { key, .. } => {
                return Err(Broken::new(format!("`{key}` was never deleted")));
            }
        }
    }
    Ok(())
}

async fn of_many_writes_of_one_key_one_stays(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let write = async |number: usize| put(&*store, "key", &number.to_string()).await;
    try_join_all((0..MANY).map(write)).await?;
    let stays = store.get("key").await?;
    let one_of_them = (0..MANY).any(|number| stays == some(&number.to_string()));
    holds(one_of_them, "the value is one that was written")?;
    put(&*store, "key", "last").await?;
    equal(store.get("key").await?, some("last"))
}

async fn reads_of_many_are_each_answered(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let entries = (0..MANY).step_by(2).map(|number| (key(number), text(number.to_string())));
    store.set_many(entries.collect(), &PLAIN).await?;
    // Each key twice, and every second one is absent.
    let read = async |number: usize| store.get(&key(number % MANY)).await;
    let found = try_join_all((0..2 * MANY).map(read)).await?;
    for (number, found) in found.into_iter().enumerate() {
        let number = number % MANY;
        let wanted = if number.is_multiple_of(2) { some(&number.to_string()) } else { None };
        equal(found, wanted)?;
    }
    Ok(())
}

async fn large_values_are_read_by_many(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let value = |number: usize| Bytes::from(vec![b'a' + number.to_le_bytes()[0]; 200_000]);
    for number in 0..8 {
        store.put(&key(number), value(number)).await?;
    }
    let read = async |number: usize| store.get(&key(number % 8)).await;
    let found = try_join_all((0..64).map(read)).await?;
    let right = |(number, found): (usize, Option<Bytes>)| found == Some(value(number % 8));
    holds(found.into_iter().enumerate().all(right), "every value is whole and the right one")
}

async fn who_is_refused_hurts_no_other(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let write = async |number: usize| match number % 10 {
        0 => store.put("", Bytes::new()).await,
        _ => put(&*store, &key(number), "value").await,
    };
    for (number, written) in join_all((0..MANY).map(write)).await.into_iter().enumerate() {
        match number % 10 {
            0 => drop(refused(written, Kind::Invalid)?),
            _ => written?,
        }
    }
    equal(store.get(&key(MANY - 1)).await?, some("value"))
}
