//! Builds every guest and collects them in one folder.
mod c;
mod keyed;
mod rust;
mod script;
mod toolchain;
pub(crate) mod tools;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::steps::step;

/// How to build guests.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Only those in Rust, which need nothing but its targets.
    #[arg(long)]
    pub(crate) rust_only: bool,
    /// Build Rust with the cached toolchain although rustup has the targets.
    #[arg(long)]
    pub(crate) cached_toolchain: bool,
}

/// Builds all guests that changed.
pub(crate) fn build(options: &Options) -> Result<()> {
    step("guests in Rust", || rust::build(options.cached_toolchain, None))?;
    if !options.rust_only {
        step("guests in C", c::build)?;
        step("guests in other languages", script::build)?;
    }
    Ok(())
}

/// Builds the guest of one example alone.
pub(crate) fn build_example(name: &str) -> Result<()> {
    step("guests of the example", || rust::build(false, Some(name)))
}

/// Puts a finished guest where tests look for it. An unchanged one keeps its time.
fn collect(file: &Path, folder: &Path, name: &str) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("no guest at {}", file.display()))?;
    let place = folder.join(name).with_extension("wasm");
    if fs::read(&place).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    // Renamed into place: a test that runs meanwhile sees the old guest or the new one.
    fs::create_dir_all(folder)?;
    let part = place.with_extension("part");
    fs::write(&part, bytes)?;
    fs::rename(&part, &place).with_context(|| format!("failed to write {}", place.display()))
}
