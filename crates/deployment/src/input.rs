//! What is read: a deployment file, a folder with one, or a bare component.

use crate::notes::Notes;
use crate::plan::Files;
use crate::source::Source;
use base::{Error, Kind, Mistake};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The deployment file of a folder.
pub const FILE: &str = "wharf.toml";

/// What to read, and what the command line adds to it.
pub struct Input<'a> {
    /// A deployment file, a folder with a `wharf.toml`, or a component.
    pub path: &'a Path,
    /// A file whose bindings and secrets take the place of the first file's.
    pub bindings: Option<&'a Path>,
    /// The environment variable of that name, for `${env:NAME}`.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Addresses that take the place of `[http] listen`, if there are any.
    pub listen: Vec<SocketAddr>,
    /// Environment variables that every component gets, in place of its own of the same name.
    pub environment: Vec<(String, String)>,
    /// Directories that every component may open besides its own.
    pub files: Vec<Files>,
    /// What `capabilities` of filters may name: host calls, callbacks, functions of WASI. `None`:
    /// nobody here knows.
    pub callable: Option<&'a [&'a str]>,
}

impl<'a> Input<'a> {
    /// The file at `path` alone.
    pub fn new(path: &'a Path, variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            path,
            bindings: None,
            variable,
            listen: Vec::new(),
            environment: Vec::new(),
            files: Vec::new(),
            callable: None,
        }
    }
}

/// The files that were found and read.
pub(crate) struct Loaded {
    /// The deployment file or, empty, the component; then the overlay, if there is one.
    pub(crate) sources: Arc<[Source]>,
    /// The directory of each source.
    pub(crate) bases: Vec<PathBuf>,
    /// Where there is no deployment file, the component.
    pub(crate) bare: Option<PathBuf>,
}

/// Reads the files. What cannot be read is a mistake, or a failure.
pub(crate) fn load(input: &Input<'_>, notes: &Notes) -> Loaded {
    let mut path = input.path.to_path_buf();
    if path.is_dir() {
        path.push(FILE);
        // What cannot be looked at is read below, which says why not.
        if matches!(path.try_exists(), Ok(false)) {
            let message = format!("there is no `{FILE}` in `{}`", input.path.display());
            let hint = "name a component or a deployment file";
            notes.mistake(0, Mistake::new(message).with_hint(hint));
            return Loaded { sources: Arc::new([]), bases: Vec::new(), bare: None };
        }
    }
    let bare = is_component(&path).then(|| path.clone());
    let text = if bare.is_some() { String::new() } else { read(&path, notes) };
    let mut sources = vec![Source { path: path.display().to_string(), text }];
    let mut bases = vec![folder(&path)];
    if let Some(overlay) = input.bindings {
        let text = read(overlay, notes);
        sources.push(Source { path: overlay.display().to_string(), text });
        bases.push(folder(overlay));
    }
    Loaded { sources: sources.into(), bases, bare }
}

fn folder(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Whether this is WebAssembly, or means to be: then there is no deployment file, and whoever
/// compiles it says what is wrong with it.
fn is_component(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    if matches!(extension, Some("wasm" | "wat" | "cwasm")) {
        return path.is_file();
    }
    let mut magic = [0; 4];
    path.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"\0asm"
}

fn read(path: &Path, notes: &Notes) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| {
        let error = match error.kind() {
            ErrorKind::InvalidData => io::Error::other("it is neither text nor WebAssembly"),
            _ => error,
        };
        let message = format!("cannot read `{}`", path.display());
        notes.finding(None, Error::unreadable(message, error, Kind::Invalid));
        String::new()
    })
}
