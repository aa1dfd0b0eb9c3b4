//! What `check`, `inspect`, `compile`, `completions` and `--help` print.

use crate::support::Folder;
use std::fs;
use std::path::Path;

/// Compares with a file of `tests/snapshots`, letter by letter.
fn snapshot(folder: &Folder, name: &str, text: &str) {
    let text = text.replace(&*folder.path().to_string_lossy(), "FOLDER");
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if fs::read_to_string(&expected).ok().as_deref() != Some(text.as_str()) {
        let actual = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&actual, &text).unwrap();
        let (actual, expected) = (actual.display(), expected.display());
        panic!("it is not what was expected; if it is right: cp {actual} {expected}\n{text}");
    }
}

fn good(folder: &Folder, args: &[&str]) -> String {
    let ended = folder.run(args);
    assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.errors);
    ended.output
}

/// A folder with a component that no toolchain changes, and everything a file can say.
fn folder() -> Folder {
    let folder = Folder::new();
    let web = wat::parse_str(include_str!("../fixtures/web.wat")).unwrap();
    folder.write("web.wasm", web);
    folder.write("static/index.html", "");
    folder.write("settings.toml", "motd = \"ahoy\"");
    folder.write(
        "wharf.toml",
        r#"
            name = "looked-at"
            [component.web]
            source = "web.wasm"
            keyvalue = ["default", "sessions"]
            config = { page-size = "20" }
            config-from = ["shared"]
            files = [{ host = "static", guest = "/static" }]
            egress = ["https://api.example.com", "*.internal:8080"]
            limits = { memory = "64MiB", request-timeout = "5s", concurrency = 32, log-rate = 10 }
            [component.plain]
            source = "web.wasm"
            [[http.route]]
            path = "/"
            component = "web"
            [[http.route]]
            host = "plain.example.com"
            path = "/plain"
            component = "plain"
            [keyvalue]
            sessions = { url = "memory:", max-size = "1MiB" }
            [config]
            shared = "file:settings.toml"
        "#,
    );
    folder
}

#[test]
fn check_shows_limits_and_what_overrides_them() {
    let folder = folder();
    snapshot(&folder, "check.txt", &good(&folder, &["check"]));
    let bindings = folder.write("prod.toml", "[keyvalue]\ndefault = \"memory:\"\n");
    let bindings = bindings.to_string_lossy();
    let overlaid = good(&folder, &["check", "--bindings", &bindings]);
    assert!(overlaid.contains("keyvalue binding default = memory: (memory)"), "{overlaid}");
}

