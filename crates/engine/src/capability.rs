//! One family of interfaces, as the engine sees it.

use crate::{Ctx, Guest, Imports};
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

    /// Makes the state of an instance, when its first call of this capability arrives.
    fn state(prepared: &Arc<Self::Prepared>, guest: &Guest) -> Self::State;
}

/// A [`Capability`] with its types forgotten, for the one list of them all.
pub struct Plugin {
    /// The capability's name.
    pub name: &'static str,
    /// The ids of the interfaces that it serves.
    pub served: &'static [&'static str],
    pub(crate) link: fn(&mut Linker<Ctx>, &Imports) -> wasmtime::Result<()>,
    pub(crate) is_granted: fn(&Grants) -> bool,
}

/// The line of `C` in the list of capabilities.
pub const fn plugin<C: Capability>() -> Plugin {
    Plugin {
        name: C::NAME,
        served: C::SERVED,
        link: C::link,
        is_granted: |grants| grants.find::<C>().is_some(),
    }
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
