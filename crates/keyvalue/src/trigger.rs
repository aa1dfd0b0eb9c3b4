//! Tells guests what changed in a store: calls the `watcher` exports of the drafts.

mod feed;
mod guest;
mod lanes;

use crate::host::Bucket;
use crate::{Change, Store, WatchOptions};
use base::Result;
use engine::{Guest, Stop, retry};
use feed::Feed;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use guest::Exported;
use lanes::Lanes;
use std::sync::Arc;
use tokio::sync::watch;

/// So many changes are told at once, each of another key.
const CONCURRENT: usize = 16;

/// So many changes wait here; when they are full, the store's own bounded buffer fills.
const WAITING: usize = 256;

/// A component that wants to be told of changes. Cheap to clone.
#[derive(Clone)]
pub struct Watcher {
    guest: Arc<Guest>,
    exported: Exported,
}

impl Watcher {
    /// A watcher of `guest`, or `None` if it exports no interface for it.
    ///
    /// Of several, the newest is called.
    ///
    /// # Errors
    /// When the exports do not have the types of their version.
    pub fn new(guest: Arc<Guest>) -> wasmtime::Result<Option<Self>> {
        let exported = Exported::find(&guest)?;
        Ok(exported.map(|exported| Self { guest, exported }))
    }

    /// The interface that is called, e.g. `wasi:keyvalue/watcher@0.2.0-draft2`.
    pub fn interface(&self) -> &'static str {
        self.exported.interface()
    }

    /// Tells one change; the error is the guest's.
    async fn tell(
        &self,
        store: &Arc<dyn Store>,
        binding: &str,
        change: &Change,
    ) -> wasmtime::Result<()> {
        let bucket = Bucket::new(Arc::clone(store), binding);
        guest::call(&self.guest, &self.exported, bucket, change).await
    }
}

/// Tells a guest of every change of `store` that `options` cover, until `stop`.
///
/// The guest is the one that is in `watcher` when a change's turn comes, so it can be exchanged
/// without missing a change. It gets a fresh instance for each call, and the changes of one key in
/// their order. A call that fails is repeated a few times and then left out, which is logged, as is
/// every gap in what the store reports. A lost subscription is taken up again where it was, if the
/// store can. `binding` is the store's name in logs.
///
/// After `stop` it tells the changes that it has already got, once each, and returns.
///
/// # Errors
/// When the store cannot be watched like this at all.
pub async fn run(
    watcher: watch::Receiver<Watcher>,
    store: Arc<dyn Store>,
    binding: &str,
    options: WatchOptions,
    stop: Stop,
) -> Result<()> {
    let feed = Feed::open(Arc::clone(&store), binding, options).await?;
    let told = |change: Change| tell(&watcher, &store, binding, change, &stop);
    relay(feed, told, &stop).await;
    Ok(())
}

/// Tells one change, as often as it takes or is sensible.
async fn tell(
    watcher: &watch::Receiver<Watcher>,
    store: &Arc<dyn Store>,
    binding: &str,
    change: Change,
    stop: &Stop,
) {
    let key = change.key().unwrap_or_default();
    let mut attempts = retry::Attempts::default();
    loop {
        let watcher = watcher.borrow().clone();
        let (component, interface) = (watcher.guest.name(), watcher.interface());
        let Err(error) = watcher.tell(store, binding, &change).await else { return };
        let attempt = attempts.count();
        tracing::warn!(
            %component, interface, binding, key, attempt,
            "a watcher failed: {error:?}"
        );
        if !attempts.again(stop).await {
            tracing::error!(
                %component, interface, binding, key,
                "a change was left out: the watcher failed {attempt} times"
            );
            return;
        }
    }
}

/// Passes on what comes from `feed`, each key's changes one after the other.
async fn relay<F: Future<Output = ()>>(mut feed: Feed, tell: impl Fn(Change) -> F, stop: &Stop) {
    let mut lanes = Lanes::default();
    let mut running = FuturesUnordered::new();
    let mut stopping = false;
    loop {
        while running.len() < CONCURRENT
            && let Some(change) = lanes.start()
        {
            let key = change.key().unwrap_or_default().to_owned();
            let told = tell(change);
            running.push(async move {
                told.await;
                key
            });
        }
        if stopping && running.is_empty() {
            return;
        }
        tokio::select! {
            () = stop.wait(), if !stopping => stopping = true,
            Some(key) = running.next() => lanes.finish(&key),
            change = feed.next(), if !stopping && lanes.waiting() < WAITING => lanes.push(change),
        }
    }
}
