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

/// Builds every folder of `guests/c`: its `.c` files and the bindings in `gen`. One without
/// bindings is a program of WASI's first preview.
pub(super) fn build() -> Result<()> {
    setup::packages(PACKAGES)?;
    let linkers = toolchain::linker_folder()?;
    for entry in fs::read_dir(places::root().join("guests/c"))? {
        let folder = entry?.path();
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else { continue };
        let key = keyed::key(&["clang-22", &linkers.to_string_lossy()], &[&folder])?;
        let make = |place: &Path| match folder.join("gen").is_dir() {
            true => component(&folder, &linkers, place),
            false => program(&folder, &linkers, place),
        };
        let file = keyed::file(&format!("guests/{name}"), &key, make)?;
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
