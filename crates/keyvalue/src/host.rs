//! Key-value interfaces in front of [`Store`]: every served draft on the same operations.
//! `cache.rs` is the one interface of that package that stands in front of another contract.

mod cas;
mod cursors;
mod labels;
mod operations;
mod pending;
mod uses;
mod values;

pub mod cache;
pub mod draft;
pub mod draft2;
pub mod old;
#[cfg(test)]
mod tests;
pub mod wasmcloud;

use crate::Store;
use base::{Bound, Kind};
use cursors::Cursors;
use engine::{Capability, Ctx, Failure, Guest, Held, Imports, Name, View, Wanted};
use std::sync::Arc;
use wasmtime::component::Linker;

pub use cas::Cas;
pub use pending::Pending;
pub use uses::{needs, uses};
pub use values::{IncomingValue, OutgoingValue, Trace};

/// The interfaces that hold nothing: values and errors, which stores and caches have in common.
pub const VALUES: &[&str] =
    &["wasi:keyvalue/types@0.2.0-draft", "wasi:keyvalue/wasi-keyvalue-error@0.2.0-draft"];

/// Key-value stores, as components see them.
#[derive(Debug)]
pub struct KeyValue;

/// An open store: the resource `bucket` of every draft.
pub struct Bucket {
    store: Arc<dyn Store>,
    /// The binding, as errors name it.
    name: Arc<str>,
}

impl Bucket {
    /// A bucket of `store`, which is called `name` in errors.
    pub fn new(store: Arc<dyn Store>, name: &str) -> Self {
        let name = if name.is_empty() { base::DEFAULT } else { name };
        Self { store, name: name.into() }
    }
}

/// What each instance keeps for key-value.
pub struct State {
    stores: Arc<Bound<dyn Store>>,
    cursors: Cursors,
    held: Held,
}

impl State {
    /// The state of an instance that may open `stores`.
    ///
    /// `memory` is the most bytes that the host keeps for the instance: for its handles to values,
    /// for calls that wait, and for answers of many values or keys that are being gathered.
    pub fn new(stores: Arc<Bound<dyn Store>>, memory: usize) -> Self {
        Self { stores, cursors: Cursors::default(), held: Held::new(memory) }
    }
}

impl Capability for KeyValue {
    const NAME: &'static str = "keyvalue";
    const SERVED: &'static [&'static str] = &[
        "wasi:keyvalue/store@0.2.0-draft",
        "wasi:keyvalue/atomics@0.2.0-draft",
        "wasi:keyvalue/batch@0.2.0-draft",
        "wasi:keyvalue/store@0.2.0-draft2",
        "wasi:keyvalue/atomics@0.2.0-draft2",
        "wasi:keyvalue/batch@0.2.0-draft2",
        "wasi:keyvalue/types@0.2.0-draft",
        "wasi:keyvalue/wasi-keyvalue-error@0.2.0-draft",
        "wasi:keyvalue/eventual@0.2.0-draft",
        "wasi:keyvalue/eventual-batch@0.2.0-draft",
        "wasi:keyvalue/atomic@0.2.0-draft",
        "wasmcloud:keyvalue/types@0.2.0",
        "wasmcloud:keyvalue/store@0.2.0",
        "wasmcloud:keyvalue/atomics@0.2.0",
        "wasmcloud:keyvalue/cas@0.2.0",
        "wasmcloud:keyvalue/batch@0.2.0",
    ];
    const LABELLED: &'static [&'static str] = Self::SERVED;
    type Prepared = Bound<dyn Store>;
    type State = State;

    fn link(linker: &mut Linker<Ctx>, imports: &Imports) -> wasmtime::Result<()> {
        add_imports_to_linker(linker, imports, Ctx::view::<Self>)
    }

    fn find(prepared: &Bound<dyn Store>, label: &Name) -> base::Result<()> {
        // The other interfaces take buckets and open none.
        match label.id().contains("/store@") || label.id() == old::TYPES {
            true => labels::find(prepared, label, Self::NAME),
            false => Ok(()),
        }
    }

    fn state(prepared: &Arc<Bound<dyn Store>>, guest: &Guest) -> State {
        State::new(Arc::clone(prepared), guest.limits().hostcall_buffer)
    }
}

/// Adds every served draft of WASI to the linker of a host of your own. What overlaps calls, as
/// [`wasmcloud`] does, needs an engine with that ability and is added by itself.
///
/// The oldest draft hands out streams of `wasi:io`, which your host has to link besides.
///
/// # Errors
/// If the linker has one of the interfaces already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, KeyValue>,
) -> wasmtime::Result<()> {
    draft::add_to_linker(linker, view)?;
    draft2::add_to_linker(linker, view)?;
    old::add_to_linker(linker, view)
}

/// Adds to the linker of a host of your own what one component imports, of every served draft and
/// under the labels that it has for them.
///
/// [`KeyValue::find`](Capability::find) says whether a label stands for a binding.
///
/// # Errors
/// If the linker has one of the interfaces already, or the engine lacks the concurrency that an
/// async one needs.
pub fn add_imports_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    imports: &Imports,
    view: fn(&mut T) -> View<'_, KeyValue>,
) -> wasmtime::Result<()> {
    let wanted = Wanted::By(imports);
    draft::link(linker, view, wanted)?;
    draft2::link(linker, view, wanted)?;
    old::link(linker, view, wanted)?;
    wasmcloud::link(linker, view, wanted)
}

/// The error of the drafts that have one variant for all.
enum Reason {
    NoSuchStore,
    AccessDenied,
    Other(String),
}

impl Reason {
    fn of(failure: Failure) -> wasmtime::Result<Self> {
        match failure {
            Failure::Trap(trap) => Err(trap),
            Failure::Error(error) => Ok(match error.kind() {
                Kind::NotFound => Self::NoSuchStore,
                Kind::Denied => Self::AccessDenied,
                _ => Self::Other(error.words()),
            }),
        }
    }
}
