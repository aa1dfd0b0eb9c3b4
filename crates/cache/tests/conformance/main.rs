//! Every promise of the contract on every backend, and what cannot be said through the contract.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and clippy sees tests only where libtest runs them"
)]

mod faults;
mod model;
mod settings;
mod tiers;
mod vacancies;
mod weather;

use base::{Place, Result};
use bytes::Bytes;
use futures::FutureExt as _;
use libtest_mimic::Trial;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};
use testkit::certificates::Certificates;
use testkit::servers::{Cluster, Sentinels, Server, Vendor, memcached_tls as memcached_tls_with};
use wharf_cache::backend::BEST;
use wharf_cache::promises::PROMISES;
use wharf_cache::{BACKENDS, Cache};

fn main() -> ExitCode {
    let mut trials = testkit::conformance::trials("cache", BACKENDS, PROMISES);
    trials.push(testkit::conformance::offers("cache", BACKENDS, BEST, |cache| {
        (cache.offer().levels, &cache.offer().emulated)
    }));
    trials.extend(memcached_tls());
    trials.extend(arrangements());
    trials.extend(tiers::trials());
    trials.extend(vacancies::trials());
    trials.extend(settings::trials());
    trials.extend(faults::trials());
    trials.extend(model::trials());
    trials.extend(weather::trials());
    testkit::conformance::run(trials)
}

/// The promises over TLS, for a user with a password.
fn memcached_tls() -> Vec<Trial> {
    static SERVER: LazyLock<(Server, Certificates)> = LazyLock::new(|| {
        let files = Certificates::new();
        (memcached_tls_with(&files, &["me:p%ss"], &[]), files)
    });
    testkit::conformance::trials_with("memcached-tls", PROMISES, |place| {
        let (server, files) = &*SERVER;
        let (address, ca) = (server.address(), files.ca.display());
        let settings = format!("{{ url = 'memcacheds://me:p%25ss@{address}', ca = '{ca}' }}");
        async move { bound_at(&settings, Place { capability: "cache", ..place }).await }.boxed()
    })
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

/// The other ways to set up Redis.
fn arrangements() -> Vec<Trial> {
    let mut trials = testkit::conformance::trials_with("redis-cluster", PROMISES, |place| {
        async move { bound_at(&format!("{{ {} }}", Cluster::shared().settings()), place).await }
            .boxed()
    });
    trials.extend(testkit::conformance::trials_with("redis-sentinel", PROMISES, |place| {
        async move { bound_at(&format!("{{ {} }}", Sentinels::shared().settings()), place).await }
            .boxed()
    }));
    trials.extend(testkit::conformance::trials_with("tiered-cluster", PROMISES, |place| {
        // The same names are those of the cluster alone.
        let place = Place { app: format!("tiered {}", place.app), ..place };
        let behind = Cluster::shared().settings();
        async move {
            bound_at(&format!("{{ url = 'tiered:', behind = {{ {behind} }} }}"), place).await
        }
        .boxed()
    }));
    trials
}

/// What a line of the deployment file opens, `{ url = … }`.
async fn bound_at(settings: &str, place: Place) -> Result<Arc<dyn Cache>> {
    base::backend::open_line(BACKENDS, settings, place).await
}

async fn bound(settings: &str) -> Result<Arc<dyn Cache>> {
    bound_at(settings, place()).await
}

/// Settings whose calls take a second at most, for a server at this address.
fn impatient(vendor: &Vendor, address: SocketAddr) -> String {
    let url = (vendor.url)(address);
    match url.strip_prefix("tiered:") {
        Some(behind) => {
            format!("{{ url = 'tiered:', behind = {{ url = '{behind}', timeout = '1s' }} }}")
        }
        None => format!("{{ url = '{url}', timeout = '1s' }}"),
    }
}

async fn put(cache: &Arc<dyn Cache>, key: &str) -> Result<()> {
    cache.set(key, Bytes::from_static(b"x"), None).await
}

/// A trial that fails by panicking.
fn trial(name: impl Into<String>, body: impl Future<Output = ()> + Send + 'static) -> Trial {
    testkit::conformance::trial(name, move || body.map(Ok).boxed())
}
