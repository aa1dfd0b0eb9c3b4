//! What the parts of a request cost, without sockets and without other processes.
#![expect(clippy::print_stdout, reason = "the times are the result")]

use bytes::Bytes;
use engine::{Ctx, Deadline, Guest, Source, Tasks};
use http::incoming::{Handler, Reuse};
use http_body_util::{BodyExt as _, Empty};
use http_types::Request;
use keyvalue::{Store, WriteOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use wasmtime::component::TypedFunc;
use wasmtime::error::Context as _;
use wasmtime::{Result, bail, format_err};
use wharf_benches::guest::{cache, load, load_with, memory, read};
use wharf_benches::sample::{Times, time};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A component that calls `bucket.get` in a loop, so that nothing else is measured.
const GET: &str = include_str!("../../guests/get.wat");
/// The same with a cache, whose `get` is four calls: each result is a future, each value a handle.
const HIT: &str = include_str!("../../guests/cache.wat");
const DAY: Duration = Duration::from_secs(24 * 3600);

fn main() -> Result<()> {
    let folder: PathBuf =
        std::env::args_os().nth(1).context("the first argument is the folder of guests")?.into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let store = runtime.block_on(memory())?;
    let options = WriteOptions::default();
    let key = store.set("key", Bytes::from_static(&[b'x'; 100]), &options);
    runtime.block_on(key)?;
    let hello = load(read(&folder, "hello-p2")?, &store)?;
    show("a host call (key-value get of 100 bytes)", host_call(&runtime, &store)?);
    show("a hit in a cache (100 bytes)", hit(&runtime, &store)?);
    show("an instance of hello-p2, made and dropped", instance(&runtime, &hello)?);
    for (name, guest, requests) in [
        ("a request to hello-p2, a fresh instance", "hello-p2", 1),
        ("a request to hello-p2, an instance for 128", "hello-p2", 128),
        ("a request to hello-p3, a fresh instance", "hello-p3", 1),
        ("a request to hello-p3, an instance for 128", "hello-p3", 128),
        ("a request to kv-bench, a get and a set", "kv-bench", 1),
    ] {
        show(name, request(&runtime, &folder, guest, requests, &store)?);
    }
    Ok(())
}

fn show(name: &str, times: Times) {
    println!("{name:<48} {times}");
}

fn host_call(runtime: &Runtime, kept: &Arc<dyn Store>) -> Result<Times> {
    let guest = load(Source::new(Path::new("get.wat"), wat::parse_str(GET)?)?, kept)?;
    let mut store = guest.store(Deadline::after(DAY));
    let get = runtime.block_on(async {
        let instance = guest.pre().instantiate_async(&mut store).await?;
        let open = instance.get_typed_func::<(), (u32,)>(&mut store, "open")?;
        match open.call_async(&mut store, ()).await? {
            (0,) => instance.get_typed_func::<(u32,), (u32,)>(&mut store, "get"),
            _ => bail!("the guest may not open its store"),
        }
    })?;
    gets(runtime, &mut store, get, u32::MAX)
}

fn hit(runtime: &Runtime, kept: &Arc<dyn Store>) -> Result<Times> {
    let cache = runtime.block_on(cache())?;
    runtime.block_on(cache.set("key", Bytes::from_static(&[b'x'; 100]), None))?;
    let guest = Source::new(Path::new("cache.wat"), wat::parse_str(HIT)?)?;
    let guest = load_with(guest, kept, Some(cache))?;
    let mut store = guest.store(Deadline::after(DAY));
    let get = runtime.block_on(async {
        let instance = guest.pre().instantiate_async(&mut store).await?;
        instance.get_typed_func::<(u32,), (u32,)>(&mut store, "get")
    })?;
    // A task may do only so much at once; then even what is there is to be waited for.
    gets(runtime, &mut store, get, 64)
}

/// Has the guest get a value again and again, at most so often in one call.
fn gets(
    runtime: &Runtime,
    store: &mut wasmtime::Store<Ctx>,
    get: TypedFunc<(u32,), (u32,)>,
    at_once: u32,
) -> Result<Times> {
    time(|mut times| {
        while times > 0 {
            let some = times.min(at_once);
            let (bytes,) = runtime.block_on(get.call_async(&mut *store, (some,)))?;
            if bytes != some * 100 {
                bail!("{some} values had {bytes} bytes");
            }
            times -= some;
        }
        Ok(())
    })
}

fn instance(runtime: &Runtime, guest: &Arc<Guest>) -> Result<Times> {
    time(|instances| {
        runtime.block_on(async {
            for _ in 0..instances {
                let mut store = guest.store(Deadline::after(DAY));
                guest.pre().instantiate_async(&mut store).await?;
            }
            Ok(())
        })
    })
}

fn request(
    runtime: &Runtime,
    folder: &Path,
    guest: &str,
    requests: u32,
    store: &Arc<dyn Store>,
) -> Result<Times> {
    let guest = load(read(folder, guest)?, store)?;
    let reuse = Reuse { requests: Some(requests), concurrent: None };
    let handler = Handler::new(guest, reuse)?;
    let handler = Arc::new(handler.context("the guest answers no HTTP")?);
    let tasks = Tasks::new();
    time(|requests| {
        runtime.block_on(async {
            for _ in 0..requests {
                let request =
                    Request::get("/").header("host", "localhost").body(Empty::<Bytes>::new())?;
                let of = engine::Request::default();
                let answer = handler.handle(request, of, false, &tasks).await;
                let answer = answer.map_err(|refused| format_err!("{refused}"))?;
                let body = answer.into_body().collect().await?.to_bytes();
                if body != "Hello, world" {
                    bail!("the guest answered {body:?}");
                }
            }
            Ok(())
        })
    })
}
