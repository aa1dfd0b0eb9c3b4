//! The compiler for guests: rustup's where it has the targets, else one made of Debian's packages.
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{keyed, tools};
use crate::setup;
use crate::steps::{self, cargo, command};

/// Debian's compiler for the web, and the standard library that it can build for itself.
const RUSTC: &str = "/usr/bin/rustc";
const SOURCES: &str = "/usr/lib/rustlib/src/rust/library/std";

/// A prebuilt wasi-libc: start files and `libc.a`.
const LIBC: &str = "@yowasp/clang@22.0.0-git20542-10";
const LIBC_FILES: [&str; 3] = ["crt1-command.o", "crt1-reactor.o", "libc.a"];

/// The compiler to set as `RUSTC`, or `None` where cargo's own has all the targets.
pub(super) fn compiler(targets: &[&str], cached: bool) -> Result<Option<PathBuf>> {
    // Where Debian's compiler is, rustup was asked before and could not.
    let asked = Path::new(RUSTC).exists() && Path::new(SOURCES).exists();
    if !cached && (installed(targets) || !asked && add(targets)) {
        return Ok(None);
    }
    setup::packages(&["rustc-web", "rust-web-src"])?;
    ensure!(Path::new(SOURCES).exists(), "no sources of the standard library at {SOURCES}");
    let version = steps::read(&mut command(RUSTC, &["-vV"]))?;
    let linkers = linkers()?;
    let words = [&version, &linkers.to_string_lossy() as &str, LIBC, "1"];
    let key = keyed::key(&[&words[..], targets].concat(), &[])?;
    let make = |place: &Path| make(place, &version, &linkers, targets);
    let toolchain = keyed::folder("rust-for-guests", &key, make)?;
    Ok(Some(toolchain.join("bin/rustc")))
}

/// Whether cargo's own compiler has a standard library for every target.
fn installed(targets: &[&str]) -> bool {
    targets.iter().all(|target| {
        let arguments = ["--print", "target-libdir", "--target", target];
        let folder = steps::read(&mut command("rustc", &arguments));
        folder.is_ok_and(|folder| Path::new(&folder).is_dir())
    })
}

/// Asks rustup for the targets, where there is one and it can reach its server.
fn add(targets: &[&str]) -> bool {
    let arguments = [&["90", "rustup", "target", "add"], targets].concat();
    steps::succeeds(&mut command("timeout", &arguments)) && installed(targets)
}

/// The folder of the linkers that every Rust toolchain brings along.
fn linkers() -> Result<PathBuf> {
    let folder = linker_folder()?;
    for linker in ["rust-lld", "gcc-ld/wasm-ld", "wasm-component-ld"] {
        ensure!(folder.join(linker).exists(), "the Rust toolchain lacks {linker}");
    }
    Ok(folder)
}

/// Where the linkers of cargo's own toolchain lie.
pub(super) fn linker_folder() -> Result<PathBuf> {
    let sysroot = steps::read(&mut command("rustc", &["--print", "sysroot"]))?;
    let version = steps::read(&mut command("rustc", &["-vV"]))?;
    Ok(Path::new(&sysroot).join("lib/rustlib").join(host(&version)?).join("bin"))
}

fn host(version: &str) -> Result<&str> {
    version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")
}

fn make(place: &Path, version: &str, linkers: &Path, targets: &[&str]) -> Result<()> {
    let host = host(version)?;
    let rustlib = place.join("lib/rustlib");
    fs::create_dir_all(place.join("bin"))?;
    fs::create_dir_all(rustlib.join(host).join("bin"))?;
    symlink(format!("/usr/lib/rustlib/{host}/lib"), rustlib.join(host).join("lib"))?;
    for linker in ["rust-lld", "gcc-ld/wasm-ld", "wasm-component-ld"] {
        let linker = linkers.join(linker);
        let name = linker.file_name().context("a linker without a name")?;
        symlink(&linker, rustlib.join(host).join("bin").join(name))?;
    }

    let work = place.join("work");
    standard_library(&work, targets)?;
    let libc = libc(&work)?;
    for target in targets {
        let lib = rustlib.join(target).join("lib");
        fs::create_dir_all(lib.join("self-contained"))?;
        let built = work.join("target").join(target).join("release/deps");
        for file in fs::read_dir(&built)? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(".rlib") && !name.starts_with("libseed") {
                fs::copy(file.path(), lib.join(name))?;
            }
        }
        // A target without WASI has no library of C.
        let files = if target.contains("wasi") { &LIBC_FILES[..] } else { &[] };
        for file in files {
            fs::copy(libc.join(file), lib.join("self-contained").join(file))?;
        }
    }
    fs::remove_dir_all(&work)?;

    let wrapper = place.join("bin/rustc");
    let script = format!("#!/bin/sh\nexec {RUSTC} --sysroot '{}' \"$@\"\n", place.display());
    fs::write(&wrapper, script)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Builds `std` for the targets, by building an empty crate.
fn standard_library(work: &Path, targets: &[&str]) -> Result<()> {
    fs::create_dir_all(work.join("src"))?;
    fs::write(work.join("src/lib.rs"), "#![no_std]\n")?;
    let manifest = "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
                    [profile.release]\npanic = \"abort\"\n[workspace]\n";
    fs::write(work.join("Cargo.toml"), manifest)?;
    let mut build = cargo(&["build", "--quiet", "--release", "-Zbuild-std=std,panic_abort"]);
    for target in targets {
        build.args(["--target", target]);
    }
    build.current_dir(work).env("CARGO_TARGET_DIR", work.join("target"));
    // A released compiler builds its own standard library only with this.
    build.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", RUSTC).env("RUSTFLAGS", "-Cembed-bitcode=yes");
    steps::run(&mut build)
}

/// Unpacks the start files and the C library of WASI; answers where.
fn libc(work: &Path) -> Result<PathBuf> {
    steps::run_quietly(tools::node("npm")?.args(["pack", "--silent", LIBC]).current_dir(work))?;
    let archive = fs::read_dir(work)?.filter_map(Result::ok).map(|entry| entry.path());
    let archive = archive.into_iter().find(|path| path.extension().is_some_and(|it| it == "tgz"));
    let archive = archive.context("npm pack left no archive")?;
    let untar = |arguments: &[&str]| {
        steps::run_quietly(Command::new("tar").args(arguments).current_dir(work))
    };
    let inside = "package/gen/llvm-resources.tar";
    untar(&["xzf", &archive.to_string_lossy(), inside])?;
    let folder = "lib/wasm32-wasip1";
    let [command, reactor, library] = LIBC_FILES.map(|file| format!("{folder}/{file}"));
    untar(&["xf", inside, &command, &reactor, &library])?;
    Ok(work.join(folder))
}
