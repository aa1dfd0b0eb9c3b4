//! What is filled in, and that it is never shown; bare files, overlays, reloads.

use crate::backends::CAPABILITIES;
use crate::{read_path, read_text, variable};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use wharf_deployment::{Files, Input, read};

#[test]
fn text_is_filled_in_from_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("web.wasm"), b"\0asm").unwrap();
    fs::write(folder.path().join("token"), "from a file\r\n").unwrap();
    fs::create_dir(folder.path().join("run")).unwrap();
    fs::write(folder.path().join("run/db"), "from a mount\n\n").unwrap();
    let text = r#"
        name = "a"
        [secrets]
        from = ["dir:run", "env:APP_"]
        [component.web]
        source = "web.wasm"
        args = []
        [component.web.environment]
        A = "${file:token}"
        B = "<${secret:db}>"
        C = "${secret:api-key}"
        D = "$${x}"
    "#;
    fs::write(folder.path().join("wharf.toml"), text).unwrap();
    let variable = |name: &str| (name == "APP_API_KEY").then(|| "from a variable".to_owned());
    let plan = read(&Input::new(folder.path(), &variable), CAPABILITIES).unwrap();
    let environment = &plan.app.components[0].environment;
    assert_eq!(environment["A"].reveal(), "from a file");
    assert_eq!(environment["B"].reveal(), "<from a mount\n>");
    assert_eq!(environment["C"].reveal(), "from a variable");
    assert_eq!(environment["D"].reveal(), "${x}");
    let shown = format!("{:?}", plan.app);
    assert!(!shown.contains("from a") && shown.contains("${secret:db}"), "{shown}");
}

#[test]
fn a_device_is_not_read_to_its_end() {
    let report = read_text("[component.web]\nsource = 'web.wasm'\nargs = ['${file:/dev/zero}']");
    assert!(report.err().unwrap().to_string().contains("it is no file"));
}

/// Every string of a file that may hold `${env:X}`, one at a time.
const PLACES: &[&str] = &[
    "name = X",
    "data = X",
    "[component.web]\nsource = X",
    "[component.web]\nsource = 'web.wasm'\nkeyvalue = [X]",
    "[component.web]\nsource = 'web.wasm'\nconfig = { a = X }",
    "[component.web]\nsource = 'web.wasm'\nargs = [X]",
    "[component.web]\nsource = 'web.wasm'\negress = [X]\nengine = X",
    "[component.web]\nsource = 'web.wasm'\nfiles = [{ host = X, guest = X, mode = X }]",
    "[component.web]\nsource = 'web.wasm'\nlimits = { memory = X, queue = X, queue-timeout = X }",
    "[http]\nlisten = [X]\nadmin = X\naccess-log = X\nforwarded = [X]",
    "[[http.route]]\nhost = X\npath = X\ncomponent = X",
    "[[timer]]\ncomponent = X\ncron = X",
    "[[timer]]\nevery = X\nscope = X",
    "[[watch]]\ncomponent = X\nbinding = X",
    "[keyvalue]\ndefault = X",
    "[keyvalue]\ndefault = { url = X, pool = 3 }",
    "[keyvalue]\ndefault = { url = 'redis://h', pool = X }",
    "[keyvalue]\ndefault = { url = 'redis://h', pol = X, password = X }",
    "[keyvalue]\ndefault = { url = 'memory:', requires = { ttl = X } }",
    "[keyvalue]\ndefault = 'redis://u:${env:X}@h:port'",
    "[secrets]\nfrom = X",
    "[log]\nformat = X",
];

proptest! {
    #[test]
    fn what_was_filled_in_is_in_no_report(
        secret in "(redis://|memory:|/|)[ΩΨ]{1,9}[:@/ ]?[ΩΨ]{0,9}",
        place in prop::sample::select(PLACES),
    ) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("web.wasm"), b"\0asm").unwrap();
        let text = place.replace(" X", " '${env:X}'").replace("[X]", "['${env:X}']");
        fs::write(folder.path().join("wharf.toml"), text).unwrap();
        let variable = |name: &str| (name == "X").then(|| secret.clone());
        let shown = match read(&Input::new(folder.path(), &variable), CAPABILITIES) {
            Ok(plan) => {
                let urls: Vec<_> = plan.bindings.iter().map(|bound| bound.url.clone()).collect();
                format!("{urls:?} {}", plan.warnings)
            }
            Err(report) => format!("{report} {report:?} {}", report.to_json()),
        };
        prop_assert!(!shown.contains(['Ω', 'Ψ']), "{shown}");
    }
}

