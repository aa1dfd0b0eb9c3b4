//! `cargo xtask bench filter`: requests through Proxy-Wasm filters, in Wharf and in Envoy.

mod envoy;
mod rows;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::cores::{Cores, on};
use super::goals;
use super::report::{Report, Table};
use super::sample::Plan;
use super::server::Server;
use crate::{guests, places};
use rows::{Programs, ROWS, Row};

/// Host calls that the filter makes for each request in the rows about calls.
pub(super) const CALLS: u32 = 1000;

/// What rows are compared with.
const TABLE: Table = Table { limit: None, peer: "envoy", goals: goals::FILTER };

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often each row is measured. What is reported is the middle.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each measurement is, after a second of load that does not count.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Write everything that was measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure the programs that were built before.
    #[arg(long)]
    no_build: bool,
    /// Measure only these rows.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
}

/// Measures the rows and prints the table.
pub(super) fn run(options: &Options) -> Result<()> {
    let known = |name: &&String| ROWS.iter().all(|row| row.name != **name);
    if let Some(unknown) = options.only.iter().find(known) {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        bail!("there is no row `{unknown}`; there are {}", names.join(", "));
    }
    let wanted =
        |row: &&Row| options.only.is_empty() || options.only.iter().any(|name| name == row.name);
    let rows: Vec<&Row> = ROWS.iter().filter(wanted).collect();
    let cores = Cores::find()?;
    if !options.no_build {
        guests::build(&guests::Options { rust_only: true, ..Default::default() })?;
        super::http::build(&["wharf", "bench-hyper", "bench-load"])?;
    }
    let release = places::target().join("release");
    // Where proxied requests go. It shares a core with the load, as both are not measured.
    let hyper = release.join("bench-hyper");
    let upstream = on(cores.load, || Server::start(&mut Command::new(&hyper)))?;
    let programs = Programs {
        wharf: release.join("wharf"),
        envoy: envoy::program()?,
        upstream: upstream.address(),
    };
    let plan = Plan {
        rounds: options.rounds,
        seconds: options.seconds,
        load: release.join("bench-load"),
        cores,
    };
    let measured = plan.measure(&rows, |row| row.ask(), |row| row.start(&programs))?;
    let report = Report { rows: &measured, starts: &[], table: &TABLE };
    report.print(cores);
    report.write(options.json.as_deref(), &plan).context("the figures were not written")
}
