//! Entries in a file of this machine, kept by redb and written by one thread.

mod core;
mod file;
mod tree;
mod writer;

pub use base::embedded::{Durability, Opener};
pub(super) use tree::BEST;
pub use tree::Tree;

use crate::local::{Clock, Openings};
use crate::{Checked, Store};
use base::units::Size;
use base::{Backend, Error, Place, Result, embedded};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// `embedded:` — entries in a file of this machine.
///
/// Without a path, every binding has a file of its own, `keyvalue/<app>/<binding>.redb` in the data
/// directory. Bindings that name the same path share its entries.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Embedded {
    /// `embedded:` or `embedded:path/in/the/data/directory.redb`
    pub url: String,
    /// When a write is acknowledged: `"strict"` (default) or `"relaxed"`.
    #[serde(default)]
    pub durability: Durability,
    /// How long a relaxed write may wait for the disk. Default `"100ms"`.
    #[serde(
        default = "base::embedded::flush_interval",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub flush_interval: Duration,
    /// How much of the file is kept in memory. Default `"64MiB"`.
    #[serde(default = "base::embedded::cache")]
    pub cache: Size,
}

impl Embedded {
    /// What follows the scheme.
    fn path(&self) -> &str {
        self.url.split_once(':').map_or("", |(_, path)| path)
    }

    fn file(&self, place: &Place) -> PathBuf {
        embedded::file(self.path(), place, ".redb")
    }

    /// Opens a store over what `opener` opens, called `name` in messages.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](base::Kind) if it cannot be reached or is locked,
    /// [`Kind::Corrupt`](base::Kind) if it is no store of this program; nothing changed then.
    pub fn store(&self, name: String, opener: Opener, clock: Clock) -> Result<Checked<Tree>> {
        Tree::open(self, name, opener, clock, None).map(Checked::new)
    }

    /// The store in `path`, which may be open already. Blocks.
    fn find(&self, path: &Path) -> Result<Arc<Checked<Tree>>> {
        static OPEN: Openings<PathBuf, Checked<Tree>> = Openings::new();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let store = OPEN.find_or(path.clone(), |held| {
            embedded::create(&path, &file::LAYOUT)?;
            let name = path.display().to_string();
            let tree = Tree::open(self, name, embedded::opener(&path), Clock::System, Some(held))?;
            Ok(Arc::new(Checked::new(tree)))
        })?;
        if store.inner().is_like(self) {
            return Ok(store);
        }
        Err(embedded::other_settings(&path))
    }
}

impl Backend for Embedded {
    type Contract = dyn Store;
    const NAME: &'static str = "embedded";
    const SCHEMES: &'static [&'static str] = &["embedded"];
    const EXAMPLE: &'static str = "embedded:";

    fn check(&self) -> Result<(), String> {
        embedded::check_path(self.path())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Store>> {
        let path = self.file(&place);
        let opened = tokio::task::spawn_blocking(move || self.find(&path)).await;
        Ok(opened.map_err(|error| Error::internal("opening a store").with_source(error))??)
    }
}
