//! What has to be tried of a host for filters, point by point, and the tests that try it:
//! `conformance.txt` has them.
//!
//! A test is named by its file and its function: without a folder it is in this one, `src/` is this
//! crate's, `program/` is where the program is tried with real sockets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The points: 1–6 the ABI, 7–9 host calls, 10–18 streams, 19–24 what comes later, 25–28 failures.
const POINTS: &str = include_str!("conformance.txt");

/// A part of a point: its number, what it is, and the tests that try it.
struct Part {
    number: u8,
    about: &'static str,
    tests: Vec<&'static str>,
}

fn parts() -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in POINTS.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            Some(test) => parts.last_mut().expect("a number comes first").tests.push(test),
            None => {
                let (number, about) = line.split_once(' ').expect("a number and a text");
                parts.push(Part { number: number.parse().unwrap(), about, tests: Vec::new() });
            }
        }
    }
    parts
}

/// The last point.
const LAST: u8 = 28;

/// The file that a test is in.
fn file(test: &str) -> PathBuf {
    let crate_ = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (folder, test) = match test.split_once('/') {
        Some(("src", test)) => (crate_.join("src"), test),
        Some(("program", test)) => (crate_.join("../cli/tests/integration"), test),
        _ => (crate_.join("tests/spec"), test),
    };
    folder.join(test).with_extension("rs")
}

/// Whether a file has a test of this name: a function that is one, not one that is only so called.
fn has_test(source: &str, name: &str) -> bool {
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        let call = format!("fn {name}(");
        if line.starts_with(&call) || line.starts_with(&format!("async {call}")) {
            return is_test;
        }
        // Attributes may stand between, and nothing else.
        is_test = line == "#[test]" || is_test && line.starts_with("#[");
    }
    false
}

#[test]
fn every_point_is_tried_by_tests_that_are_there() {
    let parts = parts();
    for Part { number, about, tests } in &parts {
        assert!(!tests.is_empty(), "{number}: {about}");
        for test in tests {
            let (of, name) = test.rsplit_once("::").unwrap();
            let file = file(of);
            let source = std::fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("{number}, {about}: {}: {error}", file.display()));
            assert!(has_test(&source, name), "{number}, {about}: {test} is no test");
        }
    }
    let numbers: BTreeSet<u8> = parts.iter().map(|part| part.number).collect();
    assert_eq!(numbers, (1..=LAST).collect(), "every point has its place");
    assert!(parts.is_sorted_by_key(|part| part.number), "in their order");
}

#[test]
fn what_is_no_test_does_not_count() {
    let source = "#[test]\nfn one() {}\nfn two() {}\n\
                  #[test]\n#[should_panic]\nfn three() {}\n\
                  #[test]\nconst X: u8 = 1;\nfn four() {}";
    let found = ["one", "two", "three", "four", "five"].map(|name| has_test(source, name));
    assert_eq!(found, [true, false, true, false, false]);
}
