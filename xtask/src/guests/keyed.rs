//! Things that take long to make, kept under a key of what they are made from.
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::places;

/// A hash of words and of every file under some folders, names and contents.
pub(super) fn key(words: &[&str], folders: &[&Path]) -> Result<String> {
    let mut hash = Sha256::new();
    for word in words {
        feed(&mut hash, word.as_bytes());
    }
    for folder in folders {
        feed_folder(&mut hash, folder, folder)?;
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// What tools leave in a folder: no part of what something is made from.
const LEFT_BEHIND: [&str; 2] = ["__pycache__", "node_modules"];

/// Each piece goes in with its length, so that no two lists of pieces look alike.
fn feed(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(bytes.len().to_le_bytes());
    hash.update(bytes);
}

fn feed_folder(hash: &mut Sha256, top: &Path, folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| !LEFT_BEHIND.iter().any(|name| path.ends_with(name)));
    paths.sort();
    for path in paths {
        if path.is_dir() {
            feed_folder(hash, top, &path)?;
        } else {
            let name = path.strip_prefix(top).unwrap_or(&path);
            feed(hash, name.as_os_str().as_encoded_bytes());
            feed(hash, &fs::read(&path)?);
        }
    }
    Ok(())
}

/// The file `NAME-KEY` of the cache, made first if it is not there.
///
/// `make` writes to a path beside it, which is renamed when all went well: what has the name is
/// whole.
pub(super) fn file(
    name: &str,
    key: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let place = places::cache().join(format!("{name}-{key}"));
    if !place.is_file() {
        let part = places::cache().join(format!("{name}-{key}.part"));
        fs::create_dir_all(part.parent().unwrap_or(&part))?;
        make(&part)?;
        fs::rename(&part, &place)?;
    }
    Ok(place)
}

/// The folder `NAME-KEY` of the cache, made first if it is not there.
///
/// It is made where it stays, because tools write their own place into their files. A file in it
/// says that it is whole.
pub(super) fn folder(
    name: &str,
    key: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let place = places::cache().join(format!("{name}-{key}"));
    if !place.join(WHOLE).is_file() {
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        fs::create_dir_all(&place)?;
        make(&place)?;
        fs::write(place.join(WHOLE), "")?;
    }
    Ok(place)
}

const WHOLE: &str = ".whole";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_changes_with_names_and_contents_alone() {
        let top = std::env::temp_dir().join(format!("xtask-keyed-{}", std::process::id()));
        let folder = top.join("sources");
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("a", "one");
        let first = key(&["word"], &[&folder]).unwrap();
        fs::create_dir_all(folder.join("__pycache__")).unwrap();
        write("__pycache__/a", "two");
        write("a", "one");
        assert_eq!(key(&["word"], &[&folder]).unwrap(), first);
        assert_ne!(key(&["other"], &[&folder]).unwrap(), first);
        write("a", "two");
        assert_ne!(key(&["word"], &[&folder]).unwrap(), first);
        fs::rename(folder.join("a"), folder.join("b")).unwrap();
        write("b", "one");
        assert_ne!(key(&["word"], &[&folder]).unwrap(), first);
        fs::remove_dir_all(&top).unwrap();
    }
}
