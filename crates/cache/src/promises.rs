//! What every cache must do; run for each backend, and by `wharf conformance` for a server.
//!
//! A cache may forget, so these hold for one that has room. What the offer denies has to fail, or
//! to miss.

mod expiry;
mod limits;
mod vacancies;
mod values;

use crate::{Cache, Reach};
use base::promise::{Broken, Promise};
use bytes::Bytes;
use std::sync::Arc;

/// Every promise, by what it is about.
pub const PROMISES: &[&[Promise<dyn Cache>]] =
    &[values::PROMISES, expiry::PROMISES, limits::PROMISES, vacancies::PROMISES];

type Stage = base::promise::Stage<dyn Cache>;

fn text(value: impl Into<String>) -> Bytes {
    Bytes::from(value.into())
}

fn some(value: &str) -> Option<Bytes> {
    Some(text(value))
}

async fn put(cache: &dyn Cache, key: &str, value: &str) -> base::Result<()> {
    cache.set(key, text(value), None).await
}

/// A cache that keeps what it is given; from one that does not, everything has to be a miss.
async fn keeping(stage: &Stage) -> Result<Option<Arc<dyn Cache>>, Broken> {
    let cache = stage.open().await?;
    if cache.offer().levels.reach > Reach::None {
        return Ok(Some(cache));
    }
    put(&*cache, "key", "value").await?;
    base::promise::equal(cache.get("key").await?, None::<Bytes>)?;
    base::promise::holds(!cache.exists("key").await?, "what is not kept does not exist")?;
    cache.delete("key").await?;
    Ok(None)
}
