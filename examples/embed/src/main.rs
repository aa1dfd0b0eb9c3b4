//! A host of its own, with its own Wasmtime, that gives its guests Wharf's key-value.
//!
//! `embed COMPONENT NAME` asks the component in `guest/` how often `NAME` came.
#![expect(clippy::print_stdout, reason = "an example at the console")]

use base::{Bound, Place, backend};
use engine::{Calls, Request, View};
use keyvalue::host::{KeyValue, State, add_to_linker};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::error::Context as _;
use wasmtime::{Engine, Error, Result, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// What this host keeps for each instance: WASI, and what key-value needs.
struct Mine {
    table: ResourceTable,
    wasi: WasiCtx,
    keyvalue: State,
    request: Request,
    calls: Calls,
}

impl WasiView for Mine {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Mine {
    fn keyvalue(&mut self) -> View<'_, KeyValue> {
        View::new(&mut self.keyvalue, &mut self.table, &self.request, &self.calls)
    }
}

/// What all instances share: the store behind the name `default`, and the bounds of calls to it.
struct Shared {
    bound: Arc<Bound<dyn keyvalue::Store>>,
    calls: Calls,
}

impl Shared {
    /// Opens the store. The URL could come from anywhere: `memory:` is one, too.
    async fn open(url: &str, data: &Path) -> base::Result<Self> {
        let place = Place {
            base: data.to_owned(),
            data: data.to_owned(),
            app: "embed".to_owned(),
            capability: "keyvalue",
            binding: "default".to_owned(),
        };
        let store = backend::open(keyvalue::BACKENDS, url, place).await?;
        let bound = Arc::new(Bound::new([("default".to_owned(), store)], []));
        Ok(Self { bound, calls: Calls::new("embed", Duration::from_secs(30), 256) })
    }

    fn instance(&self) -> Mine {
        Mine {
            table: ResourceTable::new(),
            wasi: WasiCtx::builder().inherit_stderr().build(),
            // The host holds at most so many bytes for the values of one instance.
            keyvalue: State::new(Arc::clone(&self.bound), 32 << 20),
            request: Request::default(),
            calls: self.calls.clone(),
        }
    }
}

/// Calls `visit` in a fresh instance.
async fn visit(component: &Path, shared: &Shared, name: &str) -> Result<i64> {
    let engine = Engine::default();
    let component = Component::from_file(&engine, component)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    add_to_linker(&mut linker, Mine::keyvalue)?;
    let mut store = Store::new(&engine, shared.instance());
    let instance = linker.instantiate_async(&mut store, &component).await?;
    let visit = instance.get_typed_func::<(&str,), (Result<i64, String>,)>(&mut store, "visit")?;
    let (visits,) = visit.call_async(&mut store, (name,)).await?;
    visits.map_err(Error::msg)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let component = arguments.next().context("the first argument is a component")?;
    let name = arguments.next().context("the second argument is a name")?;
    let shared = Shared::open("embedded:", Path::new("data")).await?;
    println!("{}", visit(Path::new(&component), &shared, &name.to_string_lossy()).await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn visits_are_counted_and_kept() {
        let data = tempfile::tempdir().unwrap();
        let component = testkit::guest("visits");
        for run in 0..2 {
            let shared = Shared::open("embedded:", data.path()).await.unwrap();
            for count in 1..=2 {
                let visits = visit(&component, &shared, "ada").await.unwrap();
                assert_eq!(visits, run * 2 + count);
            }
        }
    }
}
