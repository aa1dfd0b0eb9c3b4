//! `wasi:config` in front of [`Layers`].

use crate::{Layers, Snapshot};
use engine::{Capability, Ctx, Guest, Has, Imports, View};
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::Linker;

mod rc1 {
    //! `store` of `wasi:config@0.2.0-rc.1`.
    wasmtime::component::bindgen!({
        path: "wit/rc1",
        world: "wasi:config/imports@0.2.0-rc.1",
        imports: { default: trappable },
    });
    pub(super) use wasi::config::store as interface;
    pub(super) type Error = interface::Error;
}

mod draft {
    //! `store` of `wasi:config@0.2.0-draft`.
    wasmtime::component::bindgen!({
        path: "wit/draft",
        world: "wasi:config/imports@0.2.0-draft",
        imports: { default: trappable },
    });
    pub(super) use wasi::config::store as interface;
    pub(super) type Error = interface::Error;
}

mod dated {
    //! `store` of `wasi:config@0.2.0-draft-2024-09-27`, which is the draft under another name.
    wasmtime::component::bindgen!({
        path: "wit/draft-2024-09-27",
        world: "wasi:config/imports@0.2.0-draft-2024-09-27",
        imports: { default: trappable },
    });
    pub(super) use wasi::config::store as interface;
    pub(super) type Error = interface::Error;
}

mod runtime {
    //! `runtime` of `wasi:config@0.2.0-draft`, which is what `store` was called before.
    wasmtime::component::bindgen!({
        path: "wit/draft-old",
        world: "wasi:config/imports@0.2.0-draft",
        imports: { default: trappable },
    });
    pub(super) use wasi::config::runtime as interface;
    pub(super) type Error = interface::ConfigError;
}

/// What a component reads of its configuration.
#[derive(Debug)]
pub struct Config;

const RC1: &str = "wasi:config/store@0.2.0-rc.1";
const DRAFT: &str = "wasi:config/store@0.2.0-draft";
const DATED: &str = "wasi:config/store@0.2.0-draft-2024-09-27";
const RUNTIME: &str = "wasi:config/runtime@0.2.0-draft";

impl Capability for Config {
    const NAME: &'static str = "config";
    const SERVED: &'static [&'static str] = &[RC1, DRAFT, DATED, RUNTIME];
    /// A request sees one snapshot from its beginning to its end.
    const PER_REQUEST: bool = true;
    type Prepared = Layers;
    type State = Arc<Snapshot>;

    fn link(linker: &mut Linker<Ctx>, imports: &Imports) -> Result<()> {
        let view = Ctx::view::<Self>;
        if imports.wants(RC1) {
            rc1::interface::add_to_linker::<_, Has<Self>>(linker, view)?;
        }
        if imports.wants(DRAFT) {
            draft::interface::add_to_linker::<_, Has<Self>>(linker, view)?;
        }
        if imports.wants(DATED) {
            dated::interface::add_to_linker::<_, Has<Self>>(linker, view)?;
        }
        if imports.wants(RUNTIME) {
            runtime::interface::add_to_linker::<_, Has<Self>>(linker, view)?;
        }
        Ok(())
    }

    fn state(prepared: &Arc<Layers>, _: &Guest) -> Arc<Snapshot> {
        prepared.current()
    }
}

/// Adds every served version to the linker of a host of your own.
///
/// # Errors
/// If the linker has one of them already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Config>,
) -> Result<()> {
    rc1::interface::add_to_linker::<_, Has<Config>>(linker, view)?;
    draft::interface::add_to_linker::<_, Has<Config>>(linker, view)?;
    dated::interface::add_to_linker::<_, Has<Config>>(linker, view)?;
    runtime::interface::add_to_linker::<_, Has<Config>>(linker, view)
}

/// All versions do the same; only the generated types differ. A snapshot is there already, so
/// neither function can fail in a way that the guest could read.
macro_rules! serve {
    ($version:ident) => {
        impl $version::interface::Host for View<'_, Config> {
            fn get(&mut self, key: String) -> Result<Result<Option<String>, $version::Error>> {
                Ok(Ok(self.state.get(&key).map(str::to_owned)))
            }

            fn get_all(&mut self) -> Result<Result<Vec<(String, String)>, $version::Error>> {
                let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
                Ok(Ok(self.state.iter().map(owned).collect()))
            }
        }
    };
}

serve!(rc1);
serve!(draft);
serve!(dated);
serve!(runtime);

#[cfg(test)]
mod tests;
