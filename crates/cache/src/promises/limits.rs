//! The edges of what a cache takes: a clear error, never a part.

use super::{Stage, keeping, put, some, text};
use crate::{Cache, Entry};
use base::Kind;
use base::promise::{Broken, Kept, Promise, equal, refused};
use bytes::Bytes;

pub(super) const PROMISES: &[Promise<dyn Cache>] = base::promises![
    an_empty_key_is_refused,
    the_longest_key_fits,
    a_longer_key_is_refused,
    the_largest_value_fits,
    a_larger_value_is_refused,
];

async fn an_empty_key_is_refused(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    refused(cache.get("").await, Kind::Invalid)?;
    refused(cache.exists("").await, Kind::Invalid)?;
    refused(cache.set("", text("value"), None).await, Kind::Invalid)?;
    refused(cache.delete("").await, Kind::Invalid)?;
    refused(cache.get_or_set("").await, Kind::Invalid).map(drop)
}

async fn the_longest_key_fits(stage: Stage) -> Kept {
    let Some(cache) = keeping(&stage).await? else { return Ok(()) };
    let most = cache.offer().levels.max_key;
    let (one, other) = ("k".repeat(most), "k".repeat(most - 1) + "l");
    put(&*cache, &one, "one").await?;
    put(&*cache, &other, "other").await?;
    equal(cache.get(&one).await?, some("one"))?;
    equal(cache.get(&other).await?, some("other"))?;
    // As many bytes of characters that are longer than one.
    let wide = "鍵".repeat(most / 3);
    put(&*cache, &wide, "wide").await?;
    equal(cache.get(&wide).await?, some("wide"))
}

async fn a_longer_key_is_refused(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    let most = cache.offer().levels.max_key;
    let (fits, long) = ("k".repeat(most), "k".repeat(most + 1));
    refused(cache.set(&long, text("value"), None).await, Kind::TooLarge)?;
    refused(cache.get(&long).await, Kind::TooLarge)?;
    refused(cache.exists(&long).await, Kind::TooLarge)?;
    refused(cache.delete(&long).await, Kind::TooLarge)?;
    refused(cache.get_or_set(&long).await, Kind::TooLarge)?;
    equal(cache.get(&fits).await?, None::<Bytes>)
}

async fn the_largest_value_fits(stage: Stage) -> Kept {
    let Some(cache) = keeping(&stage).await? else { return Ok(()) };
    // Beside the longest key, where both share a limit.
    let key = "k".repeat(cache.offer().levels.max_key);
    let value: Bytes = (0..=250).cycle().take(cache.offer().levels.max_value).collect();
    cache.set(&key, value.clone(), None).await?;
    let found = cache.get(&key).await?;
    // Compared here, because nobody wants to read sixteen megabytes of difference.
    equal(found.map(|found| found == value), Some(true))
}

async fn a_larger_value_is_refused(stage: Stage) -> Kept {
    let cache = stage.open().await?;
    let value = Bytes::from(vec![0; cache.offer().levels.max_value + 1]);
    refused(cache.set("key", value.clone(), None).await, Kind::TooLarge)?;
    equal(cache.get("key").await?, None::<Bytes>)?;
    let Entry::Vacant(vacancy) = cache.get_or_set("key").await? else {
        return Err(Broken::new("nobody stored that"));
    };
    refused(vacancy.fill(value, None).await, Kind::TooLarge)?;
    equal(cache.get("key").await?, None::<Bytes>)
}
