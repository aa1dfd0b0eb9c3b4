//! What filters cost, without sockets: streams through them, and their host calls.
#![expect(clippy::print_stdout, reason = "the times are the result")]

use bytes::Bytes;
use engine::{Engines, Source};
use filter::{Chain, Headers, Module, Out, Plugin, Seat, Way, Worker};
use http_types::{HeaderMap, HeaderValue, Method, StatusCode};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::error::Context as _;
use wasmtime::{Result, bail, format_err};
use wharf_benches::sample::{Times, time};
use wharf_benches::world::Nothing;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Host calls for each stream.
const CALLS: u32 = 1000;

fn main() -> Result<()> {
    let folder: PathBuf =
        std::env::args_os().nth(1).context("the first argument is the folder of guests")?.into();
    let engines = Engines::new(engine::Settings::default());
    let worker = Worker::new(Box::new(|| Box::new(Nothing::default())));
    let add = module(&folder, "filter-add", &engines)?;
    for count in [0, 1, 10] {
        let seats = (0..count).map(|it| seat(&worker, &add, &format!("f{it}"), ""));
        let seats: Vec<Arc<Seat>> = seats.collect::<Result<_>>()?;
        show(&format!("a stream through {count} filters that add a header"), streams(&seats)?);
    }
    let calls = module(&folder, "filter-calls", &engines)?;
    let none = streams(&[seat(&worker, &calls, "none", "log 0")?])?;
    for call in ["log", "count", "time", "get", "miss", "replace", "property"] {
        let seat = seat(&worker, &calls, call, &format!("{call} {CALLS}"))?;
        show(&format!("a host call: {call}"), streams(&[seat])?.less(none, CALLS));
    }
    Ok(())
}

fn show(name: &str, times: Times) {
    println!("{name:<48} {times}");
}

fn module(folder: &Path, name: &str, engines: &Engines) -> Result<Module> {
    let path = folder.join(name).with_extension("wasm");
    let code = std::fs::read(&path).with_context(|| format!("no guest {name}"))?;
    let code = engine::filter(&Source::new(&path, code)?, engines, None)?;
    Ok(Module::new(code, false)?)
}

fn seat(
    worker: &Arc<Worker>,
    module: &Module,
    name: &str,
    configuration: &str,
) -> Result<Arc<Seat>> {
    let mut plugin = Plugin::new(name, module.clone());
    plugin.configuration = Bytes::copy_from_slice(configuration.as_bytes());
    Ok(Seat::start(worker, Arc::new(plugin))?)
}

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, it)| (name.parse(), HeaderValue::from_static(it))).fold(
        HeaderMap::new(),
        |mut fields, (name, value)| {
            if let Ok::<http_types::HeaderName, _>(name) = name {
                fields.append(name, value);
            }
            fields
        },
    )
}

/// A request and its answer, as a browser and a small server would have them.
fn streams(seats: &[Arc<Seat>]) -> Result<Times> {
    let request = fields(&[
        ("user-agent", "a browser that has a long name (like all)"),
        ("accept", "text/html"),
        ("accept-encoding", "gzip, br"),
        ("x-request-id", "0123456789abcdef"),
    ]);
    let response = fields(&[("content-type", "text/html"), ("cache-control", "no-store")]);
    let (scheme, host) = (HeaderValue::from_static("http"), HeaderValue::from_static("a.example"));
    let path = HeaderValue::from_static("/a/page?with=query");
    time(|streams| {
        for _ in 0..streams {
            let mut chain = Chain::http(seats, Box::new(()));
            let (scheme, host, path) = (scheme.clone(), host.clone(), path.clone());
            let head = Headers::request(&Method::GET, scheme, host, path, request.clone());
            chain.put_head(Way::Request, head, true);
            if chain.take(Way::Request) != Some(Out::Head(true)) {
                bail!("the request does not go on");
            }
            let asked = chain.head(Way::Request).context("no head")?;
            let head = Headers::response(StatusCode::OK, response.clone());
            chain.put_head(Way::Response, head, false);
            chain.put_data(Way::Response, Bytes::from_static(b"Hello, world"), true);
            let out = (chain.take(Way::Response), chain.take(Way::Response));
            if out
                != (
                    Some(Out::Head(false)),
                    Some(Out::Data(Bytes::from_static(b"Hello, world"), true)),
                )
            {
                return Err(format_err!("the answer came as {out:?}"));
            }
            let answer = chain.head(Way::Response).context("no head")?;
            std::hint::black_box((asked, answer));
        }
        Ok(())
    })
}
