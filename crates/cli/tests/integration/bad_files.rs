//! What is not what it should be: one sentence, a code for scripts, and nothing is touched.

use crate::support::{Folder, serve};
use std::fs;
use std::net::TcpListener;
use testkit::program::Ended;

/// Serves what cannot be served. An address makes sure that a mistake of ours ends too.
fn refused(folder: &Folder, path: &str) -> Ended {
    folder.run(&["serve", "--addr", "127.0.0.1:0", path])
}

/// The first line is one sentence on what it is instead; the lines after it say what to do.
fn says(ended: &Ended, sentence: &str, hint: &str) {
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert_eq!(ended.errors.lines().next(), Some(sentence));
    assert!(ended.errors.contains(hint), "{}", ended.errors);
    assert!(ended.output.is_empty() && ended.errors.lines().count() < 8, "{}", ended.errors);
}

#[test]
fn files_that_are_no_components_are_named() {
    let folder = Folder::new();
    let whole = fs::read(testkit::guest("hello-p2")).unwrap();
    folder.write("text.wasm", "hello");
    folder.write("empty.wasm", "");
    folder.write("cut.wasm", &whole[..5000]);
    folder.write("module.wasm", b"\0asm\x01\0\0\0");
    folder.write("source.wasm", "(component)");
    folder.write("packed.wasm", [0x1f, 0x8b, 8, 0]);
    for (file, what) in [
        ("text.wasm", "is not WebAssembly: it is a text file"),
        ("empty.wasm", "is not WebAssembly: the file is empty"),
        ("module.wasm", "is a core module, not a component"),
        ("source.wasm", "is not WebAssembly: it is the text format; turn it into binary first"),
        ("packed.wasm", "is not WebAssembly: it is gzip-compressed"),
    ] {
        says(&refused(&folder, file), &format!("error: `{file}` {what}"), "");
    }
    let cut = refused(&folder, "cut.wasm").errors;
    assert!(cut.starts_with("error: `cut.wasm` is not WebAssembly: it is cut off"), "{cut}");
    let absent = refused(&folder, "absent.wasm");
    assert_eq!(absent.code, Some(64));
    assert!(absent.errors.contains("absent.wasm") && absent.errors.contains("No such file"));
}

#[test]
fn a_program_of_preview_1_is_not_served_but_run() {
    let folder = Folder::new();
    folder.guest("command-p1");
    let sentence = "error: `command-p1.wasm` is a WASI preview 1 core module, not a component";
    says(&refused(&folder, "command-p1.wasm"), sentence, "cargo build --target wasm32-wasip2");
}

const NO_HTTP: &str = "answers no HTTP: it exports neither `wasi:http/incoming-handler` 0.2 nor \
                       `wasi:http/handler` 0.3";

#[test]
fn a_command_is_not_served_but_run() {
    let folder = Folder::new();
    folder.guest("command-p2");
    let sentence = format!("error: component `command-p2` {NO_HTTP}");
    says(&refused(&folder, "command-p2.wasm"), &sentence, "`wharf run` runs it");
}

#[test]
pub(crate) fn exports_nothing() {
    let folder = Folder::new();
    folder.guest("exports-nothing");
    let sentence = format!("error: component `exports-nothing` {NO_HTTP}");
    says(&refused(&folder, "exports-nothing.wasm"), &sentence, "it exports of-no-use");
}

#[test]
pub(crate) fn imports_unknown() {
    let folder = Folder::new();
    folder.guest("imports-unknown");
    for verb in ["serve", "check"] {
        let ended = folder.run(&[verb, "imports-unknown.wasm"]);
        assert_eq!(ended.code, Some(64), "{}", ended.errors);
        // Every import at once, which version was asked, which are served.
        for (import, near) in [
            ("acme:rockets/launch@1.2.3", "nothing of that package is served"),
            ("wasi:keyvalue/store@0.2.0-draft3", "served at 0.2.0-draft, 0.2.0-draft2"),
            ("wasi:config/store@0.2.0-rc.2", "served at 0.2.0-rc.1, 0.2.0-draft"),
        ] {
            let (_, after) = ended.errors.split_once(&format!("`{import}`")).unwrap();
            let after = after.split("; ").next().unwrap();
            assert!(after.contains(near), "{import}: {}", ended.errors);
        }
    }
}

#[test]
fn every_mistake_of_a_file_is_reported_at_once() {
    let folder = Folder::with(
        r#"name = "mistaken"

[component.web]
source = "hello-p2.wasm"
keyvalu = ["default"]
keyvalue = ["orders"]

[component.gone]
source = "gone.txt"

[http]
listen = ["127.0.0.1:http"]

[[http.route]]
component = "wbe"

[keyvalue]
default = "embeded:"
"#,
    );
    let ended = folder.run(&["serve"]);
    assert_eq!(ended.code, Some(64));
    for (place, words) in [
        ("wharf.toml:5:1", "did you mean `keyvalue`?"),
        ("wharf.toml:6:13", "orders"),
        ("wharf.toml:9:10", "gone.txt"),
        ("wharf.toml:12:11", "127.0.0.1:http"),
        ("wharf.toml:15:13", "did you mean `web`?"),
        ("wharf.toml:18:11", "did you mean `embedded`?"),
    ] {
        assert!(ended.errors.contains(place), "{place}: {}", ended.errors);
        assert!(ended.errors.contains(words), "{words}: {}", ended.errors);
    }
    assert!(ended.errors.trim_end().ends_with("6 mistakes"), "{}", ended.errors);
    // Nothing was opened before the whole file was found right.
    assert!(!folder.path().join(".wharf").exists());
}

