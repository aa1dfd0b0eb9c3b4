//! Which crate may depend on which: nothing points up.
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use toml::Table;

/// A capability: its contract knows nothing of Wasmtime, which only its feature `host` brings.
const CAPABILITIES: [&str; 9] =
    ["blobstore", "cache", "config", "http", "keyvalue", "lock", "messaging", "sql", "telemetry"];

/// Capabilities whose interfaces share a package, and so its values: the first binds both.
const SHARED: [(&str, &str); 1] = [("keyvalue", "cache")];

/// What each crate but the capabilities may use of ours, and whether it may use Wasmtime.
const OTHERS: [(&str, &[&str], bool); 8] = [
    ("base", &[], false),
    ("connect", &["base"], false),
    ("engine", &["base"], true),
    ("filter", &["base"], true),
    ("gateway", &["base", "connect", "engine", "filter", "http"], true),
    ("deployment", &["base"], false),
    ("testkit", &["base"], false),
    ("xtask", &[], false),
];

/// Crates at the top: they may use whatever is below, and Wasmtime.
const TOP: [&str; 3] = ["cli", "benches", "embed"];

/// Never used by what others get, only by tests and benchmarks.
const FOR_TESTS: &str = "testkit";

/// Every arrow of the workspace that points where it may not.
pub(super) fn problems(root: &Path) -> Result<Vec<String>> {
    let mut manifests = vec![root.join("benches"), root.join("examples/embed"), root.join("xtask")];
    for entry in fs::read_dir(root.join("crates"))? {
        manifests.push(entry?.path());
    }
    let ours: Vec<String> = manifests.iter().map(|folder| file_name(folder)).collect();
    let mut problems = Vec::new();
    for folder in manifests {
        let manifest = folder.join("Cargo.toml");
        let text = fs::read_to_string(&manifest);
        let text = text.with_context(|| format!("failed to read {}", manifest.display()))?;
        let table: Table = toml::from_str(&text)?;
        problems.extend(of_crate(&file_name(&folder), &table, &ours));
    }
    Ok(problems)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The wrong arrows of one crate.
fn of_crate(name: &str, manifest: &Table, ours: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut wrong = |what: String| problems.push(format!("{name}/Cargo.toml: {what}"));
    let capability = CAPABILITIES.contains(&name);
    let rule = OTHERS.iter().find(|(other, ..)| *other == name);
    if !capability && rule.is_none() && !TOP.contains(&name) {
        wrong("a crate that no rule of tidy knows".to_owned());
        return problems;
    }
    for (dependency, value) in dependencies(manifest, "dependencies") {
        let optional = value.get("optional").and_then(toml::Value::as_bool) == Some(true);
        let wasmtime = dependency.starts_with("wasmtime") || dependency == "engine";
        let ours = ours.contains(dependency);
        if dependency == FOR_TESTS && name != FOR_TESTS && name != "benches" {
            wrong(format!("{FOR_TESTS} is for tests alone"));
        } else if capability {
            let shared = SHARED.contains(&(name, dependency.as_str()));
            let allowed = ["base", "connect", "engine"].contains(&dependency.as_str());
            if shared && !optional {
                wrong(format!("{dependency} comes with the feature \"host\" alone"));
            }
            if ours && !allowed && !shared {
                wrong(format!("a capability does not use {dependency}"));
            }
            if wasmtime && !optional {
                wrong(format!("{dependency} comes with the feature \"host\" alone"));
            }
        } else if let Some((_, allowed, with_wasmtime)) = rule {
            let allowed = allowed.contains(&dependency.as_str());
            if ours && !allowed {
                wrong(format!("it does not use {dependency}"));
            }
            if wasmtime && !with_wasmtime && !allowed {
                wrong(format!("no WebAssembly here, so no {dependency}"));
            }
        }
    }
    for (dependency, _) in dependencies(manifest, "build-dependencies") {
        wrong(format!("nothing is generated while building, so no {dependency}"));
    }
    for (dependency, _) in dependencies(manifest, "dev-dependencies") {
        if ours.contains(dependency) && !may_test_with(name, dependency) {
            wrong(format!("its tests do not use {dependency}"));
        }
    }
    problems
}

/// What the tests of a crate may use of ours: what is below it, even where the crate itself does
/// without, and what is for tests. Cargo would let them use what is above.
fn may_test_with(name: &str, dependency: &str) -> bool {
    let below = match OTHERS.iter().find(|(other, ..)| *other == name) {
        Some((_, allowed, _)) => allowed.contains(&dependency),
        None if TOP.contains(&name) => !TOP.contains(&dependency),
        None => {
            ["base", "connect", "engine"].contains(&dependency)
                || SHARED.contains(&(name, dependency))
        }
    };
    below || (dependency == FOR_TESTS && name != "base")
}

/// The dependencies of one kind, for every target and for some.
fn dependencies<'a>(
    manifest: &'a Table,
    kind: &str,
) -> impl Iterator<Item = (&'a String, &'a toml::Value)> {
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten();
    let targets = targets.filter_map(|(_, target)| target.as_table());
    std::iter::once(manifest)
        .chain(targets)
        .filter_map(move |table| table.get(kind)?.as_table())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, dependencies: &str) -> Vec<String> {
        found_in("dependencies", name, dependencies)
    }

    fn found_in(section: &str, name: &str, dependencies: &str) -> Vec<String> {
        let manifest = toml::from_str(&format!("[{section}]\n{dependencies}")).unwrap();
        let names = CAPABILITIES.iter().chain(OTHERS.iter().map(|(name, ..)| name)).chain(&TOP);
        let ours: Vec<String> = names.map(|name| (*name).to_owned()).collect();
        of_crate(name, &manifest, &ours)
    }

    #[test]
    fn arrows_that_point_down_are_fine() {
        let optional = "engine = { workspace = true, optional = true }\nbase.workspace = true";
        assert!(found("keyvalue", optional).is_empty());
        assert!(found("engine", "base.workspace = true\nwasmtime.workspace = true").is_empty());
        assert!(found("cli", "keyvalue.workspace = true\nengine.workspace = true").is_empty());
    }

    #[test]
    fn an_interface_may_stand_in_front_of_another_contract_of_its_package() {
        assert!(found("keyvalue", "cache = { workspace = true, optional = true }").is_empty());
        assert_eq!(found("keyvalue", "cache.workspace = true").len(), 1);
        assert_eq!(found("cache", "keyvalue = { workspace = true, optional = true }").len(), 1);
    }

    #[test]
    fn arrows_that_point_up_are_found() {
        assert_eq!(found("base", "engine.workspace = true").len(), 2);
        assert_eq!(found("keyvalue", "config.workspace = true").len(), 1);
        assert_eq!(found("connect", "wasmtime.workspace = true").len(), 1);
        assert_eq!(found("cli", "testkit.workspace = true").len(), 1);
    }

    #[test]
    fn a_contract_has_no_wasmtime_in_its_tree() {
        assert_eq!(found("keyvalue", "engine.workspace = true").len(), 1);
        assert_eq!(found("keyvalue", "wasmtime = { version = \"48\" }").len(), 1);
    }

    #[test]
    fn what_one_target_alone_has_is_looked_at_too() {
        let section = "target.'cfg(unix)'.dependencies";
        assert_eq!(found_in(section, "base", "connect.workspace = true").len(), 1);
        assert_eq!(found_in(section, "cache", "wasmtime.workspace = true").len(), 1);
        let section = "target.'cfg(unix)'.build-dependencies";
        assert_eq!(found_in(section, "cli", "cc = \"1\"").len(), 1);
    }

    #[test]
    fn tests_use_what_is_below_and_what_is_for_tests() {
        let tests = |name, dependencies| found_in("dev-dependencies", name, dependencies);
        assert!(tests("keyvalue", "testkit.workspace = true\nengine.workspace = true").is_empty());
        assert!(tests("engine", "testkit.workspace = true\nwat.workspace = true").is_empty());
        assert_eq!(tests("engine", "keyvalue.workspace = true").len(), 1);
        assert_eq!(tests("config", "keyvalue.workspace = true").len(), 1);
        assert_eq!(tests("keyvalue", "cli.workspace = true").len(), 1);
        // Which would test with itself.
        assert_eq!(tests("base", "testkit.workspace = true").len(), 1);
    }

    #[test]
    fn an_unknown_crate_needs_a_rule() {
        assert_eq!(found("utilities", "").len(), 1);
    }
}
