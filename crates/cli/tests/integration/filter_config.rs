//! `wharf filter-config`: configurations of Envoy become deployment files that are right.

use crate::support::server::{Server, echo};
use crate::support::{Folder, run};
use std::fs;
use std::path::Path;
use testkit::program::Ended;

/// A fixture of `fixtures/envoy`, in a folder of the test's own.
fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/envoy").join(name);
    fs::read_to_string(path).unwrap()
}

fn convert(folder: &Folder, name: &str, text: impl AsRef<[u8]>) -> Ended {
    folder.write(name, text);
    folder.run(&["filter-config", name])
}

/// Compares with the file that the fixture is to become.
fn becomes(fixture: &str, ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let name = Path::new(fixture).with_extension("toml");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/envoy").join(&name);
    if fs::read_to_string(&path).ok().as_deref() != Some(ended.output.as_str()) {
        let actual = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        fs::write(&actual, &ended.output).unwrap();
        let (actual, expected) = (actual.display(), path.display());
        let output = &ended.output;
        panic!("it is not what was expected; if it is right: cp {actual} {expected}\n{output}");
    }
    // What is not carried over is said twice: in the file, and to whoever asked.
    for line in ended.errors.lines() {
        let comment = format!("# {line}");
        assert!(ended.output.lines().any(|said| said == comment), "{line}\n{}", ended.output);
    }
}

/// Whether the program takes what it printed, with these files beside it.
fn is_right(folder: &Folder, printed: &Ended) -> String {
    folder.write("wharf.toml", &printed.output);
    let checked = folder.run(&["check"]);
    assert_eq!(checked.code, Some(0), "{}\n{}", checked.errors, printed.output);
    checked.output
}

/// A filter that takes every configuration, under each of these names.
fn with_filters(names: &[&str]) -> Folder {
    let folder = Folder::new();
    let code = fs::read(testkit::guest("filter-add")).unwrap();
    for name in names {
        folder.write(name, &code);
    }
    folder
}

#[test]
fn a_proxy_of_envoy_answers_here_as_it_did_there() {
    let server = Server::start(echo);
    let folder = Folder::new();
    folder.guest("filter-headers");
    let ended = convert(&folder, "envoy.yaml", fixture("served.yaml"));
    becomes("served.yaml", &ended);
    let here = ended.output.replace("127.0.0.1:9000", &server.address.to_string());
    let here = here.replace("127.0.0.1:9901", "127.0.0.1:0");
    folder.write("wharf.toml", here);
    let wharf = folder.serve(&[]);
    let answer = wharf.get("/any/path?q");
    assert_eq!((answer.status, answer.header("x-path")), (200, "/any/path?q"));
    assert_eq!(answer.header("x-served"), "${by} the filter");
    assert_eq!(wharf.get("/plain/x").header("x-served"), "", "the filter is not for it");
    assert_eq!(wharf.get("/own").header("x-served"), "of its own");
    let moved = wharf.get("/old?q");
    assert_eq!((moved.status, moved.header("location")), (302, "//new.example/old"));
    assert_eq!(moved.header("x-served"), "${by} the filter");
}

#[test]
fn everything_is_carried_over_or_named() {
    let folder = with_filters(&["auth.wasm", "remote.wasm", "remote-2.wasm"]);
    let certificate = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
    folder.write("cert.pem", certificate.cert.pem());
    folder.write("ca.pem", certificate.cert.pem());
    folder.write("key.pem", certificate.signing_key.serialize_pem());
    let ended = convert(&folder, "full.yaml", fixture("full.yaml"));
    becomes("full.yaml", &ended);
    let checked = is_right(&folder, &ended);
    for line in [
        "upstream outbound-80--api.internal = least-request of https://one.internal:443, \
         https://[2001:db8::1]:443",
        "upstream ring = ring-hash on header:x-user of 10.0.0.1:80",
        "route example.com/users -> the-auth-filter -> remote -> upstream ring",
        "route example.com/all -> the-auth-filter -> remote-2 -> upstream ring",
        "route *.example.com/api/v1 -> the-auth-filter -> remote -> \
         upstream outbound-80--api.internal, 10% copied to shadow",
    ] {
        assert!(checked.lines().any(|said| said == line), "{line}\n{checked}");
    }
}

