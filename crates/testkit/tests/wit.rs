//! The interfaces that we serve are, to the letter, those that guests were built with.
//!
//! Our texts have our own comments. What counts are the types, so both sides are parsed and
//! printed again without comments, and compared as text.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "it is how a test fails"
)]

use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use wit_component::WitPrinter;
use wit_parser::{PackageId, Resolve};

/// A text of ours, by its folder within `crates/`.
fn ours(folder: &str) -> String {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    types(&crates.join(folder))
}

/// The folder of a text that guests are built with.
fn guests(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/wit").join(name)
}

/// A text in a published crate, by the path within it.
fn published(package: &str, path: &str) -> String {
    types(&source_of(package).join(path))
}

/// Where cargo keeps the sources of a crate that this one names as a dependency.
fn source_of(package: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let found = packages.iter().find(|found| found["name"] == package).unwrap();
    Path::new(found["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

/// The types of the package at `path`, in the order of the interfaces' names.
fn types(path: &Path) -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(path).unwrap_or_else(|error| panic!("{error:?}"));
    print(resolve, package)
}

fn print(mut resolve: Resolve, package: PackageId) -> String {
    resolve.packages[package].interfaces.sort_keys();
    resolve.packages[package].worlds.sort_keys();
    let mut printer = WitPrinter::default();
    printer.emit_docs(false).print(&resolve, package, &[]).unwrap();
    let text = printer.output.to_string();
    // When something was added says nothing about what it is.
    text.lines()
        .filter(|line| !line.trim().starts_with("@since"))
        .map(|l| format!("{l}\n"))
        .collect()
}

/// The text without the line that names the package.
fn body(text: &str) -> &str {
    let (package, body) = text.split_once('\n').unwrap();
    assert!(package.starts_with("package "), "{package}");
    body
}

/// The lines that only one side has.
fn differences<'a>(left: &'a str, right: &'a str) -> BTreeSet<&'a str> {
    let lines = |text: &'a str| text.lines().map(str::trim).collect::<BTreeSet<_>>();
    lines(left).symmetric_difference(&lines(right)).copied().collect()
}

#[test]
fn keyvalue_draft_is_the_one_that_wasmtime_and_wasmcloud_ship() {
    let ours = ours("keyvalue/wit/draft");
    assert_eq!(ours, published("wasmtime-wasi-keyvalue", "wit/deps/keyvalue"));
    assert_eq!(ours, published("wasmcloud-component", "wit/deps/keyvalue"));
}

#[test]
fn keyvalue_draft2_differs_from_draft_by_cursors_signed_counters_and_cas_alone() {
    let (draft, draft2) = (ours("keyvalue/wit/draft"), ours("keyvalue/wit/draft2"));
    let expected = BTreeSet::from([
        "package wasi:keyvalue@0.2.0-draft;",
        "package wasi:keyvalue@0.2.0-draft2;",
        "cursor: option<u64>,",
        "cursor: option<string>,",
        "list-keys: func(cursor: option<u64>) -> result<key-response, error>;",
        "list-keys: func(cursor: option<string>) -> result<key-response, error>;",
        "increment: func(bucket: borrow<bucket>, key: string, delta: u64) -> result<u64, error>;",
        "increment: func(bucket: borrow<bucket>, key: string, delta: s64) -> result<s64, error>;",
        "variant cas-error {",
        "store-error(error),",
        "cas-failed(cas),",
        "resource cas {",
        "new: static func(bucket: borrow<bucket>, key: string) -> result<cas, error>;",
        "current: func() -> result<option<list<u8>>, error>;",
        "swap: func(cas: cas, value: list<u8>) -> result<_, cas-error>;",
    ]);
    assert_eq!(differences(&draft, &draft2), expected);
}

#[test]
fn the_streams_of_the_old_keyvalue_draft_are_those_of_wasmtime() {
    let ours = ours("keyvalue/wit/draft-old/deps/io");
    assert!(ours.starts_with("package wasi:io@0.2.0;"));
    let theirs = published("wasmtime-wasi-io", "wit/deps/io.wit");
    assert_eq!(body(&ours), body(&theirs));
}

#[test]
fn the_old_keyvalue_draft_stays_as_its_specification_had_it() {
    // No published crate carries this text any more. The digest was taken when it was compared
    // with the specification as of 2024-02-20.
    let text = ours("keyvalue/wit/draft-old");
    let (before, rest) = text.split_once("interface cache {\n").unwrap();
    let (cache, after) = rest.split_once("\n}\n\n").unwrap();
    let digest = Sha256::digest(format!("{before}{after}"));
    let expected = "aeeef2da4836bbee44ca1b619fcf729b3dbab03386b483ac5166ce639f71a7ec";
    assert_eq!(format!("{digest:x}"), expected);
    // The caches of the same day were in the package and in none of its worlds.
    let digest = Sha256::digest(cache);
    let expected = "0fb8b9fb911ff47bfb356da66dce8fb99dff1ac183fa9c510b5ffc7911967233";
    assert_eq!(format!("{digest:x}"), expected);
}

#[test]
fn wasmclouds_keyvalue_stays_as_its_vendor_has_it() {
    // No published crate carries this version. The digest was taken when it was compared with the
    // vendor's text as of August 2026.
    let ours = ours("keyvalue/wit/wasmcloud");
    assert_eq!(ours, types(&guests("keyvalue-wasmcloud")));
    let expected = "235342e02806c1e56466a3a941883d03f573bcbb520fe194ab541aae0fd4c5da";
    assert_eq!(format!("{:x}", Sha256::digest(ours)), expected);
}

#[test]
fn messaging_stays_as_its_specification_has_it() {
    // No published crate carries these versions. The texts of the guests are those of the
    // proposal's main branch of 2024-12-04, and of the vendor's package.
    assert_eq!(ours("messaging/wit/draft"), types(&guests("messaging-draft")));
    assert_eq!(ours("messaging/wit/wasmcloud"), types(&guests("messaging-wasmcloud")));
    // Those of the proposal as of 2024-02-20, of the vendor's package as of August 2026, and of
    // Spin 2 and 4.
    assert_eq!(ours("messaging/wit/draft-old"), types(&guests("messaging-draft-old")));
    assert_eq!(ours("messaging/wit/wasmcloud3"), types(&guests("messaging-wasmcloud3")));
    assert_eq!(ours("messaging/wit/spin2"), types(&guests("messaging-spin2")));
    assert_eq!(ours("messaging/wit/spin3"), types(&guests("messaging-spin3")));
    let ours_async = ours("messaging/wit/wharf");
    assert_eq!(ours_async, types(&guests("messaging-wharf")));
    // That of WASI 0.2 is the same without `async`.
    let ours_sync = ours("messaging/wit/wharf-sync");
    assert_eq!(ours_sync, ours_async.replace("async func", "func"));
    assert_eq!(ours_sync, types(&guests("messaging-wharf-sync")));
}

#[test]
fn config_is_the_one_that_wasmtime_and_wasmcloud_ship() {
    assert_eq!(ours("config/wit/rc1"), published("wasmtime-wasi-config", "wit/deps/config"));
    assert_eq!(ours("config/wit/draft"), published("wasmcloud-component", "wit/deps/config"));
}

#[test]
fn the_drafts_of_config_differ_in_names_alone() {
    let rc1 = ours("config/wit/rc1");
    let dated = ours("config/wit/draft-2024-09-27");
    assert!(dated.starts_with("package wasi:config@0.2.0-draft-2024-09-27;"));
    assert_eq!(body(&rc1), body(&dated));

    let old = ours("config/wit/draft-old");
    assert!(old.starts_with("package wasi:config@0.2.0-draft;"));
    let renamed = old.replace("config-error", "error").replace("runtime", "store");
    assert_eq!(body(&rc1), body(&renamed));
}

#[test]
fn logging_is_the_one_that_wasmcloud_ships_with_and_without_a_version() {
    let draft = ours("telemetry/wit/logging-draft");
    assert_eq!(draft, published("wasmcloud-component", "wit/deps/logging"));
    let unversioned = ours("telemetry/wit/logging");
    assert!(unversioned.starts_with("package wasi:logging;"));
    assert_eq!(body(&unversioned), body(&draft));
}
