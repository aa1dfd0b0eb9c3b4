//! Every promise of the contract on every backend, and what cannot be said through the contract.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and clippy sees tests only where libtest runs them"
)]

mod crash;
mod faults;
mod files;
mod flood;
mod folder;
mod letters;
mod model;
mod power;

use base::{Backend as _, Place};
use bytes::Bytes;
use futures::FutureExt as _;
use libtest_mimic::Trial;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use wharf_messaging::backend::BEST;
use wharf_messaging::backend::embedded::Embedded;
use wharf_messaging::backend::file::File;
use wharf_messaging::promises::PROMISES;
use wharf_messaging::{BACKENDS, Broker, Delivery, Filter, Subscriber, Subscription};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(crash::WRITER) {
        return crash::write(&arguments.next().unwrap(), &arguments.next().unwrap());
    }
    let mut trials = testkit::conformance::trials("messaging", BACKENDS, PROMISES);
    trials.push(testkit::conformance::offers("messaging", BACKENDS, BEST, |broker| {
        (broker.offer().levels, &broker.offer().emulated)
    }));
    trials.extend(relaxed());
    trials.extend(model::trials());
    trials.extend(power::trials());
    trials.extend(crash::trials());
    trials.extend(files::trials());
    trials.extend(letters::trials());
    trials.extend(flood::trials());
    trials.extend(faults::trials());
    // Nearly all of them wait for servers and deadlines, and take little of a core.
    testkit::conformance::run_at_once(trials, 6)
}

/// The other way to set up what keeps messages on a disk. Commits come so soon that the promises
/// meet messages before, during and after theirs.
fn relaxed() -> Vec<Trial> {
    let relaxed = "durability = 'relaxed'";
    let mut trials = testkit::conformance::trials_with("embedded-relaxed", PROMISES, |place| {
        embedded(relaxed).open(place).boxed()
    });
    trials.extend(testkit::conformance::trials_with("file-relaxed", PROMISES, |place| {
        file(relaxed).open(place).boxed()
    }));
    trials
}

/// The embedded backend with these lines more, and commits that come soon.
fn embedded(more: &str) -> Embedded {
    toml::from_str(&format!("url = 'embedded:'\nflush-interval = '5ms'\n{more}")).unwrap()
}

/// As [`embedded`], with a folder of readable files.
fn file(more: &str) -> File {
    toml::from_str(&format!("url = 'file:'\nflush-interval = '5ms'\n{more}")).unwrap()
}

/// The backends that keep messages on a disk.
const KEEPERS: [&str; 2] = ["embedded", "file"];

/// What one of them opens in a data directory, with these lines more.
async fn kept(keeper: &str, more: &str, data: &Path) -> base::Result<Arc<dyn Broker>> {
    match keeper {
        "embedded" => embedded(more).open(place(data)).await,
        _ => file(more).open(place(data)).await,
    }
}

/// A binding in a data directory.
fn place(data: &Path) -> Place {
    let (base, data) = (data.to_owned(), data.to_owned());
    let (app, binding) = ("app".to_owned(), "default".to_owned());
    Place { base, data, app, capability: "messaging", binding }
}

/// A trial that fails by panicking.
fn trial(name: impl Into<String>, body: impl Future<Output = ()> + Send + 'static) -> Trial {
    testkit::conformance::trial(name, move || body.map(Ok).boxed())
}

/// A part in the group `g` of everything.
fn everything() -> Subscription {
    Subscription::new(vec![Filter::parse(">").unwrap()]).of_group("g")
}

/// The next message, if one comes within this time.
async fn within(time: Duration, subscriber: &dyn Subscriber) -> Option<Delivery> {
    tokio::time::timeout(time, subscriber.next()).await.ok()?.unwrap()
}

fn text(data: &Bytes) -> String {
    String::from_utf8(data.to_vec()).unwrap()
}
