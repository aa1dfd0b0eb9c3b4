//! A component's compiled code, before anything is granted to it.

use crate::cache::{self, Cache};
use crate::{Engine, Engines, Guest, Kind, Limits, Source, Wasm};
use base::{Error, Result};
use wasmtime::component::Component;

/// A compiled component and the engine that it was compiled for. Cheap to clone.
///
/// It holds nothing of what the component may reach, so that it can be made on a thread that
/// nobody waits for in the end.
#[derive(Clone)]
pub struct Code {
    engine: Engine,
    component: Component,
}

/// For what engine a component is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether by Winch.
    pub winch: bool,
    /// Bytes of stack.
    pub stack: usize,
}

/// Compiles a Proxy-Wasm filter, or takes what `cache` has of it.
///
/// # Errors
/// `Invalid` when it is none or does not compile; `Unavailable` when the engine cannot be set up.
pub fn filter(
    source: &Source,
    engines: &Engines,
    cache: Option<&Cache>,
) -> Result<wasmtime::Module> {
    if source.wasm != Wasm::Filter {
        let what = source.wasm.describe();
        let error = Error::invalid(format!("`{}` is {what}", source.path.display()));
        return Err(error.with_hint("a filter is a core module of the Proxy-Wasm ABI"));
    }
    let engine = engines.pick(Kind::Plain, Limits::default().stack)?;
    cache::load(&engine, source, cache)
}

/// What a module is from outside, without its code being compiled.
///
/// # Errors
/// `Invalid` when it is no module; `Unavailable` when the engine cannot be set up.
pub fn surface(source: &Source, engines: &Engines) -> Result<wasmtime::Module> {
    let engine = engines.pick(Kind::Plain, Limits::default().stack)?;
    wasmtime::Module::new(engine.wasmtime(), source.hull()?).map_err(|error| {
        Error::invalid(format!("`{}` is no module: {error:#}", source.path.display()))
    })
}

impl Code {
    /// Compiles a component, or takes what `cache` has of it.
    ///
    /// # Errors
    /// `Invalid` when it is no component or does not compile; `Unavailable` when the engine cannot
    /// be set up.
    pub fn compile(
        source: &Source,
        target: Target,
        engines: &Engines,
        cache: Option<&Cache>,
    ) -> Result<Self> {
        if !matches!(source.wasm, Wasm::Component { .. }) {
            let what = source.wasm.describe();
            return Err(Error::invalid(format!("`{}` is {what}", source.path.display())));
        }
        let engine = engines.pick(Kind::of(source.wasm, target.winch), target.stack)?;
        let component = cache::load(&engine, source, cache)?;
        Ok(Self { engine, component })
    }

    /// The code that a guest runs.
    pub fn of(guest: &Guest) -> Self {
        Self { engine: guest.engine().clone(), component: guest.component().clone() }
    }

    pub(crate) fn parts(self) -> (Engine, Component) {
        (self.engine, self.component)
    }
}
