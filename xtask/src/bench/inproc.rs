//! The benchmarks that need no sockets.

use std::process::Command;

use anyhow::Result;

use crate::steps::{run as run_command, step};
use crate::{guests, places};

/// Builds the guests and the benchmarks, and runs them on this terminal.
pub(super) fn run() -> Result<()> {
    guests::build(&guests::Options { rust_only: true, ..Default::default() })?;
    super::http::build(&["bench-inproc", "bench-filter"])?;
    let release = places::target().join("release");
    step("in-process benchmarks", || {
        for program in ["bench-inproc", "bench-filter"] {
            run_command(Command::new(release.join(program)).arg(places::guests()))?;
        }
        Ok(())
    })
}
