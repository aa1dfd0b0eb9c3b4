//! What bindings offer, against what components and the file ask for.

use crate::support::Folder;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A component on a binding with these settings.
fn file(settings: &str) -> String {
    format!(
        r#"
            name = "offers"
            [component.web]
            source = "kv-draft2.wasm"
            [[http.route]]
            component = "web"
            [keyvalue]
            default = {settings}
        "#
    )
}

#[test]
fn check_says_how_each_function_is_done() {
    let folder = Folder::with(&file("\"memory:\""));
    let checked = folder.run(&["check", "--format", "json"]);
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let report: Value = serde_json::from_str(&checked.output).unwrap();
    let functions = &report["components"][0]["keyvalue"]["default"];
    for function in ["store.open", "store.bucket.get", "store.bucket.list-keys", "atomics.swap"] {
        assert_eq!(functions[function], "native", "{function}: {functions:#}");
    }
    let checked = folder.run(&["check"]);
    assert!(checked.output.contains("  keyvalue default native: "), "{}", checked.output);
}

#[test]
fn what_is_required_and_not_offered_is_refused_with_what_would_do() {
    for (requires, words) in [
        ("durability = 'fsync'", "it lacks durability >= fsync (has none)"),
        ("durability = 'fsync', ttl = 'seconds'", "it lacks durability >= fsync (has none)"),
    ] {
        let folder =
            Folder::with(&file(&format!("{{ url = \"memory:\", requires = {{ {requires} }} }}")));
        for verb in ["check", "serve"] {
            let refused = folder.run(&[verb]);
            assert_eq!(refused.code, Some(64), "{}", refused.errors);
            assert!(refused.errors.contains(words), "{}", refused.errors);
            assert!(refused.errors.contains("keyvalue binding `default`"), "{}", refused.errors);
            let would_do = "backends that can offer it: embedded, ";
            assert!(refused.errors.contains(would_do), "{}", refused.errors);
            assert!(!refused.errors.contains("memory,"), "{}", refused.errors);
        }
    }
}

/// The manual's table is made by the code; `WHARF_WRITE_MANUAL=1` writes it.
#[test]
fn the_manual_has_the_table_of_offers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/keyvalue.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- offers: made by the code -->\n", "<!-- offers end -->");
    let (before, rest) = page.split_once(begin).expect("where the table begins");
    let (found, after) = rest.split_once(end).expect("where the table ends");
    let table = keyvalue::backend::table();
    if std::env::var_os("WHARF_WRITE_MANUAL").is_some() {
        fs::write(&path, [before, begin, &table, end, after].concat()).unwrap();
    } else {
        assert_eq!(found, table, "run this test with WHARF_WRITE_MANUAL=1");
    }
}
