//! Every file of `tests/cases` against the plan or the report recorded beside it.
//!
//! `UPDATE=1 cargo test -p wharf-deployment` records anew.

use crate::backends::CAPABILITIES;
use crate::variable;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use wharf_deployment::{Input, read, reference};

/// Relative, so that the recorded texts are the same on every machine.
const CASES: &str = "tests/cases";

fn cases() -> Vec<PathBuf> {
    let files = fs::read_dir(CASES).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = files
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.ends_with(".toml") && !name.ends_with(".bindings.toml")
        })
        .collect();
    cases.sort();
    assert!(cases.len() >= 10, "the cases are not where they should be");
    cases
}

fn outcome(path: &Path) -> String {
    let overlay = path.with_extension("bindings.toml");
    let mut input = Input::new(path, &variable);
    input.callable = Some(&["proxy_log", "proxy_on_request_headers", "proxy_on_tick", "fd_write"]);
    input.bindings = overlay.exists().then_some(&overlay);
    let plan = match read(&input, CAPABILITIES) {
        Ok(plan) => plan,
        Err(report) => return report.render(false) + "\n",
    };
    let mut text = format!("{:#?}\n", plan.app);
    for binding in &plan.bindings {
        let (capability, name) = (binding.capability, &binding.name);
        writeln!(text, "{capability} {name}: {} at {}", binding.backend, binding.url).unwrap();
        writeln!(text, "  {:?}", binding.needs).unwrap();
    }
    text + &plan.warnings.render(false) + "\n"
}

#[test]
fn every_file_becomes_what_is_recorded() {
    let mut wrong = String::new();
    for path in cases() {
        let outcome = outcome(&path);
        let recorded = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&recorded, &outcome).unwrap();
        }
        if fs::read_to_string(&recorded).unwrap_or_default() != outcome {
            writeln!(wrong, "== {}\n{outcome}", path.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "not as recorded; look, then UPDATE=1:\n{wrong}");
}

#[test]
fn nothing_recorded_gives_away_what_was_filled_in() {
    for path in cases() {
        let outcome = outcome(&path);
        for secret in ["hunter2", "good morning", "secret-folder", "q7"] {
            assert!(!outcome.contains(secret), "{} shows {secret}", path.display());
        }
    }
}

#[test]
fn the_full_file_has_every_key_of_the_reference() {
    let full = fs::read_to_string(Path::new(CASES).join("full.toml")).unwrap();
    let reference = reference(CAPABILITIES);
    let keys: Vec<_> =
        reference.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(keys.len() > 60, "{keys:?}");
    for key in keys {
        let key = key.trim_matches(['[', ']']);
        assert!(full.contains(key), "`{key}` is in no test");
    }
}
