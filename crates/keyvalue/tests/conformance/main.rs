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
mod faults;
mod files;
mod groups;
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
use wharf_keyvalue::backend::memory::Memory;
use wharf_keyvalue::promises::PROMISES;
use wharf_keyvalue::{BACKENDS, Store};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(crash::WRITER) {
        return crash::write(&arguments.next().unwrap());
    }
    let mut trials = testkit::conformance::trials("keyvalue", BACKENDS, PROMISES);
    trials.push(testkit::conformance::offers("keyvalue", BACKENDS, BEST, |store| {
        (store.offer().levels, &store.offer().emulated)
    }));
    trials.extend(relaxed());
    trials.extend(groups::trials());
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

/// What a line of the deployment file opens, `{ url = … }`.
async fn opened(settings: &str, place: Place) -> base::Result<Arc<dyn Store>> {
    base::backend::open_line(BACKENDS, settings, place).await
}

fn embedded(durability: Durability) -> Embedded {
    let settings = "url = 'embedded:'\nflush-interval = '5ms'";
    Embedded { durability, ..toml::from_str(settings).unwrap() }
}

/// Opens a store of its own in a folder.
type Open = Arc<dyn Fn(&Path) -> BoxFuture<'static, Arc<dyn Store>> + Send + Sync>;

/// A binding in a data directory.
fn place(data: &Path) -> Place {
    let (base, data) = (data.to_owned(), data.to_owned());
    let (app, binding) = ("app".to_owned(), "default".to_owned());
    Place { base, data, app, capability: "keyvalue", binding }
}

/// Every kind of store.
fn stores() -> impl Iterator<Item = (&'static str, Open)> {
    fn own<B: Backend<Contract = dyn Store>>(make: impl Fn() -> B + Send + Sync + 'static) -> Open {
        Arc::new(move |data| {
            let (backend, place) = (make(), place(data));
            async move { backend.open(place).await.unwrap() }.boxed()
        })
    }
    let memory = || toml::from_str::<Memory>("url = 'memory:'").unwrap();
    let own = [
        ("memory", own(memory)),
        ("embedded", own(|| embedded(Durability::Strict))),
        ("relaxed", own(|| embedded(Durability::Relaxed))),
    ];
    own.into_iter().chain(servers())
}

/// Every kind of store on a server, or on several.
fn servers() -> impl Iterator<Item = (&'static str, Open)> {
    let vendors = testkit::servers::VENDORS.iter().map(|vendor| {
        let open: Open = Arc::new(|data| remote(vendor.name, data));
        (vendor.name, open)
    });
    let groups = groups::GROUPS.iter().map(|group| {
        let open: Open = Arc::new(|data| group.remote(data));
        (group.name, open)
    });
    vendors.chain(groups)
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
