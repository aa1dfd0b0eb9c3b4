//! Entries that live for a time.

use super::{ALL, PLAIN, Stage, keys, put, some, text};
use crate::{Expect, ListOptions, Store, WriteOptions};
use base::Kind;
use base::offer::{List, Ttl};
use base::promise::{Broken, Kept, Promise, equal, holds, refused};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

pub(super) const PROMISES: &[Promise<dyn Store>] = base::promises![
    an_entry_ends_in_its_time_and_not_before,
    what_is_over_is_absent_everywhere,
    a_plain_write_takes_the_end_away,
    a_counter_keeps_its_end,
    batches_can_end_too,
    a_time_to_live_is_at_least_a_millisecond,
];

/// The store and the shortest time that it keeps; if it keeps none, asking for one has to fail.
async fn living(stage: &Stage) -> Result<Option<(Arc<dyn Store>, Duration)>, Broken> {
    let store = stage.open().await?;
    let shortest = match store.offer().levels.ttl {
        Ttl::Milliseconds => Duration::from_millis(150),
        Ttl::Seconds => Duration::from_secs(1),
        Ttl::None | Ttl::Binding => {
            let options = WriteOptions::living(Duration::from_secs(60));
            refused(store.set("key", text("value"), &options).await, Kind::Unsupported)?;
            refused(store.increment("key", 1, &options).await, Kind::Unsupported)?;
            equal(store.get("key").await?, None::<Bytes>)?;
            return Ok(None);
        }
    };
    Ok(Some((store, shortest)))
}

/// Long enough for an entry that lives for `ttl` to be over, also where that may take two seconds
/// more.
async fn outlive(store: &dyn Store, ttl: Duration) {
    let rounding = match store.offer().levels.ttl {
        Ttl::Seconds => Duration::from_millis(2100),
        _ => Duration::from_millis(30),
    };
    tokio::time::sleep(ttl + rounding).await;
}

const LONG: Duration = Duration::from_secs(3600);

async fn an_entry_ends_in_its_time_and_not_before(stage: Stage) -> Kept {
    let Some((store, ttl)) = living(&stage).await? else { return Ok(()) };
    let begun = tokio::time::Instant::now();
    store.set("short", text("value"), &WriteOptions::living(ttl)).await?;
    // Where the time is the server's, it began somewhere in between.
    let written = tokio::time::Instant::now();
    store.set("long", text("value"), &WriteOptions::living(LONG)).await?;
    store.set("for ever", text("value"), &WriteOptions::living(Duration::MAX)).await?;
    put(&*store, "plain", "value").await?;
    loop {
        let found = store.get("short").await?;
        // Clocks that count milliseconds begin up to one before they were asked.
        if begun.elapsed() + Duration::from_millis(2) >= ttl {
            break;
        }
        equal(found, some("value"))?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    outlive(&*store, ttl.saturating_sub(written.elapsed())).await;
    equal(store.get("short").await?, None::<Bytes>)?;
    for key in ["long", "for ever", "plain"] {
        equal(store.get(key).await?, some("value"))?;
    }
    Ok(())
}

async fn what_is_over_is_absent_everywhere(stage: Stage) -> Kept {
    let Some((store, ttl)) = living(&stage).await? else { return Ok(()) };
    let options = WriteOptions::living(ttl);
    let mut versions = Vec::new();
    for key in ["a", "b", "c", "d"] {
        versions.push(store.set(key, text("7"), &options).await?);
    }
    outlive(&*store, ttl).await;
    holds(!store.exists("a").await?, "what is over does not exist")?;
    equal(store.versioned("a").await?, None)?;
    equal(store.get_many(&["a".to_owned(), "b".to_owned()], ALL).await?, vec![None, None])?;
    if store.offer().levels.list > List::None {
        equal(keys(&*store, ListOptions::default()).await?, Vec::<String>::new())?;
    }
    for (key, version) in ["a", "b"].iter().zip(versions) {
        let options = WriteOptions::expecting(Expect::Version(version));
        refused(store.set(key, text("late"), &options).await, Kind::Conflict)?;
    }
    store.set("b", text("new"), &WriteOptions::expecting(Expect::Absent)).await?;
    equal(store.get("b").await?, some("new"))?;
    equal(store.increment("c", 1, &PLAIN).await?, 1)?;
    outlive(&*store, ttl).await;
    equal(store.get("c").await?, some("1"))?;
    store.delete("d", &PLAIN).await.map_err(Broken::from)
}

async fn a_plain_write_takes_the_end_away(stage: Stage) -> Kept {
    let Some((store, ttl)) = living(&stage).await? else { return Ok(()) };
    let options = WriteOptions::living(ttl);
    for key in ["plain", "longer", "batch"] {
        store.set(key, text("short"), &options).await?;
    }
    put(&*store, "plain", "stays").await?;
    store.set("longer", text("stays"), &WriteOptions::living(LONG)).await?;
    store.set_many(vec![("batch".to_owned(), text("stays"))], &PLAIN).await?;
    put(&*store, "shorter", "goes").await?;
    store.set("shorter", text("goes"), &options).await?;
    outlive(&*store, ttl).await;
    for key in ["plain", "longer", "batch"] {
        equal(store.get(key).await?, some("stays"))?;
    }
    equal(store.get("shorter").await?, None::<Bytes>)
}

async fn a_counter_keeps_its_end(stage: Stage) -> Kept {
    let Some((store, ttl)) = living(&stage).await? else { return Ok(()) };
    // Long enough for the counting to fall within it, on slow machines too.
    let ttl = ttl.max(Duration::from_millis(600));
    store.increment("n", 1, &WriteOptions::living(ttl)).await?;
    store.increment("n", 1, &PLAIN).await?;
    store.increment("renewed", 1, &WriteOptions::living(ttl)).await?;
    store.increment("renewed", 1, &WriteOptions::living(LONG)).await?;
    outlive(&*store, ttl).await;
    equal(store.get("n").await?, None::<Bytes>)?;
    equal(store.get("renewed").await?, some("2"))
}

async fn batches_can_end_too(stage: Stage) -> Kept {
    let Some((store, ttl)) = living(&stage).await? else { return Ok(()) };
    let entries = vec![("a".to_owned(), text("1")), ("b".to_owned(), text("2"))];
    store.set_many(entries, &WriteOptions::living(ttl)).await?;
    outlive(&*store, ttl).await;
    equal(store.get_many(&["a".to_owned(), "b".to_owned()], ALL).await?, vec![None, None])
}

async fn a_time_to_live_is_at_least_a_millisecond(stage: Stage) -> Kept {
    let Some((store, _)) = living(&stage).await? else { return Ok(()) };
    for ttl in [Duration::ZERO, Duration::from_micros(999)] {
        let options = WriteOptions::living(ttl);
        refused(store.set("key", text("value"), &options).await, Kind::Invalid)?;
    }
    let options = WriteOptions::living(LONG);
    refused(store.delete("key", &options).await, Kind::Invalid)?;
    equal(store.get("key").await?, None::<Bytes>)
}
