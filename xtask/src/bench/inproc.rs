//! The benchmarks that need no sockets.

use std::process::Command;

use anyhow::Result;

use crate::steps::{run as run_command, step};
use crate::{guests, places};

/// Builds the guests and the benchmarks, and runs them on this terminal.
pub(super) fn run() -> Result<()> {
    guests::build(&guests::Options { rust_only: true, ..Default::default() })?;
    super::http::build(&["bench-inproc"])?;
    let program = places::target().join("release/bench-inproc");
    step("in-process benchmarks", || run_command(Command::new(program).arg(places::guests())))
}
