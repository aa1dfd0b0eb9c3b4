//! One run of a command: `wasi:cli/run` of 0.2 or 0.3.

use base::Error;
use engine::background::Fair;
use engine::{Ctx, Deadline, Ended, Guest, Kind, Request, describe};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::Store;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings as p2;
use wasmtime_wasi::p3::bindings as p3;

/// A component that is a command.
#[derive(Clone)]
pub(crate) struct Command {
    guest: Arc<Guest>,
    pre: Pre,
}

#[derive(Clone)]
enum Pre {
    P2(p2::CommandPre<Ctx>),
    P3(p3::CommandPre<Ctx>),
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With this exit code.
    Exit(i32),
    /// By its deadline.
    Deadline,
    /// By a trap; the text is the named backtrace.
    Trap(String),
}

impl Command {
    /// The command that `guest` is, or `None` if it is none.
    ///
    /// # Errors
    /// `Invalid` when its export does not have the type of its version.
    pub(crate) fn new(guest: Arc<Guest>) -> Result<Option<Self>, Error> {
        let is =
            |prefix: &str| guest.exports().iter().any(|export| export.name.starts_with(prefix));
        let refused = |error: wasmtime::Error| {
            Error::invalid(format!("component `{}`: {error:#}", guest.name()))
        };
        let pre = if is("wasi:cli/run@0.2.") {
            Pre::P2(p2::CommandPre::new(guest.pre().clone()).map_err(refused)?)
        } else if is("wasi:cli/run@0.3.") && guest.engine().kind() != Kind::Plain {
            Pre::P3(p3::CommandPre::new(guest.pre().clone()).map_err(refused)?)
        } else {
            return Ok(None);
        };
        Ok(Some(Self { guest, pre }))
    }

    /// The component.
    pub(crate) fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    /// Runs it once, at most `timeout`.
    pub(crate) async fn run(&self, request: Request, timeout: Duration) -> Outcome {
        let deadline = Deadline::after(timeout);
        let mut store = self.guest.store(deadline.clone());
        store.data_mut().begin(request, deadline.clone());
        let call = Fair::new(Arc::clone(&self.guest), call(store, self.pre.clone()));
        let slack = Duration::from_millis(20);
        match tokio::time::timeout_at((deadline.instant() + slack).into(), call).await {
            Err(_elapsed) => Outcome::Deadline,
            Ok(None) => Outcome::Trap("the host panicked".to_owned()),
            Ok(Some(done)) => outcome(done),
        }
    }

    /// Runs it once, with the whole machine to itself.
    pub(crate) async fn run_alone(&self, timeout: Option<Duration>) -> Outcome {
        let timeout = timeout.unwrap_or(Duration::MAX);
        let store = self.guest.store(Deadline::after(timeout));
        match tokio::time::timeout(timeout, call(store, self.pre.clone())).await {
            Err(_elapsed) => Outcome::Deadline,
            Ok(done) => outcome(done),
        }
    }
}

async fn call(mut store: Store<Ctx>, pre: Pre) -> wasmtime::Result<Result<(), ()>> {
    match pre {
        Pre::P2(pre) => {
            let command = pre.instantiate_async(&mut store).await?;
            command.wasi_cli_run().call_run(&mut store).await
        }
        Pre::P3(pre) => {
            let command = pre.instantiate_async(&mut store).await?;
            let run = async |accessor: &wasmtime::component::Accessor<Ctx>| {
                command.wasi_cli_run().call_run(accessor).await
            };
            store.run_concurrent(run).await?
        }
    }
}

fn outcome(done: wasmtime::Result<Result<(), ()>>) -> Outcome {
    match done {
        Ok(Ok(())) => Outcome::Exit(0),
        Ok(Err(())) => Outcome::Exit(1),
        Err(error) => ended(&error),
    }
}

/// What an error that ended a call means.
pub(crate) fn ended(error: &wasmtime::Error) -> Outcome {
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return Outcome::Exit(*code);
    }
    match error.downcast_ref::<Ended>() {
        Some(Ended::Deadline) => Outcome::Deadline,
        _ => Outcome::Trap(describe(error)),
    }
}
