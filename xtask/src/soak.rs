//! The long forms of tests that `cargo xtask test` runs in a short one.
use anyhow::Result;

use crate::steps::{cargo, run, step};
use crate::{bench, guests, places, setup};

/// How long and how often.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often a writing host is killed.
    #[arg(long, default_value_t = 50)]
    crashes: u32,
    /// For how many seconds a good component is served beside hostile ones.
    #[arg(long, default_value_t = 120)]
    seconds: u32,
}

/// Runs every campaign, to its end.
pub(crate) fn campaigns(options: &Options) -> Result<()> {
    setup::everything()?;
    guests::build(&guests::Options { rust_only: true, ..Default::default() })?;
    step("a writing host is killed", || {
        // Of the whole workspace, because a package alone is built with other features, all anew.
        let test = ["test", "--workspace", "--test", "conformance", "--", "crash"];
        run(cargo(&test).env("WHARF_CRASH_ROUNDS", options.crashes.to_string()))?;
        let test = ["test", "--workspace", "--test", "integration", "--", "keyvalue::killed"];
        run(cargo(&test).env("WHARF_CRASH_ROUNDS", options.crashes.to_string()))
    })?;
    bench::build()?;
    step("a good component beside hostile ones", || {
        // The tests as they are, about the program as it is released.
        let program = places::target().join("release/wharf");
        let test = ["test", "--workspace", "--test", "integration"];
        let only = ["--", "neighbours", "--nocapture"];
        let arguments: Vec<&str> = test.into_iter().chain(only).collect();
        let mut test = cargo(&arguments);
        test.env("WHARF_SOAK_SECONDS", options.seconds.to_string());
        run(test.env("WHARF_PROGRAM", program))
    })
}
