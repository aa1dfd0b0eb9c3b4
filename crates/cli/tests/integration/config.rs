//! Configuration: every id, every source, one state for each request.

use crate::support::{Folder, Served, eventually, serve};
use std::fs;

/// The ids that the guest knows.
const IDS: [&str; 4] = ["rc1", "draft", "draft-2024-09-27", "runtime"];

const LAYERS: &str = r#"
    name = "layers"
    [component.web]
    source = "config-reader.wasm"
    config = { a = "inline", b = "inline", "dotted.key" = "${env:FROM_ENV}" }
    config-from = ["file", "lines", "dir", "vars"]
    [[http.route]]
    component = "web"
    [config]
    file = "file:settings.toml"
    lines = "dotenv:.env"
    dir = "dir:mounted"
    vars = "env:APP_"
    json = "file:other.json"
"#;

fn layers() -> Served {
    let folder = Folder::with(LAYERS);
    folder.write("settings.toml", "b = \"file\"\nc = \"file\"\n");
    folder.write(".env", "c=lines\nd='li nes'\n# no more\n");
    folder.write("mounted/d", "dir\n");
    folder.write("mounted/e", "dir");
    folder.write("mounted/.hidden", "x");
    folder.write("other.json", "{\"z\": \"not asked for\"}");
    let mut command = folder.wharf(&["serve", "--addr", "127.0.0.1:0"]);
    command.env("FROM_ENV", "from the environment").env("APP_e", "vars").env("APP_f", "vars");
    Served::start(folder, command)
}

pub(crate) mod config_reader {
    use super::{IDS, eventually, fs, layers, serve};

    #[test]
    fn every_id_reads_the_same() {
        let wharf = layers();
        let all = "a=inline\nb=file\nc=lines\nd=dir\ndotted.key=from the environment\n\
                   e=vars\nf=vars";
        for id in IDS {
            assert_eq!(wharf.text(&format!("/{id}")), all, "{id}");
            assert_eq!(wharf.text(&format!("/{id}?k=dotted.key")), "from the environment");
            assert_eq!(wharf.get(&format!("/{id}?k=nothing")).status, 404);
            assert_eq!(wharf.get(&format!("/{id}?k=z")).status, 404, "a source not named");
        }
    }

    #[test]
    fn without_settings_there_are_none() {
        let wharf = serve("config-reader");
        for id in IDS {
            assert_eq!(wharf.text(&format!("/{id}")), "");
        }
    }

    #[test]
    fn files_are_followed_without_a_signal() {
        let wharf = layers();
        wharf.folder.write("settings.toml", "b = \"new\"\n");
        wharf.folder.write(".env", "c=new\n");
        wharf.folder.write("mounted/d", "new");
        fs::remove_file(wharf.folder.path().join("mounted/e")).unwrap();
        let all = "a=inline\nb=new\nc=new\nd=new\ndotted.key=from the environment\n\
                   e=vars\nf=vars";
        eventually("the new state", || (wharf.text("/rc1") == all).then_some(()));
        // What cannot be read leaves the old state, and the log says why.
        wharf.folder.write("settings.toml", "b = \n");
        wharf.program.wait_for("settings.toml");
        assert_eq!(wharf.text("/rc1?k=b"), "new");
    }

    #[test]
    fn a_change_is_seen_whole_or_not_at_all() {
        let wharf = layers();
        let state = |number: u32| format!("x = \"{number}\"\ny = \"{number}\"\n");
        for number in 1..=4 {
            // As editors and mounts do it: written beside, then put in its place.
            let beside = wharf.folder.write("settings.new", state(number));
            fs::rename(beside, wharf.folder.path().join("settings.toml")).unwrap();
            eventually("the next state", || {
                let text = wharf.text("/draft");
                let value = |name: &str| {
                    text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
                };
                assert_eq!(value("x="), value("y="), "half a change");
                (value("x=") == Some(number.to_string())).then_some(())
            });
        }
    }
}

#[test]
fn a_source_that_cannot_be_read_is_reported_before_serving() {
    let folder = Folder::with(LAYERS);
    let mut command = folder.wharf(&["serve", "--addr", "127.0.0.1:0"]);
    let ended = testkit::program::run(command.env("FROM_ENV", "x"), "");
    assert!(matches!(ended.code, Some(64 | 69)), "{}", ended.errors);
    for name in ["settings.toml", "mounted", "other.json"] {
        assert!(ended.errors.contains(name), "{name}: {}", ended.errors);
    }
}

#[test]
fn secrets_are_in_no_output() {
    let folder = Folder::with(
        r#"
            name = "secretive"
            [component.web]
            source = "config-reader.wasm"
            config = { password = "${secret:password}" }
            [[http.route]]
            component = "web"
            [secrets]
            from = "dir:secrets"
        "#,
    );
    folder.write("secrets/password", "hunter2-and-more\n");
    for args in [&["check"][..], &["check", "--format", "json", "--log", "trace"]] {
        let ended = folder.run(args);
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
        assert!(!ended.output.contains("hunter2") && !ended.errors.contains("hunter2"));
    }
    let wharf = folder.serve(&["--log", "debug"]);
    assert_eq!(wharf.text("/rc1?k=password"), "hunter2-and-more");
    assert!(!wharf.program.errors().join("\n").contains("hunter2"));
}
