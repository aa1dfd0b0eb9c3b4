//! Where mistakes stand, in words and in JSON.

use crate::{read_path, read_text};
use proptest::prelude::*;
use std::path::Path;
use wharf_deployment::Severity;

#[test]
fn a_program_reads_file_line_and_column() {
    let report = read_text("name = 'a'\n\n[component.web]\nsource = 'web.wasm'\nkeyvalu = 'x'\n");
    let json = report.err().unwrap().to_json();
    let entries = json.as_array().unwrap();
    assert_eq!(entries.len(), 1, "{json}");
    let mistake = &entries[0];
    assert_eq!(mistake["severity"], "mistake");
    assert_eq!((&mistake["line"], &mistake["column"]), (&5.into(), &1.into()));
    assert_eq!(mistake["message"], "unknown key `keyvalu`");
    assert_eq!(mistake["hint"], "did you mean `keyvalue`?");
    assert!(mistake["file"].as_str().unwrap().ends_with("wharf.toml"));
}

#[test]
fn columns_count_letters() {
    let report = read_text("name = 'a'\nlog = { \"größe\" = 1, fomat = 2 }\n").err().unwrap();
    let places: Vec<_> = report.entries().filter_map(|entry| entry.place).collect();
    let places: Vec<_> = places.iter().map(|(_, line, column)| (*line, *column)).collect();
    assert_eq!(places, [(2, 9), (2, 22)]);
}

#[test]
fn a_folder_without_a_file_and_a_file_that_is_none_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let empty = read_path(folder.path()).err().unwrap().to_string();
    assert!(empty.contains("there is no `wharf.toml` in"), "{empty}");
    let absent = read_path(&folder.path().join("absent.toml")).err().unwrap().to_string();
    assert!(absent.contains("No such file"), "{absent}");
    let binary = folder.path().join("binary");
    std::fs::write(&binary, [0xff, 0xfe, 0, 1]).unwrap();
    let binary = read_path(&binary).err().unwrap().to_string();
    assert!(binary.contains("neither text nor WebAssembly"), "{binary}");
    assert!(read_path(Path::new("absent.wasm")).err().unwrap().to_string().contains("absent.wasm"));
}

#[test]
fn what_shows_later_stands_under_its_line_and_away_is_no_mistake() {
    let plan = read_text("name = 'a'\n[keyvalue]\nx = 'redis://u:p@h'\n").unwrap();
    let at = plan.binding("keyvalue", "x").unwrap().at.clone();
    let found = |severity, message: &str| (severity, at.clone(), base::Mistake::new(message));
    let report = plan.report([
        found(Severity::Failure, "nobody answers"),
        found(Severity::Mistake, "it lacks a watch"),
    ]);
    let text = report.to_string();
    for words in ["nobody answers", "it lacks a watch"] {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(text.matches("wharf.toml:3:5").count(), 2, "{text}");
    assert!(text.ends_with("1 mistake, 1 failure"), "{text}");
    assert!(text.contains("redis://u:*@h"), "{text}");
    assert_eq!(report.to_json()[0]["severity"], "failure");
}

/// Text that looks like a deployment file often enough to get far.
fn file() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "name",
        "component",
        "web",
        "source",
        "keyvalue",
        "default",
        "http",
        "route",
        "listen",
        "limits",
        "memory",
        "timer",
        "cron",
        "watch",
        "keys",
        "secrets",
        "from",
        "config",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ".",
        ",",
        "\n",
        "\"",
        "'",
        "'''",
        "#",
        "1",
        "-1",
        "1.5",
        "true",
        "\"redis://x\"",
        "\"${env:MOTD}\"",
        "\"${\"",
        "\"$${\"",
        "\"${file:/}\"",
        "\"${secret:a}\"",
        "\"1MiB\"",
        "\"\\u00e9\"",
        "é",
        "\u{0}",
        "\r",
        "1979-05-27",
        "inf",
        "0x1F",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![file(), any::<String>()]) {
        match read_text(&text) {
            Ok(plan) => drop((format!("{:?}", plan.app), plan.warnings.render(true))),
            Err(report) => {
                prop_assert!(!report.is_empty());
                drop((report.render(true), report.to_json()));
            }
        }
    }
}
