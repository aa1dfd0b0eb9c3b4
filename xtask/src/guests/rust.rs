//! Guests in Rust: one workspace, plain `cargo build` for each target.
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{collect, toolchain};
use crate::places;
use crate::steps::{self, cargo};

/// What a guest is built for unless its `package.metadata.guest.target` says otherwise.
const COMPONENT: &str = "wasm32-wasip2";
const TARGETS: [&str; 3] = [COMPONENT, "wasm32-wasip1", "wasm32-unknown-unknown"];

/// Builds the workspace `guests/` with the guests of the examples, or the package `only` alone.
pub(super) fn build(cached: bool, only: Option<&str>) -> Result<()> {
    let compiler = toolchain::compiler(&TARGETS, cached)?;
    let mut guests = guests()?;
    guests.retain(|guest| only.is_none_or(|name| name == guest.name));
    for target in TARGETS {
        let here: Vec<&Guest> = guests.iter().filter(|guest| guest.target == target).collect();
        if here.is_empty() {
            continue;
        }
        let mut build = cargo(&["build", "--release", "--target", target]);
        build.current_dir(folder()).env("CARGO_TARGET_DIR", build_folder());
        // Flags that mean the host would hit the guests too, and build them all twice.
        build.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        if let Some(compiler) = &compiler {
            build.env("RUSTC", compiler);
        }
        for guest in &here {
            build.args(["--package", &guest.name]);
        }
        steps::run(&mut build)?;
        for guest in here {
            let file = build_folder().join(target).join("release").join(&guest.file);
            collect(&file, &places::guests(), &guest.name)?;
            if let Some(example) = &guest.example {
                collect(&file, example, &guest.name)?;
            }
        }
    }
    Ok(())
}

fn folder() -> PathBuf {
    places::root().join("guests")
}

fn build_folder() -> PathBuf {
    places::target().join("guests-build")
}

/// One package that becomes a guest.
struct Guest {
    name: String,
    /// What the compiler calls the result.
    file: String,
    target: &'static str,
    /// The folder of the example that it belongs to.
    example: Option<PathBuf>,
}

/// Every package of the workspace that is linked: a program or a dynamic library.
fn guests() -> Result<Vec<Guest>> {
    let mut metadata = cargo(&["metadata", "--format-version=1", "--no-deps"]);
    let text = steps::read(metadata.current_dir(folder()))?;
    let metadata: Value = serde_json::from_str(&text)?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    let packages = packages.context("metadata without packages")?;
    Ok(packages.iter().filter_map(guest).collect())
}

fn guest(package: &Value) -> Option<Guest> {
    let text = |path: &str| package.pointer(path).and_then(Value::as_str);
    let name = text("/name")?.to_owned();
    let targets = package.get("targets")?.as_array()?.iter();
    let file = targets.filter_map(|target| target.pointer("/kind/0")?.as_str()).find_map(
        |kind| match kind {
            "bin" => Some(format!("{name}.wasm")),
            "cdylib" => Some(format!("{}.wasm", name.replace('-', "_"))),
            _ => None,
        },
    )?;
    let wanted = text("/metadata/guest/target").unwrap_or(COMPONENT);
    let target = TARGETS.into_iter().find(|target| *target == wanted)?;
    let manifest = Path::new(text("/manifest_path")?);
    let example = manifest.ancestors().nth(2).filter(|_| !manifest.starts_with(folder()));
    Some(Guest { name, file, target, example: example.map(Path::to_owned) })
}
