//! The edges of what a store takes: a clear error, never a part.

use super::{ALL, PLAIN, Stage, put, some, text};
use crate::{Fence, Store, WriteOptions};
use base::Kind;
use base::offer::Fence as Level;
use base::promise::{Kept, Promise, equal, refused};
use bytes::Bytes;

pub(super) const PROMISES: &[Promise<dyn Store>] = base::promises![
    an_empty_key_is_refused,
    the_longest_key_fits,
    a_longer_key_is_refused,
    the_largest_value_fits,
    a_larger_value_is_refused,
    a_locks_name_is_held_to_the_same_limits,
];

async fn an_empty_key_is_refused(stage: Stage) -> Kept {
    let store = stage.open().await?;
    refused(store.get("").await, Kind::Invalid)?;
    refused(store.versioned("").await, Kind::Invalid)?;
    refused(store.exists("").await, Kind::Invalid)?;
    refused(store.set("", text("value"), &PLAIN).await, Kind::Invalid)?;
    refused(store.delete("", &PLAIN).await, Kind::Invalid)?;
    refused(store.increment("", 1, &PLAIN).await, Kind::Invalid).map(drop)
}

async fn the_longest_key_fits(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let most = store.offer().max_key;
    let (one, other) = ("k".repeat(most), "k".repeat(most - 1) + "l");
    put(&*store, &one, "one").await?;
    put(&*store, &other, "other").await?;
    equal(store.get(&one).await?, some("one"))?;
    equal(store.get(&other).await?, some("other"))?;
    // As many bytes of characters that are longer than one.
    let wide = "鍵".repeat(most / 3);
    put(&*store, &wide, "wide").await?;
    equal(store.get(&wide).await?, some("wide"))
}

async fn a_longer_key_is_refused(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let most = store.offer().max_key;
    let (fits, long) = ("k".repeat(most), "k".repeat(most + 1));
    refused(store.set(&long, text("value"), &PLAIN).await, Kind::TooLarge)?;
    refused(store.get(&long).await, Kind::TooLarge)?;
    refused(store.exists(&long).await, Kind::TooLarge)?;
    refused(store.delete(&long, &PLAIN).await, Kind::TooLarge)?;
    refused(store.increment(&long, 1, &PLAIN).await, Kind::TooLarge)?;
    refused(store.get_many(&[long], ALL).await, Kind::TooLarge)?;
    equal(store.get(&fits).await?, None::<Bytes>)
}

async fn the_largest_value_fits(stage: Stage) -> Kept {
    let store = stage.open().await?;
    let most = store.offer().max_value;
    let value: Bytes = (0..=250).cycle().take(most).collect();
    store.set("key", value.clone(), &PLAIN).await?;
    let found = store.get("key").await?;
    // Compared here, because nobody wants to read sixteen megabytes of difference.
    equal(found.map(|found| found == value), Some(true))
}

async fn a_larger_value_is_refused(stage: Stage) -> Kept {
    let store = stage.open().await?;
    put(&*store, "key", "before").await?;
    let value = Bytes::from(vec![0; store.offer().max_value + 1]);
    refused(store.set("key", value.clone(), &PLAIN).await, Kind::TooLarge)?;
    let batch = vec![("other".to_owned(), text("fits")), ("key".to_owned(), value)];
    refused(store.set_many(batch, &PLAIN).await, Kind::TooLarge)?;
    equal(store.get("key").await?, some("before"))?;
    equal(store.get("other").await?, None::<Bytes>)
}

async fn a_locks_name_is_held_to_the_same_limits(stage: Stage) -> Kept {
    let store = stage.open().await?;
    if store.offer().levels.fence == Level::None {
        return Ok(());
    }
    let fenced = |lock: String| WriteOptions {
        fence: Some(Fence { lock, token: 1 }),
        ..WriteOptions::default()
    };
    refused(store.set("key", text("value"), &fenced(String::new())).await, Kind::Invalid)?;
    let long = fenced("l".repeat(store.offer().max_key + 1));
    refused(store.set("key", text("value"), &long).await, Kind::TooLarge)?;
    equal(store.get("key").await?, None::<Bytes>)?;
    let longest = fenced("l".repeat(store.offer().max_key));
    store.set("key", text("value"), &longest).await?;
    equal(store.get("key").await?, some("value"))
}
