//! The tables in the file, and how an entry is written in them.

use crate::local::Stored;
use base::embedded::{Layout, failed_read};
use base::{Error, Result};
use bytes::Bytes;
use redb::{
    AccessGuard, Database, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _,
    TableDefinition, TableError, WriteTransaction,
};
use std::ops::Bound;

/// Key to version (16 bytes), end (8 bytes), value. Bytes and not `str`, which redb would trust.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// When entries end. A row stays until its time, so it may speak of a former value.
const ENDS: TableDefinition<'_, (u64, &[u8]), ()> = TableDefinition::new("ends");
/// The highest fencing token of each lock.
const TOKENS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("tokens");
/// The file as a whole.
pub(super) const LAYOUT: Layout = Layout { about: "wharf-keyvalue", format: 1, tables: open_all };

fn open_all(write: &WriteTransaction) -> Result<(), TableError> {
    drop(write.open_table(ENTRIES)?);
    drop(write.open_table(ENDS)?);
    drop(write.open_table(TOKENS)?);
    Ok(())
}

/// A row of [`ENTRIES`].
type Row<'a> = (AccessGuard<'a, &'static [u8]>, AccessGuard<'a, &'static [u8]>);

/// The store as of one commit. Reading takes no lock.
pub(super) struct Snapshot {
    entries: ReadOnlyTable<&'static [u8], &'static [u8]>,
    ends: ReadOnlyTable<(u64, &'static [u8]), ()>,
    tokens: ReadOnlyTable<&'static [u8], u64>,
}

impl Snapshot {
    pub(super) fn take(database: &Database) -> Result<Self, redb::Error> {
        let read = database.begin_read()?;
        Ok(Self {
            entries: read.open_table(ENTRIES)?,
            ends: read.open_table(ENDS)?,
            tokens: read.open_table(TOKENS)?,
        })
    }

    pub(super) fn find(&self, key: &str) -> Result<Option<Stored>> {
        match self.entries.get(key.as_bytes()).map_err(failed_read)? {
            Some(row) => decode(row.value()).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn token(&self, lock: &str) -> Result<Option<u64>> {
        let row = self.tokens.get(lock.as_bytes()).map_err(failed_read)?;
        Ok(row.map(|row| row.value()))
    }

    /// The keys within `bounds` that begin with `prefix` and are not over at `now`, in order.
    pub(super) fn keys(
        &self,
        bounds: (Bound<&str>, Bound<&str>),
        prefix: &str,
        now: u64,
    ) -> Result<impl Iterator<Item = Result<String>>> {
        let (first, last) = bounds;
        let bounds = (first.map(str::as_bytes), last.map(str::as_bytes));
        let rows = self.entries.range::<&[u8]>(bounds).map_err(failed_read)?;
        let in_prefix = move |row: &Result<Row<'_>, _>| match row {
            Ok((key, _)) => key.value().starts_with(prefix.as_bytes()),
            Err(_) => true,
        };
        let key = move |row: Result<Row<'_>, _>| {
            let (key, row) = row.map_err(failed_read)?;
            let (_, end, _) = split(row.value()).ok_or_else(damaged)?;
            if end > now { text(key.value()).map(Some) } else { Ok(None) }
        };
        Ok(rows.take_while(in_prefix).map(key).filter_map(Result::transpose))
    }

    /// When the first entry ends.
    pub(super) fn first_end(&self) -> Result<Option<u64>> {
        Ok(self.ends.first().map_err(failed_read)?.map(|(row, _)| row.value().0))
    }

    /// At most `most` rows of entries that ended by `now`.
    pub(super) fn ended(&self, now: u64, most: usize) -> Result<Vec<(u64, String)>> {
        let rows =
            self.ends.range(..(now.saturating_add(1), [].as_slice())).map_err(failed_read)?;
        rows.take(most)
            .map(|row| {
                let (row, _) = row.map_err(failed_read)?;
                let (end, key) = row.value();
                Ok((end, text(key)?))
            })
            .collect()
    }
}

/// What one commit changes.
#[derive(Default)]
pub(super) struct Layer {
    /// New entries, and `None` for keys that are gone.
    pub(super) entries: std::collections::BTreeMap<std::sync::Arc<str>, Option<Stored>>,
    /// New highest tokens by lock.
    pub(super) tokens: std::collections::BTreeMap<String, u64>,
    /// Rows of [`ENDS`] that had their time.
    pub(super) ended: Vec<(u64, String)>,
    /// About how much memory it takes.
    pub(super) size: usize,
}

impl Layer {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.tokens.is_empty() && self.ended.is_empty()
    }

    /// The keys within `bounds` that begin with `prefix` and have a value at `now`, in order.
    pub(super) fn keys(
        &self,
        bounds: (Bound<&str>, Bound<&str>),
        prefix: &str,
        now: u64,
    ) -> impl Iterator<Item = Result<String>> {
        self.entries
            .range::<str, _>(bounds)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .filter(move |(_, stored)| stored.as_ref().is_some_and(|it| it.expires > now))
            .map(|(key, _)| Ok(key.as_ref().to_owned()))
    }
}

/// Writes a layer and waits until it is on the disk.
pub(super) fn commit(database: &Database, layer: &Layer) -> Result<Snapshot, redb::Error> {
    let write = database.begin_write()?;
    let mut entries = write.open_table(ENTRIES)?;
    let mut ends = write.open_table(ENDS)?;
    let mut row = Vec::new();
    for (end, key) in &layer.ended {
        ends.remove((*end, key.as_bytes()))?;
    }
    for (key, stored) in &layer.entries {
        let Some(stored) = stored else {
            entries.remove(key.as_bytes())?;
            continue;
        };
        row.clear();
        row.extend_from_slice(&stored.version.to_be_bytes());
        row.extend_from_slice(&stored.expires.to_be_bytes());
        row.extend_from_slice(&stored.value);
        entries.insert(key.as_bytes(), row.as_slice())?;
        if stored.expires != Stored::NEVER {
            ends.insert((stored.expires, key.as_bytes()), ())?;
        }
    }
    drop((entries, ends));
    if !layer.tokens.is_empty() {
        let mut tokens = write.open_table(TOKENS)?;
        for (lock, token) in &layer.tokens {
            tokens.insert(lock.as_bytes(), token)?;
        }
    }
    write.commit()?;
    Snapshot::take(database)
}

fn split(row: &[u8]) -> Option<(u128, u64, &[u8])> {
    let (version, row) = row.split_first_chunk()?;
    let (end, value) = row.split_first_chunk()?;
    Some((u128::from_be_bytes(*version), u64::from_be_bytes(*end), value))
}

fn decode(row: &[u8]) -> Result<Stored> {
    let (version, expires, value) = split(row).ok_or_else(damaged)?;
    Ok(Stored { value: Bytes::copy_from_slice(value), version, expires })
}

/// A key as text, which every key is that was written here.
fn text(key: &[u8]) -> Result<String> {
    String::from_utf8(key.to_vec()).map_err(|error| damaged().with_source(error))
}

fn damaged() -> Error {
    Error::corrupt("an entry of the store is damaged")
}
