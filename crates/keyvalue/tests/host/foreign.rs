//! Key-value in a host that knows nothing of the engine's context.

use super::{memory, set};
use base::Bound;
use engine::{Calls, Request, View};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Component, Linker, Resource, ResourceTable};
use wasmtime::{Engine, Result};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wharf_keyvalue::Store;
use wharf_keyvalue::host::{self, Bucket, KeyValue, State};

/// Somebody else's store data.
struct Foreign {
    table: ResourceTable,
    wasi: WasiCtx,
    keyvalue: State,
    request: Request,
    calls: Calls,
}

impl WasiView for Foreign {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Foreign {
    fn new(store: Arc<dyn Store>) -> Self {
        let bound = Bound::new([("default".to_owned(), store)], []);
        Self {
            table: ResourceTable::new(),
            wasi: WasiCtx::builder().build(),
            keyvalue: State::new(Arc::new(bound), 32 << 20),
            request: Request::default(),
            calls: Calls::new("foreign", Duration::from_secs(10), 16),
        }
    }

    fn view(&mut self) -> View<'_, KeyValue> {
        View::new(&mut self.keyvalue, &mut self.table, &self.request, &self.calls)
    }
}

async fn call(id: &str, guest: &str, store: &Arc<dyn Store>, key: &str) -> Result<()> {
    let engine = Engine::default();
    let component = Component::from_file(&engine, testkit::guest(guest))?;
    let mut linker: Linker<Foreign> = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    host::add_to_linker(&mut linker, Foreign::view)?;
    host::wasmcloud::add_to_linker(&mut linker, Foreign::view)?;
    let mut instance = wasmtime::Store::new(&engine, Foreign::new(Arc::clone(store)));
    let bucket = instance.data_mut().table.push(Bucket::new(Arc::clone(store), ""))?;
    let guest = linker.instantiate_async(&mut instance, &component).await?;
    let watcher = guest.get_export_index(&mut instance, None, id).unwrap();
    let on_set = guest.get_export_index(&mut instance, Some(&watcher), "on-set").unwrap();
    let on_set =
        guest.get_typed_func::<(Resource<Bucket>, &str, &[u8]), ()>(&mut instance, &on_set)?;
    on_set.call_async(&mut instance, (bucket, key, b"news")).await
}

#[tokio::test]
async fn a_foreign_host_serves_the_same_stores() {
    let store = memory("foreign").await;
    set(&store, "k", "before").await;
    call("wasi:keyvalue/watcher@0.2.0-draft", "kv-watch-draft", &store, "one").await.unwrap();
    call("wasi:keyvalue/watcher@0.2.0-draft2", "kv-watch-draft2", &store, "two").await.unwrap();
    call("wasmcloud:keyvalue/watcher@0.2.0", "kv-watch-wasmcloud", &store, "three").await.unwrap();
    for key in ["seen/one", "seen/two", "seen/three"] {
        assert_eq!(store.get(key).await.unwrap().as_deref(), Some(b"news".as_slice()));
    }
}
