//! Guests that are written by tests, and a world that is a table.

mod guest;
mod world;

pub(crate) use guest::{Body, Guest, OUT, Text};
pub(crate) use world::{Begun, World};

use filter::{Chain, Headers, Module, Out, Plugin, Running, Seat, Way, Worker, lock};
use http_types::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// What a guest showed with its host calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// What a host call answered, or another number.
    Number(u32),
    /// Bytes.
    Text(String),
}

/// A status, in the order of a test's expectations.
pub(crate) fn status(number: u32) -> Shown {
    Shown::Number(number)
}

pub(crate) fn text(text: &str) -> Shown {
    Shown::Text(text.to_owned())
}

/// The engine of all tests, whose epochs pass as they do in the program.
pub(crate) fn engine() -> &'static wasmtime::Engine {
    static ENGINE: LazyLock<wasmtime::Engine> = LazyLock::new(|| {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let engine = wasmtime::Engine::new(&config).unwrap();
        let ticked = engine.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::park_timeout(filter::EPOCH);
                ticked.increment_epoch();
            }
        });
        engine
    });
    &ENGINE
}

/// A plugin in a world.
pub(crate) struct Host {
    pub(crate) world: World,
    pub(crate) worker: Arc<Worker>,
    pub(crate) seat: Arc<Seat>,
}

impl Host {
    pub(crate) fn new(guest: &Guest) -> Self {
        Self::with(guest, |_| {})
    }

    pub(crate) fn with(guest: &Guest, settle: impl FnOnce(&mut Plugin)) -> Self {
        Self::try_with(guest, settle).unwrap()
    }

    pub(crate) fn try_with(guest: &Guest, settle: impl FnOnce(&mut Plugin)) -> base::Result<Self> {
        let world = World::default();
        let worker = world.worker();
        let seat = Seat::start(&worker, plugin(guest, settle))?;
        Ok(Self { world, worker, seat })
    }

    /// What the guest showed since the last time.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        self.world.shown()
    }

    pub(crate) fn running(&self) -> Running {
        self.seat.running().unwrap()
    }

    /// Begins a stream whose only filter this is.
    pub(crate) fn http(&self) -> Chain {
        Chain::http(&[Arc::clone(&self.seat)], Box::new(()))
    }

    /// A request without a body, and what the guest showed of it.
    pub(crate) fn request(&self) -> Vec<Shown> {
        let mut chain = self.http();
        chain.put_head(Way::Request, head(), true);
        self.shown()
    }

    /// Why the plugin's machine failed, if it has.
    pub(crate) fn failure(&self) -> Option<String> {
        let failed = |running: Running| lock(&running.vm).failure().map(ToString::to_string);
        let last = self.seat.failures().1.map(|failure| failure.to_string());
        self.seat.current().and_then(failed).or(last)
    }
}

pub(crate) fn plugin(guest: &Guest, settle: impl FnOnce(&mut Plugin)) -> Arc<Plugin> {
    let module = Module::compile(engine(), &guest.code(), false).unwrap();
    let mut plugin = Plugin::new("tested", module);
    plugin.limits.callback = Duration::from_secs(2);
    settle(&mut plugin);
    Arc::new(plugin)
}

/// The head of a request.
pub(crate) fn head() -> Headers {
    let value = HeaderValue::from_static;
    let mut fields = HeaderMap::new();
    fields.insert("x-a", value("1"));
    Headers::request(&Method::GET, value("http"), value("a.example"), value("/path?q"), fields)
}

/// The head of a response.
pub(crate) fn response(fields: &[(&'static str, &'static str)]) -> Headers {
    let fields = fields
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    Headers::response(StatusCode::OK, fields.collect())
}

/// Everything that may go on.
pub(crate) fn out(chain: &mut Chain, way: Way) -> Vec<Out> {
    std::iter::from_fn(|| chain.take(way)).collect()
}

/// The body of what may go on, and whether it has ended.
pub(crate) fn body(outs: &[Out]) -> (String, bool) {
    let (mut body, mut ended) = (Vec::new(), false);
    for out in outs {
        assert!(!ended, "something follows the end");
        match out {
            Out::Head(end) => ended = *end,
            Out::Data(data, end) => {
                body.extend_from_slice(data);
                ended = *end;
            }
            Out::Trailers => ended = true,
        }
    }
    (String::from_utf8(body).unwrap(), ended)
}