#[test]
fn everything_that_shows_only_later_is_reported_at_once() {
    let folder = Folder::with(
        r#"name = "mistaken"

[component.web]
source = "hello-p2.wasm"

[component.rockets]
source = "imports-unknown.wasm"

[[http.route]]
component = "web"

[[http.route]]
path = "/rockets"
component = "rockets"

[[timer]]
component = "web"
every = "1s"

[[watch]]
component = "web"

[keyvalue]
default = "redis://127.0.0.1:1"
"#,
    );
    for verb in ["serve", "check"] {
        let ended = folder.run(&[verb]);
        assert_eq!(ended.code, Some(64), "{}", ended.errors);
        for (place, words) in [
            ("wharf.toml:7:10", "`acme:rockets/launch@1.2.3`"),
            ("wharf.toml:16:1", "exports no `wasi:cli/run`"),
            ("wharf.toml:20:1", "exports no `wasi:keyvalue/watcher`"),
            ("wharf.toml:24:11", "keyvalue binding `default` (redis)"),
        ] {
            assert!(ended.errors.contains(place), "{place}: {}", ended.errors);
            assert!(ended.errors.contains(words), "{words}: {}", ended.errors);
        }
        assert!(ended.errors.trim_end().ends_with("3 mistakes, 1 failure"), "{}", ended.errors);
    }
}

#[test]
fn a_name_that_is_bound_twice_is_a_mistake() {
    let file = "name = \"twice\"\n[keyvalue]\na = \"memory:\"\na = \"embedded:\"\n";
    let ended = Folder::with(file).run(&["serve"]);
    assert_eq!(ended.code, Some(64));
    assert!(ended.errors.contains("wharf.toml:4:1"), "{}", ended.errors);
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let folder = Folder::new();
    for (args, near) in [(&["srve"][..], "'serve'"), (&["serve", "--adr", "x"], "'--addr'")] {
        let ended = folder.run(args);
        assert_eq!(ended.code, Some(2));
        assert!(ended.errors.contains(near), "{}", ended.errors);
    }
    assert_eq!(folder.run(&[]).code, Some(2));
    assert_eq!(folder.run(&["serve", "--addr", "nonsense"]).code, Some(2));
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    folder.guest("hello-p2");
    let ended = folder.run(&["serve", "--addr", &address, "hello-p2.wasm"]);
    assert_eq!(ended.code, Some(69));
    assert!(ended.errors.contains(&address) && ended.errors.contains("--addr"), "{}", ended.errors);
    assert!(!folder.path().join(".wharf").exists(), "nothing was opened for a port that is taken");
}

#[test]
fn a_data_directory_belongs_to_one_process() {
    let first = serve("kv-draft2");
    assert_eq!(first.get("/set?k=a&v=1").status, 200);
    let second = refused(&first.folder, "kv-draft2.wasm");
    assert_eq!(second.code, Some(69), "{}", second.errors);
    assert!(second.errors.contains(".wharf/keyvalue/kv-draft2/default.redb"), "{}", second.errors);
    assert!(second.errors.contains("locked by another process"), "{}", second.errors);
    assert!(second.errors.contains("help: "), "{}", second.errors);
    assert_eq!(first.text("/get?k=a"), "1");
}

#[test]
fn a_damaged_data_file_is_refused_and_left_alone() {
    let wharf = serve("kv-draft2");
    assert_eq!(wharf.get("/set?k=a&v=1").status, 200);
    let folder = wharf.folder;
    drop(wharf.program);
    let file = folder.path().join(".wharf/keyvalue/kv-draft2/default.redb");
    let good = fs::read(&file).unwrap();
    let mut damaged = good.clone();
    damaged.iter_mut().skip(4096).step_by(7).for_each(|byte| *byte ^= 0x55);
    let short = good[..good.len() / 3].to_vec();
    for bad in [damaged, short, b"not a database at all, but 40 bytes long".to_vec()] {
        fs::write(&file, &bad).unwrap();
        let ended = refused(&folder, "kv-draft2.wasm");
        assert_eq!(ended.code, Some(65), "{}", ended.errors);
        assert!(ended.errors.contains("default.redb"), "{}", ended.errors);
        assert!(fs::read(&file).unwrap() == bad, "the file was changed");
    }
    fs::write(&file, &good).unwrap();
    let again = folder.serve(&["kv-draft2.wasm"]);
    assert_eq!(again.text("/get?k=a"), "1");
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let folder = Folder::with(
        r#"
            name = "nowhere"
            data = "occupied/data"
            [component.web]
            source = "kv-draft2.wasm"
            [[http.route]]
            component = "web"
        "#,
    );
    folder.write("occupied", "a file, where a folder should be");
    let ended = folder.run(&["serve", "--addr", "127.0.0.1:0"]);
    assert_eq!(ended.code, Some(69), "{}", ended.errors);
    assert!(ended.errors.contains("occupied"), "{}", ended.errors);
}
