//! What every verb of the program needs: engines, the compile cache, the log.

use crate::args::{Common, LogFormat};
use crate::console;
use crate::exit::Failure;
use base::{Error, Result};
use engine::{Cache, Code, Engines, Kind, Settings, Source, Target, Tasks};
use gateway::filter::Services;
use http::client::Network;
use std::path::PathBuf;
use std::sync::Arc;
use telemetry::{Filter, Format, Telemetry};

/// Engines and the compile cache.
pub(crate) struct Program {
    engines: Engines,
    cache: Option<Cache>,
    network: Arc<Network>,
    tasks: Tasks,
    services: Arc<Services>,
}

/// Connections that all components together have open to others.
const CONNECTIONS: usize = 4096;

impl Program {
    /// Sets up what `common` says.
    pub(crate) fn new(common: &Common) -> Result<Arc<Self>, Failure> {
        let cache = match (&common.cache, common.no_cache) {
            (_, true) => None,
            (Some(dir), _) => Some(Cache::open(dir)?),
            // Where the usual place cannot be had, starting slowly is better than not at all.
            (None, _) => default_cache().and_then(|dir| match Cache::open(&dir) {
                Ok(cache) => Some(cache),
                Err(error) => {
                    tracing::warn!(%error, "compiled code is not kept");
                    None
                }
            }),
        };
        let network = Arc::new(Network::new(CONNECTIONS));
        let engines = Engines::new(Settings::default());
        let tasks = Tasks::new();
        let services = Services::default().with_budget(Arc::clone(engines.budget()));
        let services = Arc::new(services);
        Ok(Arc::new(Self { engines, cache, network, tasks, services }))
    }

    /// Compiles a component, or takes it from the cache, and says so where it takes long.
    pub(crate) fn code(&self, name: &str, source: &Source, target: Target) -> Result<Code> {
        let what = format!("Compiling {name} ({})", megabytes(source.bytes.len()));
        let compile = || Code::compile(source, target, &self.engines, self.cache.as_ref());
        console::announced(&what, compile)
            .map_err(|error| error.context(format!("component `{name}`")))
    }

    /// Compiles a filter, or takes it from the cache, and says so where it takes long.
    pub(crate) fn filter(&self, name: &str, source: &Source) -> Result<wasmtime::Module> {
        let what = format!("Compiling {name} ({})", megabytes(source.bytes.len()));
        console::announced(&what, || engine::filter(source, &self.engines, self.cache.as_ref()))
    }

    /// What filters share.
    pub(crate) fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Compiles a component into the cache.
    pub(crate) fn compile(&self, source: &Source, winch: bool, stack: usize) -> Result<()> {
        let engine = self.engines.pick(Kind::of(source.wasm, winch), stack)?;
        let what = format!("Compiling ({})", megabytes(source.bytes.len()));
        match &self.cache {
            Some(cache) => console::announced(&what, || cache.fill(&engine, source)),
            None => Err(Error::unavailable("there is no compile cache")),
        }
    }

    /// What HTTP out of all components shares.
    pub(crate) fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// What components began and nobody waits for, a write to a cache for example.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(crate) fn engines(&self) -> &Engines {
        &self.engines
    }
}

fn megabytes(bytes: usize) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

fn default_cache() -> Option<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => {
            PathBuf::from(std::env::var_os("HOME").filter(|dir| !dir.is_empty())?).join(".cache")
        }
    };
    base.is_absolute().then(|| base.join("wharf").join("compiled"))
}

/// Starts the log: what the command line says of it, else the file, else the usual.
pub(crate) fn start_log(
    common: &Common,
    log: &deployment::Log,
) -> Result<(Filter, Telemetry), Failure> {
    let format = match (common.log_format, log.format) {
        (Some(LogFormat::Json), _) | (None, Some(deployment::LogFormat::Json)) => Format::Json,
        _ => Format::Text,
    };
    let from_file = log.filter.as_ref().map(|(filter, _)| filter.as_str());
    let filter = Filter::parse(common.log.as_deref().or(from_file).unwrap_or("info"))?;
    let telemetry = telemetry::init(format, &filter)?;
    Ok((filter, telemetry))
}

/// A runtime for everything but connections: signals, triggers, opening.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Error::unavailable("starting the runtime").with_source(error).into())
}

/// An environment variable of this program.
#[expect(clippy::disallowed_methods, reason = "the one place; the deployment file asks for it")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
