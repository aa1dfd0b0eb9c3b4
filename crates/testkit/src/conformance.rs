//! Every promise of a contract on every backend in its list, each a trial of its own.

use crate::servers;
use base::offer::{Best, Emulated, Levels};
use base::promise::{Promise, Stage};
use base::{Entry, Place, Result};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A trial that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs every promise of `capability` on every backend, and returns what `main` should.
pub fn conformance<C: ?Sized + Send + Sync>(
    capability: &'static str,
    backends: &'static [Entry<C>],
    promises: &[&'static [Promise<C>]],
) -> ExitCode {
    run(trials(capability, backends, promises))
}

/// Runs trials as `cargo test` does, with its arguments.
pub fn run(trials: Vec<Trial>) -> ExitCode {
    run_with(&Arguments::from_args(), trials)
}

/// Runs trials that mostly wait: so many at once, unless the arguments say otherwise.
pub fn run_at_once(trials: Vec<Trial>, threads: usize) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(threads);
    run_with(&arguments, trials)
}

fn run_with(arguments: &Arguments, trials: Vec<Trial>) -> ExitCode {
    let names: BTreeSet<&str> = trials.iter().map(Trial::name).collect();
    assert_eq!(names.len(), trials.len(), "two trials have the same name");
    libtest_mimic::run(arguments, trials).exit_code()
}

/// One trial for each backend and promise, called `memory::deleting_twice_is_fine`.
///
/// A backend that this build does not have is shown as ignored; one that has no example, or cannot
/// be opened, fails.
pub fn trials<C: ?Sized + Send + Sync>(
    capability: &'static str,
    backends: &'static [Entry<C>],
    promises: &[&'static [Promise<C>]],
) -> Vec<Trial> {
    let mut trials = Vec::new();
    for entry in backends {
        if entry.example.is_empty() {
            let name = format!("{}::was_not_built", entry.name);
            let built = || Err(Failed::from("this build does not have it"));
            trials.push(Trial::test(name, built).with_ignored_flag(true));
            continue;
        }
        trials.extend(trials_with(entry.name, promises, move |place| {
            open(entry, Place { capability, ..place }).boxed()
        }));
    }
    trials
}

/// The trial that no backend offers more, or emulates anything else, than the manual says in
/// advance: `best` is held to what `offer` finds on every live server.
pub fn offers<C: ?Sized + Send + Sync, L: Levels + Send + Sync>(
    capability: &'static str,
    backends: &'static [Entry<C>],
    best: &'static [Best<L>],
    offer: fn(&C) -> (L, &[Emulated]),
) -> Trial {
    let hold = async move {
        let names = |all: &[&'static str]| all.join(", ");
        let said = names(&best.iter().map(|best| best.backend).collect::<Vec<_>>());
        let there = names(&backends.iter().map(|entry| entry.name).collect::<Vec<_>>());
        if said != there {
            return Err(format!("there are {there}, and said is something of {said}"));
        }
        for (entry, best) in backends.iter().zip(best) {
            let wrong = |why: String| format!("{}: {why}", entry.name);
            let folder = folder()?;
            let place = place(folder.path(), capability, "offers", "default".to_owned());
            let opened = open(entry, place).await.map_err(|error| wrong(error.to_string()))?;
            let (levels, emulated) = offer(&opened);
            best.covers(&levels, emulated).map_err(wrong)?;
        }
        Ok(())
    };
    trial("offers::every_backend_says_the_most_that_it_offers", || hold.boxed())
}

/// What a backend opens on the server for all tests, or by its example where it needs none.
async fn open<C: ?Sized + Send + Sync>(entry: &'static Entry<C>, place: Place) -> Result<Arc<C>> {
    let url = servers::url(entry.name).unwrap_or_else(|| entry.example.to_owned());
    base::backend::open(std::slice::from_ref(entry), &url, place).await
}

fn folder() -> Result<TempDir, String> {
    tempfile::tempdir().map_err(|error| format!("making a folder: {error}"))
}

fn place(folder: &Path, capability: &'static str, app: &str, binding: String) -> Place {
    let (base, data) = (folder.to_owned(), folder.to_owned());
    Place { base, data, app: app.to_owned(), capability, binding }
}

/// One trial for each promise on what `open` opens, which is another way to set up a backend.
pub fn trials_with<C: ?Sized + Send + Sync>(
    name: &str,
    promises: &[&'static [Promise<C>]],
    open: impl Fn(Place) -> BoxFuture<'static, Result<Arc<C>>> + Copy + Send + Sync + 'static,
) -> Vec<Trial> {
    let promises = promises.iter().copied().flatten();
    let trial = |promise: &'static Promise<C>| {
        trial(format!("{name}::{}", promise.name), move || keep(promise, open).boxed())
    };
    promises.map(trial).collect()
}

/// A trial that runs on a small runtime of its own and fails if it hangs.
pub fn trial(
    name: impl Into<String>,
    body: impl FnOnce() -> BoxFuture<'static, Result<(), String>> + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build()?;
        let body = body();
        let outcome = runtime.block_on(async { tokio::time::timeout(PATIENCE, body).await });
        let outcome = outcome.unwrap_or_else(|_| Err(format!("still running after {PATIENCE:?}")));
        outcome.map_err(Failed::from)
    })
}

async fn keep<C: ?Sized + Send + Sync>(
    promise: &'static Promise<C>,
    open: impl Fn(Place) -> BoxFuture<'static, Result<Arc<C>>> + Send + Sync + 'static,
) -> Result<(), String> {
    let folder = folder()?;
    let data = folder.path().to_owned();
    let stage = Stage::new(Arc::new(move |binding| {
        open(place(&data, "conformance", promise.name, binding))
    }));
    (promise.run)(stage).await.map_err(|broken| broken.to_string())
}
