//! Where things lie: the repository, the build, what is kept between builds.
use std::env;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Cargo's target directory, as `CARGO_TARGET_DIR` says or beside the sources.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The finished guests. `testkit::guest` looks in the same place.
pub(crate) fn guests() -> PathBuf {
    target().join("guests")
}

/// What outlives a build: toolchains, tools and slow guests, each under its key.
pub(crate) fn cache() -> PathBuf {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.filter(|folder| folder.is_absolute());
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    base.or_else(home).unwrap_or_else(env::temp_dir).join("wharf")
}
