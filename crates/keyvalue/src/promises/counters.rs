//! Counters: decimal text that can be added to.

use super::{PLAIN, Stage, put, some};
use crate::Store;
use base::Kind;
use base::promise::{Kept, Promise, equal, refused};
use bytes::Bytes;
use std::sync::Arc;

pub(super) const PROMISES: &[Promise<dyn Store>] = base::promises![
    counters_begin_at_zero,
    counters_are_decimal_text,
    text_is_no_counter,
    only_canonical_numbers_are_counters,
    overflow_is_an_error,
    counters_add_up,
];

async fn counters_begin_at_zero(stage: Stage) -> Kept {
    let store = stage.open().await?;
    equal(store.increment("a", 5, &PLAIN).await?, 5)?;
    equal(store.increment("b", -5, &PLAIN).await?, -5)?;
    equal(store.increment("c", 0, &PLAIN).await?, 0)?;
    equal(store.get("c").await?, some("0"))?;
    store.delete("a", &PLAIN).await?;
    equal(store.increment("a", 2, &PLAIN).await?, 2)
}

async fn counters_are_decimal_text(stage: Stage) -> Kept {
    let store = stage.open().await?;
    store.increment("n", 12, &PLAIN).await?;
    equal(store.get("n").await?, some("12"))?;
    equal(store.increment("n", -20, &PLAIN).await?, -8)?;
    equal(store.get("n").await?, some("-8"))?;
    put(&*store, "n", "41").await?;
    equal(store.increment("n", 1, &PLAIN).await?, 42)?;
    for edge in [i64::MIN, i64::MAX] {
        put(&*store, "n", &edge.to_string()).await?;
        equal(store.increment("n", 0, &PLAIN).await?, edge)?;
        equal(store.get("n").await?, some(&edge.to_string()))?;
    }
    Ok(())
}

async fn text_is_no_counter(stage: Stage) -> Kept {
    let store = stage.open().await?;
    for value in ["", "x", "1.5", "1e3", "0x10", "9223372036854775808", "12 apples"] {
        put(&*store, "n", value).await?;
        refused(store.increment("n", 1, &PLAIN).await, Kind::Invalid)?;
        equal(store.get("n").await?, some(value))?;
    }
    let bytes = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 7]);
    store.set("n", bytes.clone(), &PLAIN).await?;
    refused(store.increment("n", 1, &PLAIN).await, Kind::Invalid)?;
    equal(store.get("n").await?, Some(bytes))
}

async fn only_canonical_numbers_are_counters(stage: Stage) -> Kept {
    let store = stage.open().await?;
    for value in ["+1", "01", "-0", " 1", "1 ", "1\n", "1_000", "١"] {
        put(&*store, "n", value).await?;
        refused(store.increment("n", 1, &PLAIN).await, Kind::Invalid)?;
        equal(store.get("n").await?, some(value))?;
    }
    Ok(())
}

async fn overflow_is_an_error(stage: Stage) -> Kept {
    let store = stage.open().await?;
    for (edge, delta) in [(i64::MAX, 1), (i64::MIN, -1), (2, i64::MAX), (-2, i64::MIN)] {
        put(&*store, "n", &edge.to_string()).await?;
        refused(store.increment("n", delta, &PLAIN).await, Kind::Invalid)?;
        equal(store.get("n").await?, some(&edge.to_string()))?;
    }
    equal(store.increment("fresh", i64::MIN, &PLAIN).await?, i64::MIN)
}

async fn counters_add_up(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let clerk = |delta: i64| {
        let store = Arc::clone(&store);
        async move {
            for _ in 0..25 {
                store.increment("n", delta, &PLAIN).await?;
            }
            Kept::Ok(())
        }
    };
    for outcome in futures::future::join_all((1..=8).map(clerk)).await {
        outcome?;
    }
    equal(store.increment("n", 0, &PLAIN).await?, 25 * 36)
}
