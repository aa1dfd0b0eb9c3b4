//! The benchmarks that need no sockets.

use anyhow::Result;

use crate::steps::{cargo, command, run, step};
use crate::{guests, places};

/// Builds the guests and the benchmarks, and runs them on this terminal.
pub(super) fn run_all() -> Result<()> {
    guests::build(&guests::Options { rust_only: true, ..Default::default() })?;
    super::http::build()?;
    let program = places::target().join("release/bench-inproc");
    let guests = places::guests();
    step("in-process benchmarks", || run(command(&program, &[&guests])))
}
