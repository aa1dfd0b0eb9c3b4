//! The compile cache: used again, never trusted, ours alone.

use crate::support::{Folder, Served};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.guest("hello-p2");
    folder
}

/// Serves with a cache of the folder's own, and shows that it serves.
fn serves(folder: Folder) -> Folder {
    let args = ["--addr", "127.0.0.1:0", "--cache", "cache", "hello-p2.wasm"];
    let command = folder.wharf(&[&["serve"], &args[..]].concat());
    let wharf = Served::start(folder, command);
    assert_eq!(wharf.text("/"), "Hello, world");
    drop(wharf.program);
    wharf.folder
}

/// The files of compiled code.
fn compiled(folder: &Folder) -> Vec<PathBuf> {
    fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, into) } else { into.push(path) }
        }
    }
    let mut files = Vec::new();
    walk(&folder.path().join("cache"), &mut files);
    files
}

fn stamp(path: &Path) -> (u64, SystemTime) {
    let found = fs::metadata(path).unwrap();
    (found.ino(), found.modified().unwrap())
}

#[test]
fn a_second_start_compiles_nothing() {
    let folder = serves(folder());
    let first = compiled(&folder);
    assert_eq!(first.len(), 1, "{first:?}");
    let before = stamp(&first[0]);
    let folder = serves(folder);
    assert_eq!(compiled(&folder), first);
    assert_eq!(stamp(&first[0]), before);
}

#[test]
fn compile_fills_it_ahead_of_time() {
    let folder = folder();
    let ended = folder.run(&["compile", "--cache", "cache", "hello-p2.wasm"]);
    assert_eq!(
        (ended.code, ended.errors.lines().last()),
        (Some(0), Some("Compiled hello-p2.wasm"))
    );
    let first = compiled(&folder);
    let before = stamp(&first[0]);
    let folder = serves(folder);
    assert_eq!((compiled(&folder), stamp(&first[0])), (first.clone(), before));
}

#[test]
fn a_changed_component_is_compiled_anew() {
    let folder = serves(folder());
    assert_eq!(compiled(&folder).len(), 1);
    let path = folder.path().join("hello-p2.wasm");
    let mut bytes = fs::read(&path).unwrap();
    // One more custom section, empty and without a name.
    bytes.extend([0, 1, 0]);
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    assert_eq!(compiled(&serves(folder)).len(), 2);
}

#[test]
fn a_damaged_file_is_replaced_and_never_run() {
    let folder = serves(folder());
    let file = compiled(&folder).remove(0);
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let mut folder = folder;
    for bad in [flipped, good[..good.len() / 2].to_vec(), Vec::new(), b"foreign".to_vec()] {
        fs::write(&file, &bad).unwrap();
        folder = serves(folder);
        let files = compiled(&folder);
        assert_eq!(files.len(), 1, "{files:?}");
        assert!(fs::read(&files[0]).unwrap().len() == good.len(), "it was compiled anew");
    }
}

#[test]
fn a_foreign_file_is_left_out() {
    let folder = serves(folder());
    let file = compiled(&folder).remove(0);
    let code = fs::read(&file).unwrap();
    let dir = file.parent().unwrap();
    // Good code under a name that is not its digest, and files that are no code at all.
    fs::write(dir.join(format!("{}.cwasm", "0".repeat(64))), &code[1..]).unwrap();
    fs::write(dir.join("readme.txt"), "ahoy").unwrap();
    let folder = serves(folder);
    assert!(compiled(&folder).contains(&file));
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let folder = folder();
    let dir = folder.path().join("cache");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    for verb in ["serve", "compile", "check"] {
        let ended = folder.run(&[verb, "--cache", "cache", "hello-p2.wasm"]);
        assert_eq!(ended.code, Some(69), "{}", ended.errors);
        assert!(ended.errors.contains("can be written by others"), "{}", ended.errors);
        assert!(ended.errors.contains("cache"), "{}", ended.errors);
    }
    assert!(compiled(&folder).is_empty());
}

#[test]
fn without_a_cache_nothing_is_kept() {
    let folder = folder();
    let ended = folder.run(&["check", "--no-cache", "hello-p2.wasm"]);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    assert!(!folder.path().join("cache").exists() && !folder.path().join(".cache").exists());
    assert_eq!(folder.run(&["compile", "--no-cache", "hello-p2.wasm"]).code, Some(2));
}

#[test]
fn the_usual_place_is_in_the_home_directory() {
    let folder = folder();
    let mut command = folder.wharf(&["compile", "hello-p2.wasm"]);
    let ended = testkit::program::run(command.env_remove("WHARF_CACHE"), "");
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let dir = folder.path().join(".cache/wharf/compiled");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn what_takes_longer_than_a_second_is_announced() {
    let folder = folder();
    folder.guest("hello-python");
    let mut command = folder.wharf(&["check", "--no-cache", "hello-python.wasm"]);
    let slow = testkit::program::run(&mut command, "");
    assert_eq!(slow.code, Some(0), "{}", slow.errors);
    let line = slow.errors.lines().next().unwrap();
    assert!(line.starts_with("Compiling hello-python (") && line.ends_with(" MB) …"), "{line}");
}
