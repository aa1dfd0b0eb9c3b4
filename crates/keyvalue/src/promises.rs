//! What every store must do; run for each backend, and by `wharf conformance` for a server.
//!
//! Promises consult the offer: what it denies has to fail, and to say so.

mod batches;
mod counters;
mod crowds;
mod expiry;
mod fencing;
mod limits;
mod listing;
mod values;
mod versions;
mod watching;

use crate::{Change, Changes, ListOptions, Store, WriteOptions};
use base::promise::{Broken, Promise};
use bytes::Bytes;
use futures::StreamExt as _;
use std::time::Duration;

/// Every promise, by what it is about.
pub const PROMISES: &[&[Promise<dyn Store>]] = &[
    values::PROMISES,
    batches::PROMISES,
    versions::PROMISES,
    counters::PROMISES,
    crowds::PROMISES,
    listing::PROMISES,
    expiry::PROMISES,
    fencing::PROMISES,
    watching::PROMISES,
    limits::PROMISES,
];

type Stage = base::promise::Stage<dyn Store>;

/// As many bytes of values as there are.
const ALL: usize = usize::MAX;

/// A write that asks for nothing.
const PLAIN: WriteOptions = WriteOptions { expect: None, ttl: None, fence: None };

fn text(value: impl Into<String>) -> Bytes {
    Bytes::from(value.into())
}

fn some(value: &str) -> Option<Bytes> {
    Some(text(value))
}

async fn put(store: &dyn Store, key: &str, value: &str) -> base::Result<()> {
    store.put(key, text(value)).await
}

/// All keys that the options ask for, page by page.
async fn keys(store: &dyn Store, mut options: ListOptions) -> base::Result<Vec<String>> {
    let mut keys = Vec::new();
    loop {
        let page = store.list(&options).await?;
        keys.extend(page.keys);
        options.after = page.next;
        if options.after.is_none() {
            return Ok(keys);
        }
    }
}

/// The next change, which has to come soon.
async fn change(changes: &mut Changes) -> Result<Change, Broken> {
    match tokio::time::timeout(Duration::from_secs(10), changes.next()).await {
        Ok(Some(change)) => Ok(change?),
        Ok(None) => Err(Broken::new("the stream of changes ended")),
        Err(_) => Err(Broken::new("no change came within 10 s")),
    }
}
