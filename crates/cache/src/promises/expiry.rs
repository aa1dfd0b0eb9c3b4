//! Entries that live for a time.

use super::{Stage, keeping, put, some, text};
use crate::Cache;
use base::Kind;
use base::offer::Ttl;
use base::promise::{Broken, Kept, Promise, equal, holds, refused};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const PROMISES: &[Promise<dyn Cache>] = base::promises![
    an_entry_ends_in_its_time_and_not_before,
    nothing_is_found_past_its_time_to_live,
    what_is_over_is_a_miss_everywhere,
    a_plain_write_takes_the_end_away,
    a_long_time_to_live_is_no_date,
    a_time_to_live_is_at_least_a_millisecond,
];

const SHORT: Duration = Duration::from_millis(200);

/// What the clocks of a server and of this program may differ in, after both were read.
const TOLERANCE: Duration = Duration::from_millis(5);

/// A cache that keeps entries, which every one does to the millisecond.
async fn living(stage: &Stage) -> Result<Option<Arc<dyn Cache>>, Broken> {
    let cache = keeping(stage).await?;
    if let Some(cache) = &cache {
        equal(cache.offer().levels.ttl, Ttl::Milliseconds)?;
    }
    Ok(cache)
}

async fn an_entry_ends_in_its_time_and_not_before(stage: Stage) -> Kept {
    let Some(cache) = living(&stage).await? else { return Ok(()) };
    let begun = Instant::now();
    cache.set("short", text("value"), Some(SHORT)).await?;
    cache.set("longer", text("value"), Some(Duration::from_secs(60))).await?;
    put(&*cache, "plain", "value").await?;
    let found = cache.get("short").await?;
    if begun.elapsed() + TOLERANCE < SHORT {
        equal(found, some("value"))?;
    }
    tokio::time::sleep(SHORT + TOLERANCE).await;
    equal(cache.get("short").await?, None::<Bytes>)?;
    equal(cache.get("longer").await?, some("value"))?;
    equal(cache.get("plain").await?, some("value"))
}

async fn nothing_is_found_past_its_time_to_live(stage: Stage) -> Kept {
    let Some(cache) = living(&stage).await? else { return Ok(()) };
    for milliseconds in [1, 20, 50, 150, 1100] {
        let ttl = Duration::from_millis(milliseconds);
        let key = format!("for {milliseconds}");
        cache.set(&key, text("value"), Some(ttl)).await?;
        let stored = Instant::now();
        loop {
            let asked = stored.elapsed();
            let (found, exists) = (cache.get(&key).await?, cache.exists(&key).await?);
            if asked > ttl + TOLERANCE {
                equal(found, None::<Bytes>)?;
                holds(!exists, "what is over does not exist")?;
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(())
}

async fn what_is_over_is_a_miss_everywhere(stage: Stage) -> Kept {
    let Some(cache) = living(&stage).await? else { return Ok(()) };
    let begun = Instant::now();
    cache.set("key", text("value"), Some(SHORT)).await?;
    if let Some(found) = cache.expiring("key").await? {
        let Some(until) = found.until else { return Err(Broken::new("its end is not known")) };
        let (least, most) = (begun, Instant::now() + SHORT + TOLERANCE);
        holds(least < until && until <= most, "its end is the one that was asked for")?;
    }
    tokio::time::sleep(SHORT + TOLERANCE).await;
    holds(!cache.exists("key").await?, "what is over does not exist")?;
    equal(cache.expiring("key").await?, None)?;
    cache.delete("key").await?;
    put(&*cache, "key", "again").await?;
    equal(cache.get("key").await?, some("again"))
}

async fn a_plain_write_takes_the_end_away(stage: Stage) -> Kept {
    let Some(cache) = living(&stage).await? else { return Ok(()) };
    cache.set("plain", text("short"), Some(SHORT)).await?;
    cache.set("longer", text("short"), Some(SHORT)).await?;
    put(&*cache, "shorter", "stays").await?;
    put(&*cache, "plain", "stays").await?;
    cache.set("longer", text("stays"), Some(Duration::from_secs(60))).await?;
    cache.set("shorter", text("goes"), Some(SHORT)).await?;
    tokio::time::sleep(SHORT + TOLERANCE).await;
    equal(cache.get("plain").await?, some("stays"))?;
    equal(cache.get("longer").await?, some("stays"))?;
    equal(cache.get("shorter").await?, None::<Bytes>)
}

async fn a_long_time_to_live_is_no_date(stage: Stage) -> Kept {
    let Some(cache) = living(&stage).await? else { return Ok(()) };
    let day = Duration::from_secs(24 * 3600);
    let times = [day, day * 29, day * 30, day * 31, day * 49, day * 40_000, Duration::MAX];
    for (number, ttl) in times.into_iter().enumerate() {
        cache.set(&number.to_string(), text("stays"), Some(ttl)).await?;
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for number in 0..times.len() {
        equal(cache.get(&number.to_string()).await?, some("stays"))?;
    }
    Ok(())
}

async fn a_time_to_live_is_at_least_a_millisecond(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    for ttl in [Duration::ZERO, Duration::from_micros(999)] {
        refused(cache.set("key", text("value"), Some(ttl)).await, Kind::Invalid)?;
    }
    equal(cache.get("key").await?, None::<Bytes>)
}
