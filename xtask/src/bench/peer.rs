//! The `wasmtime` program: given, found, or built once and kept.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::places;
use crate::steps::{cargo, find, read, run, step};

/// The version that Wharf is built on, and therefore compared with.
const VERSION: &str = "48.0.8";

/// Where `wasmtime` of the right version is. Builds it if it is nowhere.
pub(super) fn wasmtime(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        let version = read(std::process::Command::new(given).arg("--version"))?;
        eprintln!("    comparing with {version}");
        return Ok(given.to_owned());
    }
    let tools = places::cache().join("tools");
    let kept = tools.join("bin/wasmtime");
    let candidates = [Some(kept.clone()), find("wasmtime")];
    if let Some(found) = candidates.into_iter().flatten().find(|program| is_right(program)) {
        return Ok(found);
    }
    eprintln!("    no wasmtime {VERSION} here; building it takes many minutes, once");
    step("wasmtime, to compare with", || {
        let build = tools.join("build");
        // Its default features: what everybody who installs it runs.
        let mut install = cargo(&["install", "--locked", "--version", VERSION, "wasmtime-cli"]);
        install.arg("--root").arg(&tools).env("CARGO_TARGET_DIR", &build);
        run(&mut install)?;
        std::fs::remove_dir_all(&build)?;
        Ok(())
    })?;
    match is_right(&kept) {
        true => Ok(kept),
        false => bail!("{} is not wasmtime {VERSION}", kept.display()),
    }
}

fn is_right(program: &Path) -> bool {
    if !program.is_file() {
        return false;
    }
    let version = read(std::process::Command::new(program).arg("--version"));
    version.is_ok_and(|version| version.split_whitespace().nth(1) == Some(VERSION))
}
