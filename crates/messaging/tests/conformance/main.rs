//! Every promise of the contract on every backend, and what cannot be said through the contract.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and clippy sees tests only where libtest runs them"
)]

mod faults;
mod model;

use std::process::ExitCode;
use wharf_messaging::BACKENDS;
use wharf_messaging::backend::BEST;
use wharf_messaging::promises::PROMISES;

fn main() -> ExitCode {
    let mut trials = testkit::conformance::trials("messaging", BACKENDS, PROMISES);
    trials.push(testkit::conformance::offers("messaging", BACKENDS, BEST, |broker| {
        (broker.offer().levels, &broker.offer().emulated)
    }));
    trials.extend(model::trials());
    trials.extend(faults::trials());
    testkit::conformance::run(trials)
}
