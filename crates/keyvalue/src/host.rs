//! `wasi:keyvalue` in front of [`Store`]: every served draft on the same operations.

mod cas;
mod cursors;
mod held;
mod operations;
mod uses;
mod values;

pub mod draft;
pub mod draft2;
pub mod old;
#[cfg(test)]
mod tests;

use crate::Store;
use base::{Bound, Error, Kind};
use cursors::Cursors;
use engine::{Capability, Ctx, Failure, Guest, Imports, View};
use held::Held;
use std::sync::Arc;
use wasmtime::component::Linker;

pub use cas::Cas;
pub use uses::{How, Use, needs, uses};
pub use values::{IncomingValue, OutgoingValue, Trace};

/// Key-value stores, as components see them.
#[derive(Debug)]
pub struct KeyValue;

/// An open store: the resource `bucket` of every draft.
pub struct Bucket(Arc<dyn Store>);

impl Bucket {
    /// A bucket of `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
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
    /// `memory` is the most bytes that the host keeps for the instance's handles to values, and
    /// the most that it answers in one call that asks for many values or keys.
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
    ];
    type Prepared = Bound<dyn Store>;
    type State = State;

    fn link(linker: &mut Linker<Ctx>, imports: &Imports) -> wasmtime::Result<()> {
        let wants = |id: &str| imports.wants(id);
        draft::link(linker, Ctx::view::<Self>, wants)?;
        draft2::link(linker, Ctx::view::<Self>, wants)?;
        old::link(linker, Ctx::view::<Self>, wants)
    }

    fn state(prepared: &Arc<Bound<dyn Store>>, guest: &Guest) -> State {
        State::new(Arc::clone(prepared), guest.limits().hostcall_buffer)
    }
}

/// Adds every served draft to the linker of a host of your own.
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
                _ => Self::Other(words(&error)),
            }),
        }
    }
}

/// An error as guests read it.
fn words(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}
