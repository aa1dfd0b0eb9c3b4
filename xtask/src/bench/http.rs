//! `cargo xtask bench http`: every row in turn, in several rounds.

use std::path::PathBuf;

use anyhow::Result;

use super::cores::Cores;
use super::report::{Report, Table};
use super::row::{LIMIT, Programs, ROWS, Row, find};
use super::sample::Plan;
use super::server::Server;
use super::{goals, peer, start};
use crate::steps::{cargo, run as run_command, step};
use crate::{guests, places, setup};

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often each row is measured. What is reported is the middle.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each measurement is, after a second of load that does not count.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Write everything that was measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The `wasmtime` program to compare with.
    #[arg(long, value_name = "PATH")]
    wasmtime: Option<PathBuf>,
    /// Measure only these rows.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Leave out how soon servers answer after their start.
    #[arg(long)]
    no_start: bool,
}

/// What rows are compared with.
const TABLE: Table = Table { limit: Some(LIMIT), peer: "wasmtime", goals: goals::HTTP };

/// Builds what is measured and what measures it, with one command, so that all share one build of
/// everything they have in common. Only these programs: linking each takes minutes.
pub(super) fn build(programs: &[&str]) -> Result<()> {
    setup::building()?;
    let mut build = cargo(&["build", "--release", "-p", "wharf", "-p", "wharf-benches"]);
    for program in programs {
        build.args(["--bin", program]);
    }
    step("release build", || run_command(&mut build))
}

/// Measures the rows and prints the table.
pub(super) fn run(options: &Options) -> Result<()> {
    let rows: Vec<&Row> = match options.only.as_slice() {
        [] => ROWS.iter().collect(),
        names => names.iter().map(|name| find(name)).collect::<Result<_>>()?,
    };
    let cores = Cores::find()?;
    guests::build(&guests::Options { rust_only: true, ..Default::default() })?;
    build(&["wharf", "bench-hyper", "bench-load"])?;
    let release = places::target().join("release");
    let needs_peer = !options.no_start || rows.iter().any(|row| row.is_wasmtime());
    let programs = Programs {
        hyper: release.join("bench-hyper"),
        wharf: release.join("wharf"),
        wasmtime: match needs_peer {
            true => peer::wasmtime(options.wasmtime.as_deref())?,
            false => PathBuf::new(),
        },
    };
    let plan = Plan {
        rounds: options.rounds,
        seconds: options.seconds,
        load: release.join("bench-load"),
        cores,
    };
    let measured =
        plan.measure(&rows, |row| row.ask(), |row| Server::start(&mut row.command(&programs)?))?;
    let mut starts = Vec::new();
    if !options.no_start {
        for name in ["wharf-p2", "wasmtime-p2"] {
            starts.extend(start::measure(name, &programs, cores)?);
        }
    }
    let report = Report { rows: &measured, starts: &starts, table: &TABLE };
    report.print(cores);
    report.write(options.json.as_deref(), &plan)
}
