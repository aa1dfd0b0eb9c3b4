//! Guests on engines of their own, with key-value in memory and HTTP that reaches nobody.

use base::egress::Egress;
use base::units::Size;
use base::{Backend as _, Bound, Place, Result};
use cache::Cache;
use engine::{
    Engines, Grants, Guest, Limits, Loading, Settings, Setup, Source, Tasks, WasiSetup, plugin,
};
use http::client::{self, Client, Network};
use http::hooks::Hooks;
use http::host::Http;
use keyvalue::Store;
use keyvalue::backend::memory::Memory;
use keyvalue::host::KeyValue;
use keyvalue::host::cache::{Caches, Granted};
use std::path::Path;
use std::sync::Arc;

/// Loads a component.
///
/// # Errors
/// When it cannot be read, compiled or linked.
pub fn load(source: Source, store: &Arc<dyn Store>) -> Result<Arc<Guest>> {
    load_with(source, store, None)
}

/// Loads a component that may use a cache.
///
/// # Errors
/// When it cannot be read, compiled or linked.
pub fn load_with(
    source: Source,
    store: &Arc<dyn Store>,
    cache: Option<Arc<dyn Cache>>,
) -> Result<Arc<Guest>> {
    let engines = Engines::new(Settings::default());
    let mut grants = Grants::default();
    let network = Arc::new(Network::new(1));
    let client = Client::new(network, Egress::default(), client::Settings::default());
    grants.grant::<Http>(Arc::new(Hooks::new(client)));
    let bound = Bound::new([("default".to_owned(), Arc::clone(store))], []);
    grants.grant::<KeyValue>(Arc::new(bound));
    let name = "default".to_owned();
    let caches = Bound::new(cache.map(|cache| (name.clone(), cache)), []);
    grants.grant::<Caches>(Arc::new(Granted::new(caches, Some(name), Tasks::new())));
    let setup = Setup {
        name: "bench".into(),
        source,
        limits: Limits::default(),
        grants,
        wasi: WasiSetup::default(),
        winch: false,
    };
    let plugins = &[plugin::<Http>(), plugin::<KeyValue>(), plugin::<Caches>()];
    let loading = Loading { engines: &engines, cache: None, plugins };
    Guest::load(setup, loading)
}

/// One of the guests in `folder`.
///
/// # Errors
/// When it is not there: `cargo xtask guests` builds it.
pub fn read(folder: &Path, name: &str) -> Result<Source> {
    let path = folder.join(name).with_extension("wasm");
    Source::read(&path).map_err(|error| error.with_hint("`cargo xtask guests` builds it"))
}

/// A key-value store in memory.
///
/// # Errors
/// None that this store has.
pub async fn memory() -> Result<Arc<dyn Store>> {
    let memory = Memory { url: "memory:".to_owned(), max_size: Size(1 << 20) };
    memory.open(place("keyvalue")).await
}

/// A cache in memory.
///
/// # Errors
/// None that this cache has.
pub async fn cache() -> Result<Arc<dyn Cache>> {
    base::backend::open(cache::BACKENDS, "memory:", place("cache")).await
}

/// The only binding of a capability.
fn place(capability: &'static str) -> Place {
    Place {
        base: std::env::temp_dir(),
        data: std::env::temp_dir(),
        app: "bench".to_owned(),
        capability,
        binding: "default".to_owned(),
    }
}
