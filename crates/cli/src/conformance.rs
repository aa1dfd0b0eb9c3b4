//! `wharf conformance`: holds a server of the user's to the promises of a capability.

mod report;

use crate::args::ConformanceArgs;
use crate::capabilities::CONFORMANCE;
use crate::console;
use crate::exit::{Exit, Failure};
use crate::program;
use base::promise::{Promise, Stage};
use base::{Entry, Error, Kind, Place, Result};
use futures::future::BoxFuture;
use report::{Report, Tried};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// A promise that takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// A capability that can be tried, in the one list of them.
pub(crate) struct Conformance {
    /// Its name.
    pub(crate) name: &'static str,
    /// Tries all its promises on a server.
    pub(crate) run: for<'a> fn(&'a str, &'a Path) -> BoxFuture<'a, Result<Report>>,
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
    let line = line(args)?;
    let mut report = program::runtime()?.block_on((capability.run)(&line, folder.path()))?;
    report.name(base::redact(&args.url));
    console::give(&report.render(args.format));
    Ok(match report.broken() {
        0 => ExitCode::SUCCESS,
        _ => Exit::Guest.into(),
    })
}

/// What the deployment file would say of the binding.
fn line(args: &ConformanceArgs) -> Result<String> {
    let mut settings = toml::Table::new();
    settings.insert("url".to_owned(), args.url.clone().into());
    for set in &args.set {
        let wrong = || {
            Error::invalid(format!("`--set {set}` is no key with a value"))
                .with_hint("for example --set cluster=true, or --set 'nodes=[\"host:6379\"]'")
        };
        let (key, value) = set.split_once('=').ok_or_else(wrong)?;
        let value = match toml::from_str::<toml::Table>(&format!("value = {value}")) {
            Ok(mut table) => table.remove("value").ok_or_else(wrong)?,
            // A word without quotes.
            Err(_) => value.into(),
        };
        settings.insert(key.trim().to_owned(), value);
    }
    Ok(toml::Value::Table(settings).to_string())
}

/// How a binding is thrown away.
type Destroy<C> = fn(Arc<C>) -> BoxFuture<'static, Result<()>>;

/// Tries `promises` one after the other on the binding of this line of a deployment file.
///
/// # Errors
/// What keeps the server from being opened at all, or from being left as it was.
pub(crate) async fn run<C: ?Sized + Send + Sync + 'static>(
    capability: &'static str,
    (backends, promises): (&'static [Entry<C>], &'static [&'static [Promise<C>]]),
    line: &str,
    folder: &Path,
    (describe, destroy): (fn(&C) -> String, Destroy<C>),
) -> Result<Report> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let app = format!("wharf-conformance-{}-{}", now.as_millis(), std::process::id());
    let place = move |folder: &Path, binding: String| Place {
        base: folder.to_owned(),
        data: folder.to_owned(),
        app: app.clone(),
        capability,
        binding,
    };
    // Whoever is not there, or lets nobody in, keeps no promise: say that instead.
    let probe = base::backend::open_line(backends, line, place(folder, "probe".to_owned())).await?;
    let mut report = Report::new(capability, describe(&probe));
    throw_away(probe, destroy).await?;
    let promises: Vec<&Promise<C>> = promises.iter().copied().flatten().collect();
    for promise in promises {
        let opened = Arc::new(Mutex::new(Vec::new()));
        let (all, place, folder, line) =
            (Arc::clone(&opened), place.clone(), folder.to_owned(), line.to_owned());
        let stage = Stage::new(Arc::new(move |binding| {
            let (all, line) = (Arc::clone(&all), line.clone());
            let place = place(&folder, format!("{}-{binding}", promise.name));
            Box::pin(async move {
                let store = base::backend::open_line(backends, &line, place).await?;
                all.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&store));
                Ok(store)
            })
        }));
        let begun = Instant::now();
        let kept = tokio::time::timeout(PATIENCE, (promise.run)(stage)).await;
        let broken = match kept {
            Ok(kept) => kept.err().map(|broken| broken.to_string()),
            Err(_elapsed) => Some(format!("it took longer than {PATIENCE:?}")),
        };
        report.add(Tried { name: promise.name, took: begun.elapsed(), broken });
        let opened = std::mem::take(&mut *opened.lock().unwrap_or_else(PoisonError::into_inner));
        for store in opened {
            throw_away(store, destroy).await?;
        }
    }
    Ok(report)
}

async fn throw_away<C>(store: Arc<C>, destroy: Destroy<C>) -> Result<()>
where
    C: ?Sized + Send + Sync,
{
    match destroy(store).await {
        // It ends with this process, or lies in a folder that goes.
        Err(error) if error.kind() == Kind::Unsupported => Ok(()),
        outcome => outcome.map_err(|error| error.context("removing what was tried")),
    }
}