#[test]
fn a_bare_component_needs_no_file() {
    let path = Path::new("tests/cases/files/web.wasm");
    let plan = read_path(path).unwrap();
    assert_eq!((plan.app.name.as_str(), plan.app.data.to_str()), ("web", Some(".wharf")));
    let component = &plan.app.components[0];
    assert_eq!((component.name.as_str(), component.source.as_path()), ("web", path));
    assert_eq!(component.granted("keyvalue"), ["default"]);
    assert!(component.granted("config").is_empty());
    let http = plan.app.http.as_ref().unwrap();
    assert_eq!(http.listen[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(http.routes[0].path, "/");
    assert!(http.routes[0].target.is_component("web"));
    let default = plan.binding("keyvalue", "default").unwrap();
    assert_eq!((default.backend, default.url.as_str()), ("embedded", "embedded:"));
    assert!(default.at.is_none() && plan.warnings.is_empty());
}

#[test]
fn a_component_is_known_by_its_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my app");
    fs::write(&path, b"\0asm....").unwrap();
    assert_eq!(read_path(&path).unwrap().app.name, "my-app");
}

#[test]
fn the_command_line_goes_before_the_file() {
    let path = Path::new("tests/cases/full.toml");
    let static_files = PathBuf::from("tests/cases/files/static");
    let mut input = Input::new(path, &variable);
    input.listen = vec!["0.0.0.0:1".parse().unwrap()];
    input.environment = vec![("RUST_LOG".to_owned(), "trace".to_owned())];
    input.files = vec![Files { host: static_files, guest: "/static".to_owned(), write: false }];
    let plan = read(&input, CAPABILITIES).unwrap();
    let listen = &plan.app.http.as_ref().unwrap().listen;
    assert_eq!((listen.len(), listen[0].address.to_string().as_str()), (1, "0.0.0.0:1"));
    let web = plan.app.component("web").unwrap();
    assert_eq!(web.environment["RUST_LOG"].reveal(), "trace");
    assert_eq!((web.files.len(), web.files[0].write), (1, false));
    input.files[0].host = "tests/nowhere".into();
    let report = read(&input, CAPABILITIES).err().unwrap().to_string();
    assert!(report.contains("there is no directory `tests/nowhere`"), "{report}");
}

#[test]
fn an_overlay_takes_the_place_of_a_bare_components_default() {
    let overlay = Path::new("tests/cases/overlay.bindings.toml");
    let mut input = Input::new(Path::new("tests/cases/files/web.wasm"), &variable);
    input.bindings = Some(overlay);
    let plan = read(&input, CAPABILITIES).unwrap();
    assert_eq!(plan.binding("keyvalue", "sessions").unwrap().backend, "redis");
    assert_eq!(plan.binding("keyvalue", "default").unwrap().backend, "embedded");
}

#[test]
fn a_reload_sees_what_changed_and_what_only_moved() {
    let before = read_text("name = 'a'\n[keyvalue]\nx = 'redis://h'\n").unwrap();
    let moved = read_text("name = 'a'\n# moved\n\n[keyvalue]\nx = { url = 'redis://h' }\n");
    let moved =
        read_text("name = 'a'\n# moved\n\n[keyvalue]\nx = 'redis://h'\n").or(moved).unwrap();
    let changed = read_text("name = 'a'\n[keyvalue]\nx = 'redis://h/1'\n").unwrap();
    let x = |plan: &wharf_deployment::Plan<_>| plan.bindings.iter().position(|b| b.name == "x");
    let (old, new, other) = (x(&before).unwrap(), x(&moved).unwrap(), x(&changed).unwrap());
    assert!(before.bindings[old].is_same(&moved.bindings[new]));
    assert!(!before.bindings[old].is_same(&changed.bindings[other]));
    let (_, kept) = before.bindings.into_iter().nth(old).unwrap().split();
    assert!(kept.is_same(&moved.bindings[new]));
}
