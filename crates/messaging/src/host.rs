//! Messaging interfaces in front of [`Broker`]: every served draft on the same operations.

mod body;
mod letter;
mod operations;
mod taking;
mod uses;

pub mod draft;
pub mod old;
#[cfg(test)]
mod tests;
pub mod wasmcloud;
pub mod wasmcloud3;
pub mod wharf;

use crate::Broker;
use base::{Bound, Error};
use engine::{Capability, Ctx, Failure, Guest, Held, Imports, View, Wanted};
use std::sync::Arc;
use taking::Tokens;
use tokio::sync::watch;
use wasmtime::component::Linker;

pub(crate) use body::Content;
pub use letter::{Letter, Waiting};
pub(crate) use old::Configuration;
pub use old::Trace;
pub use operations::Client;
pub use uses::{needs, uses};
pub use wharf::Consumer;

/// Messaging, as components see it.
#[derive(Debug)]
pub struct Messaging;

/// The brokers that a component may use.
#[derive(Default)]
pub struct Granted {
    brokers: Bound<dyn Broker>,
    unnamed: Option<String>,
    /// What the component wants to be handed, where it said so while it ran. What hands it over
    /// listens.
    configured: watch::Sender<Option<Configuration>>,
}

impl Granted {
    /// A component may connect to these brokers. Where an interface knows no names it uses the one
    /// called `unnamed`.
    pub fn new(brokers: Bound<dyn Broker>, unnamed: Option<String>) -> Self {
        Self { brokers, unnamed, configured: watch::Sender::default() }
    }

    /// What the component said last of what it wants to be handed.
    fn configuration(&self) -> Option<Configuration> {
        self.configured.borrow().clone()
    }

    /// Takes what the component says of it.
    fn configure(&self, configuration: Configuration) -> base::Result<()> {
        if self.configured.receiver_count() == 0 {
            return Err(Error::invalid("nothing hands messages to this component")
                .with_hint("it needs a `[[subscribe]]`, and to export `messaging-guest`"));
        }
        self.configured.send_replace(Some(configuration));
        Ok(())
    }

    /// Hears what the component says of it from now on.
    pub(crate) fn configurations(&self) -> watch::Receiver<Option<Configuration>> {
        self.configured.subscribe()
    }
}

/// What each instance keeps for messaging.
pub struct State {
    granted: Arc<Granted>,
    held: Held,
    tokens: Tokens,
    old: old::Kept,
}

impl State {
    /// The state of an instance that may use what was granted.
    ///
    /// `memory` is the most bytes that the host keeps for the instance: for its messages, for calls
    /// that wait, and for what it takes messages by.
    pub fn new(granted: Arc<Granted>, memory: usize) -> Self {
        let (tokens, old) = Default::default();
        Self { granted, held: Held::new(memory), tokens, old }
    }

    /// What the host keeps for the instance.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }
}

impl Capability for Messaging {
    const NAME: &'static str = "messaging";
    const SERVED: &'static [&'static str] = &[
        "wasi:messaging/types@0.2.0-draft",
        "wasi:messaging/producer@0.2.0-draft",
        "wasi:messaging/request-reply@0.2.0-draft",
        "wasi:messaging/messaging-types@0.2.0-draft",
        "wasi:messaging/consumer@0.2.0-draft",
        "wasmcloud:messaging/types@0.2.0",
        "wasmcloud:messaging/consumer@0.2.0",
        "wasmcloud:messaging/types@0.3.0",
        "wasmcloud:messaging/consumer@0.3.0",
        "wharf:messaging/types@0.1.0",
        "wharf:messaging/producer@0.1.0",
        "wharf:messaging/consumer@0.1.0",
    ];
    type Prepared = Granted;
    type State = State;

    fn link(linker: &mut Linker<Ctx>, imports: &Imports) -> wasmtime::Result<()> {
        add_imports_to_linker(linker, imports, Ctx::view::<Self>)
    }

    fn state(prepared: &Arc<Granted>, guest: &Guest) -> State {
        State::new(Arc::clone(prepared), guest.limits().hostcall_buffer)
    }
}

/// Adds the served drafts to the linker of a host of your own: of two that have an interface of the
/// same name the newer one, and not those that overlap calls, as [`wharf`] and [`wasmcloud3`] do,
/// which need an engine with that ability.
///
/// # Errors
/// If the linker has one of the interfaces already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Messaging>,
) -> wasmtime::Result<()> {
    draft::add_to_linker(linker, view)?;
    wasmcloud::add_to_linker(linker, view)
}

/// Adds to the linker of a host of your own what one component imports, of every served draft.
///
/// # Errors
/// If the linker has one of the interfaces already, or the engine lacks the concurrency that an
/// async one needs.
pub fn add_imports_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    imports: &Imports,
    view: fn(&mut T) -> View<'_, Messaging>,
) -> wasmtime::Result<()> {
    let wanted = Wanted::By(imports);
    draft::link(linker, view, wanted)?;
    old::link(linker, view, wanted)?;
    wasmcloud::link(linker, view, wanted)?;
    wasmcloud3::link(linker, view, wanted)?;
    wharf::link(linker, view, imports)
}

/// The error that a guest reads, or the end of the instance.
fn readable(failure: Failure) -> wasmtime::Result<Error> {
    match failure {
        Failure::Trap(trap) => Err(trap),
        Failure::Error(error) => Ok(error),
    }
}
