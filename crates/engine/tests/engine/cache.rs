//! Compiled code on disk: used again, never trusted blindly.

use crate::{ENGINES, component, load, source};
use base::Kind;
use engine::{Cache, Limits};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const BODY: &str = "(i32.add (local.get 0) (i32.const 1))";

/// The compiled files below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let inside = |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    inside(dir.to_owned()).flat_map(inside).collect()
}

#[test]
fn a_component_is_compiled_once() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    load("once", BODY, Limits::default(), Some(&cache));
    let [file] = &files(dir.path())[..] else { panic!("one file") };
    let written = fs::metadata(file).unwrap().modified().unwrap();
    load("again", BODY, Limits::default(), Some(&cache));
    assert_eq!(files(dir.path()), std::slice::from_ref(file));
    assert_eq!(fs::metadata(file).unwrap().modified().unwrap(), written);
}

#[test]
fn damaged_and_foreign_files_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    load("first", BODY, Limits::default(), Some(&cache));
    let [file] = &files(dir.path())[..] else { panic!("one file") };
    let good = fs::read(file).unwrap();
    for bad in [&good[..good.len() / 2], b"", b"something else"] {
        fs::write(file, bad).unwrap();
        load("next", BODY, Limits::default(), Some(&cache));
        assert_eq!(files(dir.path()).len(), 1);
        assert_eq!(fs::read(&files(dir.path())[0]).unwrap().len(), good.len());
    }
}

#[test]
fn other_settings_and_other_content_have_other_files() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    load("one", BODY, Limits::default(), Some(&cache));
    load("two", "(local.get 0)", Limits::default(), Some(&cache));
    let winch = ENGINES.pick(engine::Kind::Winch, Limits::default().stack).unwrap();
    cache.fill(&winch, &source(&component(BODY))).unwrap();
    assert_eq!(files(dir.path()).len(), 3);
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(Cache::open(dir.path()).unwrap_err().kind(), Kind::Denied);
}
