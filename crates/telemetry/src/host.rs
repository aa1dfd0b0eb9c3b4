//! `wasi:logging` in front of [`Logger`].

use crate::logger::{Level, Logger, Record};
use engine::{Capability, Ctx, Guest, Has, Imports, View};
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::Linker;

mod versioned {
    //! `wasi:logging@0.1.0-draft`.
    wasmtime::component::bindgen!({
        path: "wit/logging-draft",
        world: "wasi:logging/imports@0.1.0-draft",
        imports: { default: trappable },
    });
    pub(super) use wasi::logging::logging;
}

mod unversioned {
    //! `wasi:logging` from the time before it had a version. The types are the same.
    wasmtime::component::bindgen!({
        path: "wit/logging",
        world: "wasi:logging/imports",
        imports: { default: trappable },
    });
    pub(super) use wasi::logging::logging;
}

/// What a component logs.
#[derive(Debug)]
pub struct Logging;

impl Capability for Logging {
    const NAME: &'static str = "logging";
    const SERVED: &'static [&'static str] =
        &["wasi:logging/logging", "wasi:logging/logging@0.1.0-draft"];
    type Prepared = Logger;
    type State = Logger;

    fn link(linker: &mut Linker<Ctx>, imports: &Imports) -> Result<()> {
        let view = Ctx::view::<Self>;
        if imports.wants("wasi:logging/logging") {
            unversioned::logging::add_to_linker::<_, Has<Self>>(linker, view)?;
        }
        if imports.wants("wasi:logging/logging@0.1.0-draft") {
            versioned::logging::add_to_linker::<_, Has<Self>>(linker, view)?;
        }
        Ok(())
    }

    fn state(prepared: &Arc<Logger>, _: &Guest) -> Logger {
        Logger::clone(prepared)
    }
}

/// Adds every served version to the linker of a host of your own.
///
/// # Errors
/// If the linker has one of them already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Logging>,
) -> Result<()> {
    unversioned::logging::add_to_linker::<_, Has<Logging>>(linker, view)?;
    versioned::logging::add_to_linker::<_, Has<Logging>>(linker, view)
}

/// Both texts are the same, and so is what we do; only the generated types differ.
macro_rules! serve {
    ($version:ident) => {
        impl $version::logging::Host for View<'_, Logging> {
            fn log(
                &mut self,
                level: $version::logging::Level,
                context: String,
                message: String,
            ) -> Result<()> {
                let (request, context, message) = (self.request.id.as_deref(), &context, &message);
                self.state.log(&Record { level: level.into(), request, context, message });
                Ok(())
            }
        }

        impl From<$version::logging::Level> for Level {
            fn from(level: $version::logging::Level) -> Self {
                use $version::logging::Level as Theirs;
                match level {
                    Theirs::Trace => Self::Trace,
                    Theirs::Debug => Self::Debug,
                    Theirs::Info => Self::Info,
                    Theirs::Warn => Self::Warn,
                    Theirs::Error => Self::Error,
                    Theirs::Critical => Self::Critical,
                }
            }
        }
    };
}

serve!(versioned);
serve!(unversioned);

#[cfg(test)]
mod tests;
