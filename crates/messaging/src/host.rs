//! Messaging interfaces in front of [`Broker`]: every served draft on the same operations.

mod letter;
mod operations;
mod uses;

pub mod draft;
pub mod wasmcloud;

use crate::Broker;
use base::{Bound, Error};
use engine::{Capability, Ctx, Failure, Guest, Held, Imports, View, Wanted};
use std::sync::Arc;
use wasmtime::component::Linker;

pub use letter::{Letter, Waiting};
pub use operations::Client;
pub use uses::{needs, uses};

/// Messaging, as components see it.
#[derive(Debug)]
pub struct Messaging;

/// The brokers that a component may use.
#[derive(Default)]
pub struct Granted {
    brokers: Bound<dyn Broker>,
    unnamed: Option<String>,
}

impl Granted {
    /// A component may connect to these brokers. Where an interface knows no names it uses the one
    /// called `unnamed`.
    pub fn new(brokers: Bound<dyn Broker>, unnamed: Option<String>) -> Self {
        Self { brokers, unnamed }
    }
}

/// What each instance keeps for messaging.
pub struct State {
    granted: Arc<Granted>,
    held: Held,
}

impl State {
    /// The state of an instance that may use what was granted.
    ///
    /// `memory` is the most bytes that the host keeps for the instance's messages.
    pub fn new(granted: Arc<Granted>, memory: usize) -> Self {
        Self { granted, held: Held::new(memory) }
    }
}

impl Capability for Messaging {
    const NAME: &'static str = "messaging";
    const SERVED: &'static [&'static str] = &[
        "wasi:messaging/types@0.2.0-draft",
        "wasi:messaging/producer@0.2.0-draft",
        "wasi:messaging/request-reply@0.2.0-draft",
        "wasmcloud:messaging/types@0.2.0",
        "wasmcloud:messaging/consumer@0.2.0",
    ];
    type Prepared = Granted;
    type State = State;

    fn link(linker: &mut Linker<Ctx>, imports: &Imports) -> wasmtime::Result<()> {
        let wanted = Wanted::By(imports);
        draft::link(linker, Ctx::view::<Self>, wanted)?;
        wasmcloud::link(linker, Ctx::view::<Self>, wanted)
    }

    fn state(prepared: &Arc<Granted>, guest: &Guest) -> State {
        State::new(Arc::clone(prepared), guest.limits().hostcall_buffer)
    }
}

/// Adds every served draft to the linker of a host of your own.
///
/// # Errors
/// If the linker has one of the interfaces already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Messaging>,
) -> wasmtime::Result<()> {
    draft::link(linker, view, Wanted::All)?;
    wasmcloud::link(linker, view, Wanted::All)
}

/// The error that a guest reads, or the end of the instance.
fn readable(failure: Failure) -> wasmtime::Result<Error> {
    match failure {
        Failure::Trap(trap) => Err(trap),
        Failure::Error(error) => Ok(error),
    }
}
