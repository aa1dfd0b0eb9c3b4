//! One family of interfaces, as the engine sees it.

use crate::{Ctx, Guest, Imports, Name, Served, WASI};
use std::any::{Any, TypeId};
use std::sync::Arc;
use wasmtime::component::Linker;

/// Joins a contract to WebAssembly.
///
/// There are three moments, and each method says which it is: once per component (`link`), once
/// per deployment of a component (the making of `Prepared`, by the program), once per instance
/// (`state`, on first use).
pub trait Capability: Sized + 'static {
    /// The word in the deployment file, in metrics and in errors.
    const NAME: &'static str;
    /// The ids of every interface that [`link`](Self::link) can add, with their versions.
    const SERVED: &'static [&'static str];
    /// Those of [`SERVED`](Self::SERVED) that [`link`](Self::link) also adds under the labels that
    /// a component gives them: `import sessions: wasi:keyvalue/store;`.
    const LABELLED: &'static [&'static str] = &[];
    /// Whether the state belongs to one request and is made anew for the next one.
    const PER_REQUEST: bool = false;
    /// What one component may reach: its bindings, its settings.
    type Prepared: Send + Sync + 'static;
    /// What each instance keeps between calls.
    type State: Send + 'static;

    /// Adds the interfaces that this component imports. Once per component, because one id can
    /// carry two texts and only the component's own types tell them apart.
    ///
    /// # Errors
    /// Two definitions of one name: a bug of ours.
    fn link(linker: &mut Linker<Ctx>, imports: &Imports) -> wasmtime::Result<()>;

    /// Finds what is put behind a label of one of the [`LABELLED`](Self::LABELLED) interfaces. Once
    /// per component, so that a label that stands for nothing is told when it is loaded.
    ///
    /// # Errors
    /// When it stands for nothing, or for what the component was not granted; with how to change
    /// that.
    fn find(_prepared: &Self::Prepared, _label: &Name) -> base::Result<()> {
        Ok(())
    }

    /// Makes the state of an instance, when its first call of this capability arrives.
    fn state(prepared: &Arc<Self::Prepared>, guest: &Guest) -> Self::State;
}

/// A [`Capability`] with its types forgotten, for the one list of them all.
pub struct Plugin {
    /// The capability's name.
    pub name: &'static str,
    /// The ids of the interfaces that it serves.
    pub served: &'static [&'static str],
    /// Those of them that are served under labels too.
    pub labelled: &'static [&'static str],
    pub(crate) link: fn(&mut Linker<Ctx>, &Imports) -> wasmtime::Result<()>,
    pub(crate) is_granted: fn(&Grants) -> bool,
    pub(crate) find: fn(&Grants, &Name) -> base::Result<()>,
}

/// The line of `C` in the list of capabilities.
pub const fn plugin<C: Capability>() -> Plugin {
    Plugin {
        name: C::NAME,
        served: C::SERVED,
        labelled: C::LABELLED,
        link: C::link,
        is_granted: |grants| grants.find::<C>().is_some(),
        find: |grants, label| grants.find::<C>().map_or(Ok(()), |found| C::find(&found, label)),
    }
}

/// What the engine and these capabilities serve together.
pub fn served<'a>(plugins: impl IntoIterator<Item = &'a Plugin>) -> Served<'static> {
    let mut served = Served { plain: WASI.to_vec(), labelled: Vec::new() };
    for plugin in plugins {
        served.plain.extend(plugin.served);
        served.labelled.extend(plugin.labelled);
    }
    served
}

/// What a component may reach, by capability.
#[derive(Clone, Default)]
pub struct Grants(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

impl Grants {
    /// Grants `prepared` to the component, instead of what was granted before.
    pub fn grant<C: Capability>(&mut self, prepared: Arc<C::Prepared>) {
        self.0.retain(|(id, _)| *id != TypeId::of::<C>());
        self.0.push((TypeId::of::<C>(), prepared));
    }

    /// What was granted for `C`.
    pub fn find<C: Capability>(&self) -> Option<Arc<C::Prepared>> {
        let (_, found) = self.0.iter().find(|(id, _)| *id == TypeId::of::<C>())?;
        Arc::clone(found).downcast().ok()
    }
}
