//! What this user may not read or bind: which it is, what to do, and code 69, because it may well
//! be right.

use crate::support::{Folder, run};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use testkit::program::{self, Ended};

const FILE: &str = r#"
    name = "closed"
    data = "data"
    [secrets]
    from = "dir:secrets"
    [component.web]
    source = "own.wasm"
    config-from = ["dir"]
    environment = { TOKEN = "${file:token}", PASSWORD = "${secret:password}" }
    files = [{ host = "static", guest = "/static" }]
    [component.store]
    source = "kv-draft2.wasm"
    keyvalue = ["default"]
    [http]
    tls = { cert = "cert.pem", key = "key.pem" }
    [[http.route]]
    component = "web"
    [config]
    dir = "dir:mounted"
"#;

/// With everything that the file names, a component of its own among it.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("own.wasm", fs::read(testkit::guest("config-reader")).unwrap());
    folder.deploy(FILE);
    for file in ["secrets/password", "token", "mounted/key", "static/page", "data/store"] {
        folder.write(file, "text");
    }
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    folder.write("cert.pem", cert.pem());
    folder.write("key.pem", signing_key.serialize_pem());
    folder.write("bindings.toml", "[config]\ndir = \"dir:mounted\"\n");
    folder
}

/// Runs the program as a user who is only let where permissions let it, as root is not.
fn bound_by_permissions(folder: &Folder, args: &[&str]) -> Ended {
    run(&mut program::bound_by_permissions(&folder.wharf(args)), "")
}

fn is_refused(ended: &Ended, named: &str, hint: &str) {
    assert_eq!(ended.code, Some(69), "{named}: {}", ended.errors);
    for words in [named, "ermission denied", hint] {
        assert!(ended.errors.contains(words), "{named}, {words}: {}", ended.errors);
    }
}

const READ: &str = "let the user that runs wharf read it";

#[test]
fn what_may_not_be_read_is_named_with_what_to_do() {
    let folder = folder();
    let served = ["serve", "--addr", "127.0.0.1:0"];
    let overlaid = [&served[..], &["--bindings", "bindings.toml"]].concat();
    let granted = [&served[..], &["--dir", "static", "own.wasm"]].concat();
    let within = [&served[..], &["mounted/absent.toml"]].concat();
    let unbound = "let this user read and write it, or set another `data`";
    for (closed, args, named, hint) in [
        ("wharf.toml", &served[..], "`./wharf.toml`", READ),
        ("bindings.toml", &overlaid, "`bindings.toml`", READ),
        ("own.wasm", &served, "own.wasm`", READ),
        ("token", &served, "`token`", READ),
        ("secrets", &served, "`password`", READ),
        ("secrets/password", &served, "`password`", READ),
        ("static", &served, "`static`", READ),
        ("static", &granted, "`static`", READ),
        ("cert.pem", &served, "cert.pem`", READ),
        ("key.pem", &served, "key.pem`", READ),
        ("mounted", &served, "mounted`", READ),
        ("mounted/key", &served, "mounted/key`", READ),
        ("mounted", &within, "`mounted/absent.toml`", READ),
        ("data", &served, "data/keyvalue/closed/default.redb`", unbound),
    ] {
        let path = folder.path().join(closed);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        let ended = bound_by_permissions(&folder, args);
        fs::set_permissions(&path, before).unwrap();
        is_refused(&ended, named, hint);
    }
}

#[test]
fn what_may_not_be_read_stands_under_its_line_beside_mistakes() {
    let folder = folder();
    folder.deploy(&FILE.replace("config-from", "config-fron"));
    let token = folder.path().join("token");
    fs::set_permissions(token, Permissions::from_mode(0o000)).unwrap();
    let ended = bound_by_permissions(&folder, &["check"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    for words in ["wharf.toml:9:", "did you mean `config-from`?"] {
        assert!(ended.errors.contains(words), "{}", ended.errors);
    }
    assert!(ended.errors.trim_end().ends_with("1 mistake, 1 failure"), "{}", ended.errors);
}

#[test]
fn an_address_that_may_not_be_bound_is_named() {
    let folder = Folder::new();
    folder.guest("hello-p2");
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    let first: u16 = first.trim().parse().unwrap();
    // Where every port is everybody's, nobody is refused any.
    let Some(port) = first.min(81).checked_sub(1) else { return };
    let address = format!("127.0.0.1:{port}");
    let ended = bound_by_permissions(&folder, &["serve", "--addr", &address, "hello-p2.wasm"]);
    is_refused(&ended, &address, "ports below 1024 need the right to bind them");
}