#[test]
fn check_is_read_by_programs() {
    let folder = folder();
    let text = good(&folder, &["check", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["components"][0]["limits"]["memory"], "128MiB");
    assert_eq!(value["components"][1]["limits"]["memory"], "64MiB");
    snapshot(&folder, "check.json", &text);
}

#[test]
fn check_reports_mistakes_to_programs() {
    let folder = folder();
    folder
        .write("wharf.toml", "name = \"x\"\n[component.web]\nsource = \"wbe.wasm\"\nkeyvalu = 1\n");
    let ended = folder.run(&["check", "--format", "json"]);
    assert_eq!(ended.code, Some(64));
    let value: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    let places: Vec<_> = value["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mistake| (mistake["line"].as_u64(), mistake["column"].as_u64()))
        .collect();
    assert_eq!(places, [(Some(3), Some(10)), (Some(4), Some(1))], "{}", ended.output);
}

#[test]
fn check_of_a_file_alone_needs_no_deployment() {
    let folder = folder();
    let text = good(&folder, &["check", "web.wasm"]);
    assert!(text.starts_with("app web: right\n"), "{text}");
    assert!(text.ends_with("route */ -> web\n"), "{text}");
}

#[test]
fn inspect_shows_what_a_file_is() {
    let folder = folder();
    snapshot(&folder, "inspect.txt", &good(&folder, &["inspect", "web.wasm"]));
    snapshot(&folder, "inspect.json", &good(&folder, &["inspect", "--format", "json", "web.wasm"]));
    for (guest, kind) in [
        ("hello-p2", "a component, "),
        ("command-p1", "a WASI preview 1 core module, "),
        ("hello-p3", "a component, "),
    ] {
        folder.guest(guest);
        let text = good(&folder, &["inspect", &format!("{guest}.wasm")]);
        assert!(text.contains(kind), "{text}");
        assert!(!text.contains("missing"), "{text}");
    }
}

#[test]
fn inspect_names_what_is_not_served_and_the_nearest() {
    let folder = folder();
    folder.guest("imports-unknown");
    let text = good(&folder, &["inspect", "imports-unknown.wasm"]);
    for line in [
        "  missing  acme:rockets/launch@1.2.3 (nothing of that package is served)",
        "  missing  wasi:config/store@0.2.0-rc.2 (served at 0.2.0-rc.1, 0.2.0-draft, \
         0.2.0-draft-2024-09-27)",
    ] {
        assert!(text.lines().any(|it| it == line), "{text}");
    }
    let json = good(&folder, &["inspect", "--format", "json", "imports-unknown.wasm"]);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let imports = value["imports"].as_array().unwrap();
    let rockets = imports.iter().find(|it| it["name"] == "acme:rockets/launch@1.2.3").unwrap();
    assert_eq!(rockets["served"], false);
}

/// A filter as its text, and the words that are wrong with it.
const REFUSED: &str = "(module
    (import \"env\" \"proxy_log\" (func (param i32 i32 i32) (result i32)))
    (import \"env\" \"proxy_get_secret\" (func (param i32) (result i32)))
    (import \"env\" \"proxy_continue_request\" (func (result i32)))
    (import \"wasi_unstable\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32)))
    (import \"env\" \"base\" (global i32))
    (memory (export \"memory\") 4000 8000)
    (func (export \"proxy_abi_version_0_2_1\"))
    (func (export \"_start\"))
    (func (export \"proxy_on_tick\") (param i32 i32))
    (func (export \"proxy_on_log\") (param i32))
    (func (export \"own\")))";

#[test]
fn inspect_says_what_a_filter_speaks_and_why_it_would_be_refused() {
    let folder = Folder::new();
    folder.write("refused.wasm", wat::parse_str(REFUSED).unwrap());
    let shown = good(&folder, &["inspect", "refused.wasm"]);
    snapshot(&folder, "inspect-filter.txt", &shown);
    let json = good(&folder, &["inspect", "--format", "json", "refused.wasm"]);
    snapshot(&folder, "inspect-filter.json", &json);
    // What it says and what `check` says is the same.
    let file = "[filter.f]\nsource = \"refused.wasm\"\n";
    folder.write("wharf.toml", file);
    let ended = folder.run(&["check"]);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let imports = value["imports"].as_array().unwrap().iter();
    let refused = imports.filter_map(|it| it["hint"].as_str());
    for why in
        refused.chain(value["refused"].as_array().unwrap()[..2].iter().filter_map(|it| it.as_str()))
    {
        assert!(ended.errors.contains(why), "{why}: {}", ended.errors);
    }
}

#[test]
fn inspect_finds_nothing_wrong_with_filters_that_run() {
    let folder = Folder::new();
    for (guest, abi, callback) in [
        ("filter-add", "0.2.1", "proxy_on_response_headers"),
        ("filter-c-old", "0.1.0", "proxy_on_response_headers"),
        ("filter-as", "0.2.0", "proxy_on_response_headers"),
        ("filter-go", "0.2.1", "proxy_on_response_headers"),
        ("filter-tcp", "0.2.1", "proxy_on_downstream_data"),
    ] {
        folder.guest(guest);
        let file = format!("{guest}.wasm");
        let json = good(&folder, &["inspect", "--format", "json", &file]);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&value["kind"], &value["refused"]),
            (&"Proxy-Wasm filter".into(), &serde_json::json!([]))
        );
        assert!(value["callbacks"].as_array().unwrap().contains(&callback.into()), "{json}");
        assert!(
            value["imports"].as_array().unwrap().iter().all(|it| it["served"] == true),
            "{json}"
        );
        assert!(value["memory"]["initial"].as_u64().unwrap() > 0);
        let text = good(&folder, &["inspect", &file]);
        let first = text.lines().next().unwrap();
        assert!(first.ends_with(&format!(" bytes, ABI {abi}")), "{first}");
        assert!(!text.contains("refused"), "{text}");
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    let folder = Folder::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = good(&folder, &["completions", shell]);
        assert!(script.contains("wharf") && script.contains("inspect"), "{shell}");
    }
    assert_eq!(folder.run(&["completions", "tcsh"]).code, Some(2));
}

#[test]
fn help_reads_like_a_manual() {
    let folder = Folder::new();
    let text = good(&folder, &["--help"]);
    for verb in ["serve", "run", "check", "inspect", "compile", "completions"] {
        assert!(text.contains(&format!("\n  {verb} ")), "{text}");
        let help = good(&folder, &[verb, "--help"]);
        assert!(help.contains(&format!("Usage: wharf {verb}")), "{help}");
    }
    assert!(text.contains("Exit codes:") && text.contains("69"), "{text}");
    assert!(good(&folder, &["--version"]).starts_with("wharf "));
}
