//! Every promise of the contract on every backend, and what cannot be said through the contract.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and clippy sees tests only where libtest runs them"
)]

mod faults;
mod settings;
mod tiers;
mod vacancies;

use base::{Place, Result};
use bytes::Bytes;
use futures::FutureExt as _;
use libtest_mimic::Trial;
use std::process::ExitCode;
use std::sync::Arc;
use wharf_cache::promises::PROMISES;
use wharf_cache::{BACKENDS, Cache};

fn main() -> ExitCode {
    let mut trials = testkit::conformance::trials("cache", BACKENDS, PROMISES);
    trials.extend(tiers::trials());
    trials.extend(vacancies::trials());
    trials.extend(settings::trials());
    trials.extend(faults::trials());
    testkit::conformance::run(trials)
}

/// A binding of a trial's own.
fn place() -> Place {
    let folder = tempfile::tempdir().unwrap().path().to_owned();
    Place {
        app: folder.display().to_string(),
        base: folder.clone(),
        data: folder,
        capability: "cache",
        binding: "default".to_owned(),
    }
}

/// What a line of the deployment file opens, `{ url = … }`.
async fn bound_at(settings: &str, place: Place) -> Result<Arc<dyn Cache>> {
    let line = format!("x = {settings}");
    let table = toml::de::DeTable::parse(&line).unwrap().into_inner();
    let chosen = base::backend::choose(BACKENDS, table.get("x").unwrap().clone());
    let (_, opening) = chosen.map_err(|mistake| base::Error::invalid(mistake.to_string()))?;
    opening(place).await
}

async fn bound(settings: &str) -> Result<Arc<dyn Cache>> {
    bound_at(settings, place()).await
}

async fn put(cache: &Arc<dyn Cache>, key: &str) -> Result<()> {
    cache.set(key, Bytes::from_static(b"x"), None).await
}

/// A trial that fails by panicking.
fn trial(name: impl Into<String>, body: impl Future<Output = ()> + Send + 'static) -> Trial {
    testkit::conformance::trial(name, move || body.map(Ok).boxed())
}
