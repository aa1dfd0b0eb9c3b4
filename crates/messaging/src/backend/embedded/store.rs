//! The file as it is open: what commits to it, and opens it again when that failed.

use super::file::{self, LAYOUT, Snapshot};
use crate::local::{Found, Layer, Storage};
use base::embedded::{self, Opener};
use base::units::Size;
use base::{Error, Result};
use redb::Database;
use std::sync::Arc;

/// A file that is open.
pub(super) struct Store {
    name: String,
    opener: Opener,
    cache: Size,
    /// `None` after a failure, until the file was opened again.
    database: Option<Database>,
}

impl Store {
    /// Opens the file and reads what is to be known of it.
    pub(super) fn open(
        name: String,
        opener: Opener,
        cache: Size,
    ) -> Result<(Self, Found<Snapshot>)> {
        let database = embedded::open(&name, opener(), cache, &LAYOUT)?;
        let found = file::read(&database).map_err(|error| error.context(format!("`{name}`")))?;
        Ok((Self { name, opener, cache, database: Some(database) }, found))
    }

    fn away(&self, why: &str) -> Error {
        Error::unavailable(format!("`{}`: {why}", self.name))
    }
}

impl Storage for Store {
    type Committed = Snapshot;

    fn commit(&mut self, layer: &Layer) -> Result<Arc<Snapshot>> {
        let database = self.database.as_ref().ok_or_else(|| self.away("it is closed"))?;
        let failed = |error| self.away("writing it failed").with_source(error);
        file::commit(database, layer).map_err(failed)
    }

    /// A transaction is there as a whole or not at all, so nothing has to be removed.
    fn reopen(&mut self, _safe: u64) -> Result<Arc<Snapshot>> {
        // Closed first: the file may be open only once.
        self.database = None;
        let database = embedded::open(&self.name, (self.opener)(), self.cache, &LAYOUT)?;
        let snapshot = Snapshot::take(&database)
            .map_err(|error| Error::unavailable("reading it").with_source(error))?;
        self.database = Some(database);
        Ok(snapshot)
    }
}
