//! `cargo xtask bench messaging`: brokers beside their own clients, each on a real server of its
//! own, the file beside its disk, and what a trigger adds.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::report;
use crate::steps::{run as run_command, step};
use crate::{places, setup};

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Measure only these: `embedded`, `trigger`, or the name of a broker.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// How often everything is measured. What is reported is the middle.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each measurement of publishing is, in seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How many messages are on their way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    concurrent: u32,
    /// How many messages are taken in each measurement.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1000..))]
    messages: u32,
    /// Where everything is written as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Builds the benchmark, and runs it on this terminal.
pub(super) fn run(options: &Options) -> Result<()> {
    setup::everything()?;
    super::http::build(&["bench-messaging"])?;
    let mut program = Command::new(places::target().join("release/bench-messaging"));
    // The file is on the disk that programs are built on, and not in memory.
    program.current_dir(places::target());
    program.args(["--rounds", &options.rounds.to_string()]);
    program.args(["--seconds", &options.seconds.to_string()]);
    program.args(["--concurrent", &options.concurrent.to_string()]);
    program.args(["--messages", &options.messages.to_string()]);
    if let Some(file) = &options.json {
        program.arg("--json").arg(std::path::absolute(file)?);
    }
    if !options.only.is_empty() {
        program.arg("--only").args(&options.only);
    }
    eprintln!("    {}", report::machine());
    step("messages", || run_command(&mut program))
}
