//! Every promise of the contract on every backend, and what cannot be said through the contract.

use futures::FutureExt as _;
use libtest_mimic::Trial;
use std::process::ExitCode;
use wharf_keyvalue::BACKENDS;
use wharf_keyvalue::backend::embedded::{Durability, Embedded};
use wharf_keyvalue::promises::PROMISES;

fn main() -> ExitCode {
    let mut trials = testkit::conformance::trials("keyvalue", BACKENDS, PROMISES);
    trials.extend(relaxed());
    testkit::conformance::run(trials)
}

/// The other way to set up the embedded backend. Commits come so soon that the promises meet
/// entries before, during and after theirs.
fn relaxed() -> Vec<Trial> {
    testkit::conformance::trials_with("embedded-relaxed", PROMISES, |place| {
        let settings = embedded(Durability::Relaxed);
        base::Backend::open(settings, place).boxed()
    })
}

fn embedded(durability: Durability) -> Embedded {
    let settings = "url = 'embedded:'\nflush-interval = '5ms'";
    Embedded { durability, ..toml::from_str(settings).unwrap() }
}
