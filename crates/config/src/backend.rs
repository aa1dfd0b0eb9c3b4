//! The sources of configuration. To add one: a file, its `mod`, its line in the list.

mod dir;
mod dotenv;
mod env;
mod file;

use crate::Source;
use base::backend::backend;
use base::{Backend, Entry, Place};
use std::path::PathBuf;

/// Every source, by the schemes that choose it.
pub const BACKENDS: &[Entry<dyn Source>] = &[
    backend::<dir::Dir>(),
    backend::<dotenv::Dotenv>(),
    backend::<env::Env>(),
    backend::<file::File>(),
];

/// What stands behind the scheme of `B`.
fn after_scheme<B: Backend>(url: &str) -> &str {
    let rest = B::SCHEMES.iter().find_map(|scheme| url.strip_prefix(scheme)?.strip_prefix(':'));
    rest.unwrap_or(url)
}

/// The path behind the scheme of `B`, relative to the folder of the file that binds it.
fn path<B: Backend>(url: &str, place: &Place) -> PathBuf {
    place.base.join(after_scheme::<B>(url))
}

/// Refuses a URL without a path.
fn check_path<B: Backend>(url: &str) -> Result<(), String> {
    match after_scheme::<B>(url) {
        "" => Err(format!("there is no path; write for example \"{}\"", B::EXAMPLE)),
        _ => Ok(()),
    }
}
