//! Guests in C: clang, a WASI libc, and the linker of the Rust toolchain that makes components.
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{collect, keyed, toolchain};
use crate::places;
use crate::setup;
use crate::steps::{command, run};

const PACKAGES: &[&str] = &["clang-22", "lld-22", "wasi-libc", "libclang-rt-22-dev-wasm32"];

/// What the filters share.
const INCLUDE: &str = "guests/filters/include";

/// Builds every folder of `guests/c`, its `.c` files and the bindings in `gen`; one without
/// bindings is a program of WASI's first preview. Then those of `guests/filters/c`, as filters.
pub(super) fn build() -> Result<()> {
    setup::packages(PACKAGES)?;
    let linkers = toolchain::linker_folder()?;
    each("guests/c", &[], &linkers, |folder, place| match folder.join("gen").is_dir() {
        true => component(folder, &linkers, place),
        false => program(folder, &linkers, place),
    })?;
    let include = places::root().join(INCLUDE);
    each("guests/filters/c", &[&include], &linkers, |folder, place| {
        filter(folder, &include, &linkers, place)
    })
}

/// Makes every guest of a folder that changed, or whose `shared` files did.
fn each(
    place: &str,
    shared: &[&Path],
    linkers: &Path,
    make: impl Fn(&Path, &Path) -> Result<()>,
) -> Result<()> {
    for entry in fs::read_dir(places::root().join(place))? {
        let folder = entry?.path();
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else { continue };
        let folders = [&[folder.as_path()], shared].concat();
        let key = keyed::key(&["clang-22", &linkers.to_string_lossy()], &folders)?;
        let file = keyed::file(&format!("guests/{name}"), &key, |file| make(&folder, file))?;
        collect(&file, &places::guests(), name)?;
    }
    Ok(())
}

fn clang(linkers: &Path, linker: &str, place: &Path) -> Result<Command> {
    let mut clang = command(
        "clang-22",
        &["--target=wasm32-wasi", "-Os", "-s", "--no-wasm-opt", "-Wno-deprecated"],
    );
    clang.arg(format!("-fuse-ld={}", linkers.join(linker).display())).arg("-o").arg(place);
    clang.env("PATH", path_with(linkers.join("gcc-ld"))?);
    Ok(clang)
}

fn program(folder: &Path, linkers: &Path, place: &Path) -> Result<()> {
    run(clang(linkers, "gcc-ld/wasm-ld", place)?.args(sources(folder)?))
}

/// A module whose exports are those that its source names: each filter starts in its own way.
fn filter(folder: &Path, include: &Path, linkers: &Path, place: &Path) -> Result<()> {
    let mut clang = clang(linkers, "gcc-ld/wasm-ld", place)?;
    clang.args(["-Wall", "-nostartfiles", "-Wl,--no-entry", "-I"]).arg(include);
    run(clang.args(sources(folder)?))
}

fn component(folder: &Path, linkers: &Path, place: &Path) -> Result<()> {
    let mut clang = clang(linkers, "wasm-component-ld", place)?;
    // A reactor is called many times; the adapter for proxies imports nothing that those lack.
    clang.args(["-mexec-model=reactor", "-Wl,--wasi-adapter=proxy"]);
    run(clang.args(sources(folder)?).args(sources(&folder.join("gen"))?))
}

/// What clang takes: sources, and the object that carries the component's type.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = files.collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|kind| kind == "c" || kind == "o"));
    files.sort();
    Ok(files)
}

fn path_with(first: PathBuf) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(std::iter::once(first).chain(env::split_paths(&path)))?)
}
