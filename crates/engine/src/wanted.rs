//! How interfaces come into a linker under the names that a component has for them.

use crate::{Imports, Name};
use wasmtime::component::{Linker, LinkerInstance};

/// Under which names interfaces are added to a linker.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// Each under its own.
    All,
    /// Under those that this component imports.
    By(&'a Imports),
}

impl Wanted<'_> {
    /// Adds the interface `id` under each name, by `add`.
    ///
    /// # Errors
    /// Those of `add`.
    pub fn add<T: 'static>(
        self,
        linker: &mut Linker<T>,
        id: &str,
        add: impl Fn(&mut LinkerInstance<'_, T>) -> wasmtime::Result<()>,
    ) -> wasmtime::Result<()> {
        self.add_opening(linker, id, add, |_, _| Ok(()))
    }

    /// Adds the interface `id` under each name, by `add`; where that is a label, `open` defines
    /// anew what leads to its binding.
    ///
    /// # Errors
    /// Those of `add` and `open`.
    pub fn add_opening<T: 'static>(
        self,
        linker: &mut Linker<T>,
        id: &str,
        add: impl Fn(&mut LinkerInstance<'_, T>) -> wasmtime::Result<()>,
        open: impl Fn(&mut LinkerInstance<'_, T>, &Name) -> wasmtime::Result<()>,
    ) -> wasmtime::Result<()> {
        let is_wanted = match self {
            Self::All => true,
            Self::By(imports) => imports.wants(id),
        };
        if is_wanted {
            add(&mut linker.instance(id)?)?;
        }
        let Self::By(imports) = self else { return Ok(()) };
        for label in imports.labels(id) {
            add(&mut linker.instance(&label.name)?)?;
            linker.allow_shadowing(true);
            let opening = open(&mut linker.instance(&label.name)?, label);
            linker.allow_shadowing(false);
            opening?;
        }
        Ok(())
    }
}
