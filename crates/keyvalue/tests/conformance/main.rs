//! Every promise of the contract on every backend, and what cannot be said through the contract.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and clippy sees tests only where libtest runs them"
)]

mod bulk;
mod crash;
mod disk;
mod faults;
mod files;
mod linear;
mod model;
mod power;

use base::{Backend, Place};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use libtest_mimic::Trial;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use wharf_keyvalue::backend::BEST;
use wharf_keyvalue::backend::embedded::{Durability, Embedded};
use wharf_keyvalue::promises::PROMISES;
use wharf_keyvalue::{BACKENDS, Store};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(crash::WRITER) {
        return crash::write(&arguments.next().unwrap());
    }
    let mut trials = testkit::conformance::trials("keyvalue", BACKENDS, PROMISES);
    trials.push(trial("offers::every_backend_says_the_most_that_it_offers", offers()));
    trials.extend(relaxed());
    trials.extend(clusters());
    trials.extend(model::trials());
    trials.extend(linear::trials());
    trials.extend(crash::trials());
    trials.extend(power::trials());
    trials.extend(files::trials());
    trials.extend(faults::trials());
    trials.extend(bulk::trials());
    testkit::conformance::run(trials)
}

/// The other way to set up the embedded backend. Commits come so soon that the promises meet
/// entries before, during and after theirs.
fn relaxed() -> Vec<Trial> {
    testkit::conformance::trials_with("embedded-relaxed", PROMISES, |place| {
        embedded(Durability::Relaxed).open(place).boxed()
    })
}

async fn offers() {
    let names: Vec<_> = BACKENDS.iter().map(|entry| entry.name).collect();
    assert_eq!(BEST.iter().map(|best| best.backend).collect::<Vec<_>>(), names);
    for best in BEST {
        let entry = BACKENDS.iter().find(|entry| entry.name == best.backend).unwrap();
        let url = testkit::servers::url(entry.name).unwrap_or_else(|| entry.example.to_owned());
        let folder = tempfile::tempdir().unwrap();
        let store = base::backend::open(BACKENDS, &url, place(folder.path())).await.unwrap();
        best.covers(store.offer()).unwrap_or_else(|why| panic!("{}: {why}", entry.name));
    }
}

/// The other ways to set up NATS and Redis.
fn clusters() -> Vec<Trial> {
    async fn open(place: Place, more: &str) -> base::Result<Arc<dyn Store>> {
        let cluster = testkit::servers::Cluster::shared();
        opened(&format!("{{ {}{more} }}", cluster.settings()), place).await
    }
    let mut trials = testkit::conformance::trials_with("redis-cluster", PROMISES, |place| {
        open(place, "").boxed()
    });
    trials.extend(testkit::conformance::trials_with("redis-sharded", PROMISES, |place| {
        // The same names are spread otherwise.
        let place = Place { app: format!("sharded {}", place.app), ..place };
        open(place, ", shards = 8").boxed()
    }));
    trials.extend(testkit::conformance::trials_with("nats-cluster", PROMISES, |place| {
        let settings = testkit::servers::NatsCluster::shared().settings();
        async move { opened(&format!("{{ {settings} }}"), place).await }.boxed()
    }));
    trials
}

/// What a line of the deployment file opens, `{ url = … }`.
async fn opened(settings: &str, place: Place) -> base::Result<Arc<dyn Store>> {
    base::backend::open_line(BACKENDS, settings, place).await
}

fn embedded(durability: Durability) -> Embedded {
    let settings = "url = 'embedded:'\nflush-interval = '5ms'";
    Embedded { durability, ..toml::from_str(settings).unwrap() }
}

/// Opens a store of its own in a folder.
type Open = fn(&Path) -> BoxFuture<'static, Arc<dyn Store>>;

/// A binding in a data directory.
fn place(data: &Path) -> Place {
    let (base, data) = (data.to_owned(), data.to_owned());
    let (app, binding) = ("app".to_owned(), "default".to_owned());
    Place { base, data, app, capability: "keyvalue", binding }
}

/// Every kind of store.
fn stores() -> impl Iterator<Item = (&'static str, Open)> {
    fn open(
        backend: impl Backend<Contract = dyn Store>,
        data: &Path,
    ) -> BoxFuture<'static, Arc<dyn Store>> {
        let place = place(data);
        async move { backend.open(place).await.unwrap() }.boxed()
    }
    let memory: Open = |data| {
        open(
            toml::from_str::<wharf_keyvalue::backend::memory::Memory>("url = 'memory:'").unwrap(),
            data,
        )
    };
    let strict: Open = |data| open(embedded(Durability::Strict), data);
    let relaxed: Open = |data| open(embedded(Durability::Relaxed), data);
    let mysql: Open = |data| remote("mysql", data);
    let nats: Open = |data| remote("nats", data);
    let cluster: Open = |data| {
        let place = Place { app: data.display().to_string(), ..place(data) };
        let settings = testkit::servers::NatsCluster::shared().settings();
        async move { opened(&format!("{{ {settings} }}"), place).await.unwrap() }.boxed()
    };
    let postgres: Open = |data| remote("postgres", data);
    let redis: Open = |data| remote("redis", data);
    let etcd: Open = |data| remote("etcd", data);
    [
        ("memory", memory),
        ("embedded", strict),
        ("relaxed", relaxed),
        ("etcd", etcd),
        ("mysql", mysql),
        ("nats", nats),
        ("nats-cluster", cluster),
        ("postgres", postgres),
        ("redis", redis),
    ]
    .into_iter()
}

/// A binding on the backend's server, as much its own as the folder is.
fn remote(backend: &'static str, data: &Path) -> BoxFuture<'static, Arc<dyn Store>> {
    let place = Place { app: data.display().to_string(), ..place(data) };
    async move {
        let url = testkit::servers::url(backend).unwrap();
        base::backend::open(BACKENDS, &url, place).await.unwrap()
    }
    .boxed()
}

/// A trial that fails by panicking.
fn trial(name: impl Into<String>, body: impl Future<Output = ()> + Send + 'static) -> Trial {
    testkit::conformance::trial(name, move || body.map(Ok).boxed())
}
