//! Files of this machine that backends inside this process keep their data in: where they lie, and
//! what is found wrong with them. With the feature `embedded` also how those of redb are made and
//! opened.

#[cfg(feature = "embedded")]
mod disk;
#[cfg(feature = "embedded")]
mod store;

use crate::units::Size;
use crate::{Error, Place};
use serde::Deserialize;
use std::fmt::Write as _;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

#[cfg(feature = "embedded")]
pub use store::{Layout, Opened, Opener, create, failed_read, open, opener};

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Once it is on the disk. Writers that come together share one wait.
    #[default]
    Strict,
    /// At once. A crash loses the writes of the last `flush-interval`, and never a part of one.
    Relaxed,
}

/// How long a relaxed write may wait for the disk, where nothing else is said.
pub fn flush_interval() -> Duration {
    Duration::from_millis(100)
}

/// How much of a file is kept in memory, where nothing else is said.
pub fn cache() -> Size {
    Size(64 << 20)
}

/// The file of a binding, by what follows the scheme of its URL: that path in the data directory,
/// or without one a file of the binding's own, whose name ends so.
pub fn file(path: &str, place: &Place, end: &str) -> PathBuf {
    if !path.is_empty() {
        return place.data.join(path);
    }
    let folder = place.data.join(place.capability).join(file_name(&place.app));
    folder.join(file_name(&place.binding) + end)
}

/// Makes sure that what follows the scheme names a file in the data directory.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn check_path(path: &str) -> Result<(), String> {
    if path.ends_with('/') {
        return Err(format!("`{path}` is a folder; name the file in it"));
    }
    match Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
        true => Ok(()),
        false => Err(format!("`{path}` leads out of the data directory")),
    }
}

/// The name as a file's: what a folder might misread is written as `%` and two digits.
fn file_name(name: &str) -> String {
    let mut file = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => file.push(char::from(byte)),
            // Capitals too: some file systems do not tell them from small letters.
            _ => drop(write!(file, "%{byte:02x}")),
        }
    }
    file
}

/// What is at `name` cannot be reached.
pub fn unreachable(name: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "let this user read and write it, or set another `data`",
        _ => "see that its folder is there and its disk is well, or set another `data`",
    };
    Error::unavailable(format!("opening `{name}`")).with_source(error).with_hint(hint)
}

/// What is at `name` is not what was written.
pub fn corrupt(name: &str) -> Error {
    Error::corrupt(format!("`{name}` is damaged or no store of this program"))
        .with_hint("nothing in it was changed; put a copy back, or move it away to begin anew")
}

/// Another process has what is at `name`.
pub fn locked(name: &str) -> Error {
    Error::unavailable(format!("`{name}` is locked by another process"))
        .with_hint("stop the program that has it open, or set another `data` directory")
}

/// This process has what is at `path` already, with other settings.
pub fn other_settings(path: &Path) -> Error {
    Error::conflict(format!("`{}` is open with other settings", path.display()))
        .with_hint("give both bindings the same, or restart to change them")
}