#[test]
fn filters_alone_are_read_from_other_files_too() {
    let folder = with_filters(&["a.wasm", "basic-auth.wasm"]);
    let ended = convert(&folder, "bare.json", fixture("bare.json"));
    becomes("bare.json", &ended);
    let checked = is_right(&folder, &ended);
    assert!(checked.contains("filter filter of Proxy-Wasm"), "{checked}");
    let ended = convert(&folder, "istio.yaml", fixture("istio.yaml"));
    becomes("istio.yaml", &ended);
    let mut ended = convert(&folder, "wasmplugin.yaml", fixture("wasmplugin.yaml"));
    becomes("wasmplugin.yaml", &ended);
    ended.output = ended.output.replace("${env:ZONE}", "zone");
    is_right(&folder, &ended);
    let one = "name: w\ntyped_config: {'@type': x/envoy.extensions.filters.http.wasm.v3.Wasm, \
               config: {name: b, vm_config: {code: {local: {filename: a.wasm}}}}}";
    let ended = convert(&folder, "one.yaml", one);
    assert!(ended.output.contains("[filter.b]\nsource = \"a.wasm\""), "{}", ended.output);
    is_right(&folder, &ended);
    let listener = "filter_chains: [{filters: [{name: tcp, typed_config: {'@type': a/b}}]}]";
    let ended = convert(&folder, "listener.yaml", listener);
    assert_eq!(ended.code, Some(64), "{}", ended.output);
    assert!(ended.errors.contains("filter_chains[0].filters[0]: tcp: no"), "{}", ended.errors);
}

#[test]
fn standard_input_is_read_where_the_file_is_a_dash() {
    let folder = Folder::new();
    let ended = run(&mut folder.wharf(&["filter-config", "-"]), &fixture("served.yaml"));
    becomes("served.yaml", &ended);
    let ended = run(&mut folder.wharf(&["filter-config", "-"]), "");
    assert_eq!(ended.code, Some(64));
    assert!(ended.errors.starts_with("error: standard input is no Envoy"), "{}", ended.errors);
}

#[test]
fn what_is_no_configuration_of_envoy_is_said_in_a_sentence() {
    let folder = Folder::new();
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for at in 1..12 {
        let before = format!("*a{}", at - 1);
        bomb += &format!("a{at}: &a{at} [{}]\n", vec![before; 9].join(", "));
    }
    let deep = "[".repeat(200_000);
    let merged = "a: &a {<<: *a}";
    for text in [
        b"name = \"a deployment\"\n".as_slice(),
        b"a: 1",
        b"kind: Deployment\nspec: {}",
        b"",
        b"[]",
        b"[1, 2",
        b"static_resources: {}",
        b"\xff\xfe\0",
        b"a: 1\na: 2",
        bomb.as_bytes(),
        deep.as_bytes(),
        merged.as_bytes(),
    ] {
        let ended = convert(&folder, "x.yaml", text);
        let first = ended.errors.lines().next().unwrap_or_default();
        let start = String::from_utf8_lossy(text.get(..20).unwrap_or(text)).into_owned();
        assert_eq!(ended.code, Some(64), "{start}: {}", ended.errors);
        assert!(first.starts_with("error: `x.yaml` is no Envoy configuration"), "{start}: {first}");
        assert!(ended.errors.lines().count() < 4 && ended.output.is_empty(), "{}", ended.errors);
    }
    let absent = folder.run(&["filter-config", "absent.yaml"]);
    assert_eq!(absent.code, Some(64));
    assert!(absent.errors.starts_with("error: cannot read `absent.yaml`"), "{}", absent.errors);
    let folder = Folder::new();
    folder.write("some/file", "");
    assert_eq!(folder.run(&["filter-config", "some"]).code, Some(64), "a folder");
}

#[test]
fn odd_values_are_noted_and_nothing_breaks() {
    let folder = Folder::new();
    let whole = fixture("full.yaml");
    // Each line in turn says something else; what comes out is right or there is nothing.
    let lines: Vec<&str> = whole.lines().collect();
    for (at, line) in lines.iter().enumerate().step_by(7) {
        let Some((key, _)) = line.split_once(": ") else { continue };
        for odd in ["[]", "{}", "null", "-1", "\"\\u001b[31m\\n\"", "1e400", "true"] {
            let mut lines = lines.clone();
            let changed = format!("{key}: {odd}");
            lines[at] = &changed;
            let ended = convert(&folder, "odd.yaml", lines.join("\n"));
            assert!(matches!(ended.code, Some(0 | 64)), "{changed}: {}", ended.errors);
            assert!(!ended.errors.contains('\u{1b}'), "{changed}: {}", ended.errors);
            let read: Result<toml::Table, _> = toml::from_str(&ended.output);
            assert!(read.is_ok(), "{changed}: {read:?}\n{}", ended.output);
        }
    }
}
