//! Key-value in front of real guests: linking, watching, and a host that is not ours.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod foreign;
mod link;
mod stores;
mod watch;

use base::{Bound, Place};
use engine::{Engines, Grants, Guest, Limits, Loading, Settings, Setup, Source, WasiSetup};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use wharf_keyvalue::Store;
use wharf_keyvalue::host::KeyValue;

static ENGINES: LazyLock<Engines> =
    LazyLock::new(|| Engines::new(Settings { instances: 50, ..Settings::default() }));

/// A guest of `guests/`, which may open `store` as `default`.
fn load(name: &str, store: &Arc<dyn Store>, limits: Limits) -> base::Result<Arc<Guest>> {
    let mut grants = Grants::default();
    let bound = Bound::new([("default".to_owned(), Arc::clone(store))], []);
    grants.grant::<KeyValue>(Arc::new(bound));
    let setup = Setup {
        name: name.into(),
        source: Source::read(&testkit::guest(name))?,
        limits,
        grants,
        wasi: WasiSetup::default(),
        winch: false,
    };
    let plugins = &[engine::plugin::<KeyValue>()];
    let loading = Loading { engines: &ENGINES, cache: None, plugins };
    Guest::load(setup, loading)
}

/// An empty store of its own.
async fn memory(name: &str) -> Arc<dyn Store> {
    let place = Place {
        base: "unused".into(),
        data: "unused".into(),
        app: "test".to_owned(),
        capability: "keyvalue",
        binding: name.to_owned(),
    };
    base::backend::open(wharf_keyvalue::BACKENDS, "memory:", place).await.unwrap()
}

async fn set(store: &Arc<dyn Store>, key: &str, value: &str) {
    let value = bytes::Bytes::copy_from_slice(value.as_bytes());
    store.set(key, value, &wharf_keyvalue::WriteOptions::default()).await.unwrap();
}

/// Waits until `key` has `value`.
async fn expect(store: &Arc<dyn Store>, key: &str, value: &str) {
    let mut seen = None;
    for _ in 0..1000 {
        seen = store.get(key).await.unwrap();
        if seen.as_deref() == Some(value.as_bytes()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("`{key}` is {seen:?} instead of `{value}`");
}
