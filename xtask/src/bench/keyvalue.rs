//! `cargo xtask bench keyvalue`: every backend on a real server of its own.

use std::process::Command;

use anyhow::Result;

use super::report;
use crate::steps::{run as run_command, step};
use crate::{guests, places, setup};

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Measure only these backends.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// How often everything is measured. What is reported is the middle.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each measurement is, in seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How many operations are on their way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    concurrent: u32,
}

/// Builds the guests and the benchmark, and runs it on this terminal.
pub(super) fn run(options: &Options) -> Result<()> {
    setup::everything()?;
    guests::build(&guests::Options { rust_only: true, ..Default::default() })?;
    super::http::build(&["bench-keyvalue"])?;
    let mut program = Command::new(places::target().join("release/bench-keyvalue"));
    program.arg(places::guests());
    program.args(["--rounds", &options.rounds.to_string()]);
    program.args(["--seconds", &options.seconds.to_string()]);
    program.args(["--concurrent", &options.concurrent.to_string()]);
    if !options.only.is_empty() {
        program.arg("--only").args(&options.only);
    }
    eprintln!("    {}", report::machine());
    step("operations of key-value stores", || run_command(&mut program))
}
