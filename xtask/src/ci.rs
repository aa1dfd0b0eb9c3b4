//! What must pass before anything is shared.
use std::path::PathBuf;

use anyhow::Result;

use crate::steps::{cargo, run, step, succeeds};
use crate::{guests, places, setup, tidy};

/// What `.ci/run` runs, on a machine that has nothing but Rust too.
pub(crate) fn test() -> Result<()> {
    setup::everything()?;
    tidy::check()?;
    guests::build(&guests::Options::default())?;
    step("clippy", || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        run(&mut cargo(&arguments))
    })?;
    step("tests", || run(&mut cargo(&["test", "--workspace", "--no-fail-fast"])))
}

/// The tests, and what need not be looked at before every commit.
pub(crate) fn everything() -> Result<()> {
    step("formatting", || {
        run(&mut cargo(&["fmt", "--all", "--check"]))?;
        let guests = places::root().join("guests");
        run(cargo(&["fmt", "--all", "--check"]).current_dir(guests))
    })?;
    test()?;
    step("documentation", || {
        let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
        run(doc.env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    step("licences, bans and sources of dependencies", || {
        let mut deny = crate::steps::command(&deny()?.to_string_lossy(), &[]);
        run(deny.args(["check", "bans", "licenses", "sources"]))
    })
}

const DENY: &str = "0.20.2";

/// cargo-deny: the one that is installed, else one of our own in the cache.
fn deny() -> Result<PathBuf> {
    if succeeds(&mut cargo(&["deny", "--version"])) {
        return Ok("cargo-deny".into());
    }
    let tools = places::cache().join("tools").join(format!("cargo-deny-{DENY}"));
    let program = tools.join("bin/cargo-deny");
    if !program.is_file() {
        let mut install =
            cargo(&["install", "cargo-deny", "--version", DENY, "--locked", "--root"]);
        run(install.arg(&tools))?;
    }
    Ok(program)
}
