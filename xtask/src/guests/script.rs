//! Guests whose tools come from PyPI and npm: slow to make, so each is kept under its key.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{collect, keyed, tools};
use crate::places;
use crate::steps::{run_quietly, step};

/// Builds the guests in Python and JavaScript that changed since they were made.
pub(super) fn build() -> Result<()> {
    one("hello-python", "python/hello-python", &[PYTHON], python)?;
    one("hello-js", "js/hello-js", &[], javascript)
}

/// One guest, made from its folder and from the tools that `words` name.
fn one(
    name: &str,
    folder: &str,
    words: &[&str],
    make: fn(&Path, &Path) -> Result<()>,
) -> Result<()> {
    let folder = places::root().join("guests").join(folder);
    let key = keyed::key(words, &[&folder, &wit()])?;
    let file = keyed::file(&format!("guests/{name}"), &key, |place| {
        step(&format!("guest {name}"), || make(&folder, place))
    })?;
    collect(&file, &places::guests(), name)
}

/// The world that both are made for.
fn wit() -> PathBuf {
    places::root().join("guests/wit/web")
}

const PYTHON: &str = "componentize-py==0.25.1";

/// `app.py` with the world of a web program.
fn python(folder: &Path, place: &Path) -> Result<()> {
    let tools = tools::python("python", PYTHON)?;
    let mut build = Command::new(tools.join("componentize-py"));
    build.arg("-d").arg(wit()).args(["-w", "hello", "componentize", "app", "-o"]).arg(place);
    // What Python leaves beside the source would change the key of the next time.
    run_quietly(build.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(folder))
}

/// `app.js` with the world of a web program.
fn javascript(folder: &Path, place: &Path) -> Result<()> {
    let lock = fs::read_to_string(folder.join("package-lock.json")).context("no lock of npm")?;
    let tools = keyed::folder("npm", &keyed::key(&[&lock], &[])?, |place| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(folder.join(file), place.join(file))?;
        }
        // Not `npm ci`: it wants the optional binaries of every other platform in the lock.
        let install = ["install", "--silent", "--no-save", "--no-audit", "--no-fund"];
        run_quietly(tools::node("npm")?.args(install).current_dir(place))
    })?;
    let jco = tools.join("node_modules/.bin/jco");
    let mut build = tools::node(&jco.to_string_lossy())?;
    build.args(["componentize", "app.js", "--world-name", "hello", "--wit"]).arg(wit());
    run_quietly(build.arg("--out").arg(place).current_dir(folder))
}
