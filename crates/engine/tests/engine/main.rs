//! What the engine promises its guests' neighbours.

#![expect(
    clippy::clone_on_ref_ptr,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "in tests a panic is the finding, and no shutdown waits for a task"
)]

extern crate wharf_engine as engine;

mod admission;
mod cache;
mod fairness;
mod limits;

use engine::{
    Cache, Ctx, Engines, Grants, Guest, Limits, Loading, Settings, Setup, Source, WasiSetup,
};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use wasmtime::Store;
use wasmtime::component::Instance;

/// One for all tests: an engine takes address space.
static ENGINES: LazyLock<Engines> =
    LazyLock::new(|| Engines::new(Settings { instances: 100, ..Settings::default() }));

/// A component whose function `run` has this body and takes and gives an `u32`.
fn component(body: &str) -> String {
    format!(
        r#"(component
            (core module $main
                (memory 1)
                (table 1 funcref)
                (func $run (export "run") (param i32) (result i32) {body}))
            (core instance $main (instantiate $main))
            (func (export "run") (param "with" u32) (result u32)
                (canon lift (core func $main "run"))))"#
    )
}

fn source(component: &str) -> Source {
    Source::new(Path::new("test.wasm"), wat::parse_str(component).unwrap()).unwrap()
}

fn load(name: &str, body: &str, limits: Limits, cache: Option<&Cache>) -> Arc<Guest> {
    load_component(name, &component(body), limits, cache)
}

/// Loads a component of this text.
fn load_component(
    name: &str,
    component: &str,
    limits: Limits,
    cache: Option<&Cache>,
) -> Arc<Guest> {
    let setup = Setup {
        name: name.into(),
        source: source(component),
        limits,
        grants: Grants::default(),
        wasi: WasiSetup::default(),
        winch: false,
    };
    Guest::load(setup, Loading { engines: &ENGINES, cache, plugins: &[] }).unwrap()
}

/// Calls `run` once in an instance of its own.
async fn run(guest: Arc<Guest>, mut store: Store<Ctx>, with: u32) -> wasmtime::Result<u32> {
    let instance: Instance = guest.pre().instantiate_async(&mut store).await?;
    let run = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "run")?;
    Ok(run.call_async(&mut store, (with,)).await?.0)
}
