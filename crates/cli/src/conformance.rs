//! `wharf conformance`: holds a server of the user's to the promises of a capability.

mod bindings;
mod line;
mod report;

use crate::args::ConformanceArgs;
use crate::capabilities::CONFORMANCE;
use crate::console;
use crate::exit::{Exit, Failure};
use crate::program;
use base::promise::{Promise, Stage};
use base::{Entry, Error, Result};
use bindings::Bindings;
pub(crate) use bindings::Destroy;
use futures::FutureExt as _;
use futures::future::BoxFuture;
pub(crate) use line::Line;
use report::{Report, Tried};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// A promise that takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long calls that nobody waits for any more may still be on their way.
const SETTLE: Duration = Duration::from_millis(250);

/// A capability that can be tried, in the one list of them.
pub(crate) struct Conformance {
    /// Its name.
    pub(crate) name: &'static str,
    /// Tries all its promises on a server.
    pub(crate) run: for<'a> fn(&'a Line, &'a Path) -> BoxFuture<'a, Result<Report>>,
}

/// Tries every promise, in bindings that are removed afterwards.
pub(crate) fn conformance(args: &ConformanceArgs) -> Result<ExitCode, Failure> {
    let Some(capability) = CONFORMANCE.iter().find(|known| known.name == args.capability) else {
        let names: Vec<_> = CONFORMANCE.iter().map(|known| known.name).collect();
        let text = format!(
            "error: no promises are known of `{}`\n  hint: there are those of {}",
            args.capability,
            names.join(", ")
        );
        return Err(Failure::new(Exit::Usage, text));
    };
    let folder = tempfile::tempdir()
        .map_err(|error| Error::unavailable("making a folder").with_source(error))?;
    let line = Line::of(args)?;
    let mut report = program::runtime()?.block_on((capability.run)(&line, folder.path()))?;
    report.name(base::redact(&args.url));
    console::give(&report.render(args.format));
    Ok(match report.broken() {
        0 => ExitCode::SUCCESS,
        _ => Exit::Guest.into(),
    })
}

/// Tries `promises` one after the other on the binding of this line of a deployment file, and
/// leaves the server as it was, also where a signal ends it before.
///
/// # Errors
/// What keeps the server from being opened at all, or from being left as it was.
pub(crate) async fn run<C: ?Sized + Send + Sync + 'static>(
    capability: &'static str,
    (backends, promises): (&'static [Entry<C>], &'static [&'static [Promise<C>]]),
    line: &Line,
    folder: &Path,
    (describe, destroy): (fn(&C) -> String, Destroy<C>),
) -> Result<Report> {
    let bindings = Arc::new(Bindings::new(capability, backends, line.clone(), folder, destroy));
    let outcome = tokio::select! {
        outcome = attempt(capability, promises, describe, &bindings) => outcome,
        () = interrupted() => {
            // What is on its way to the server arrives before it is removed.
            tokio::time::sleep(SETTLE).await;
            Err(Error::unavailable("ended by a signal; what was tried is removed"))
        }
    };
    let removed = bindings.remove_all().await;
    let report = outcome?;
    removed.map(|()| report)
}

async fn attempt<C: ?Sized + Send + Sync + 'static>(
    capability: &'static str,
    promises: &'static [&'static [Promise<C>]],
    describe: fn(&C) -> String,
    bindings: &Arc<Bindings<C>>,
) -> Result<Report> {
    // Whoever is not there, or lets nobody in, keeps no promise: say that instead.
    let probe = bindings.open("probe".to_owned()).await?;
    let mut report = Report::new(capability, describe(&probe));
    drop(probe);
    bindings.remove_all().await?;
    let promises: Vec<&Promise<C>> = promises.iter().copied().flatten().collect();
    for promise in promises {
        let all = Arc::clone(bindings);
        let stage = Stage::new(Arc::new(move |binding| {
            let (all, name) = (Arc::clone(&all), format!("{}-{binding}", promise.name));
            Box::pin(async move { all.open(name).await })
        }));
        let begun = Instant::now();
        let tried = AssertUnwindSafe((promise.run)(stage)).catch_unwind();
        let broken = match tokio::time::timeout(PATIENCE, tried).await {
            Ok(Ok(kept)) => kept.err().map(|broken| broken.to_string()),
            Ok(Err(_panic)) => Some("trying it panicked".to_owned()),
            Err(_elapsed) => Some(format!("it took longer than {PATIENCE:?}")),
        };
        let took = begun.elapsed();
        if broken.is_some() {
            // What it gave up may still be on its way.
            tokio::time::sleep(SETTLE).await;
        }
        report.add(Tried { name: promise.name, took, broken });
        bindings.remove_all().await?;
    }
    Ok(report)
}

/// Waits for the first signal that asks the program to end.
async fn interrupted() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        // Then the signal ends the program, as it does by itself.
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
    }
}
