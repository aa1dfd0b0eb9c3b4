//! The tasks of this repository, run as `cargo xtask TASK`.
#![expect(clippy::print_stderr, reason = "a task tells its user what it does")]

mod bench;
mod ci;
mod demo;
mod guests;
mod places;
mod setup;
mod soak;
mod steps;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// The tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Install what is missing on a Debian machine that has nothing but Rust.
    Setup,
    /// Build every guest into `TARGET/guests`.
    Guests(guests::Options),
    /// Set up, build the guests, and run tidy, clippy and every test.
    Test,
    /// Everything `test` does, and formatting, documentation and dependencies.
    Ci,
    /// Serve `examples/guestbook`, built for release.
    Demo(demo::Options),
    /// Measure Wharf beside its peers, or its own parts.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// The long forms of tests: crashes, hostile neighbours.
    Soak(soak::Options),
    /// Check sizes, first sentences, names and the arrows between crates.
    Tidy,
}

fn main() -> ExitCode {
    match run(Task::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Setup => setup::everything(),
        Task::Guests(options) => guests::build(&options),
        Task::Test => ci::test(),
        Task::Ci => ci::everything(),
        Task::Demo(options) => demo::show(&options),
        Task::Bench(bench) => bench::run(&bench),
        Task::Soak(options) => soak::campaigns(&options),
        Task::Tidy => tidy::check(),
    }
}
