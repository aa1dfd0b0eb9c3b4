//! The long forms of tests that `cargo xtask test` runs in a short one.
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::steps::{cargo, run, run_quietly, step};
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
    /// How many messages go through a file.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// For how many seconds filters are given random streams, calls and bytes.
    #[arg(long, default_value_t = 600)]
    fuzz_seconds: u64,
}

/// What is random in the crate of filters: streams and host calls, texts of expressions, maps and
/// buffers.
const FUZZ: &[&[&str]] = &[
    &["--test", "spec", "--", "random::", "any_text_is_answered"],
    &["--lib", "--", "pieces_are_as_good_as_one", "is_read"],
];
/// How many cases each of them tries in one run.
const CASES: &str = "4000";

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
    step("many messages whose handlers fail at random", || {
        let test = ["test", "--workspace", "--test", "conformance", "--", "flood", "--nocapture"];
        run(cargo(&test).env("WHARF_FLOOD_MESSAGES", options.messages.to_string()))
    })?;
    step("random streams and host calls of filters", || {
        let end = Instant::now() + Duration::from_secs(options.fuzz_seconds);
        // Each run takes other random numbers; one that fails says them.
        while Instant::now() < end {
            for tests in FUZZ {
                let words: Vec<&str> =
                    ["test", "--workspace"].iter().chain(*tests).copied().collect();
                run_quietly(cargo(&words).env("PROPTEST_CASES", CASES))?;
            }
        }
        Ok(())
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
