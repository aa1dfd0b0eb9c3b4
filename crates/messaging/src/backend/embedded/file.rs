//! The tables in the file.

use super::code::{decode, decode_group, encode, encode_group};
use crate::local::{Committed, Entry, Found, Kept, Layer, PendingRow, Rows};
use base::embedded::{Layout, failed_read};
use base::{Error, Result};
use redb::{
    Database, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    TableError, WriteTransaction,
};
use std::sync::Arc;

/// The messages by their numbers.
const MESSAGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("messages");
/// The groups by their ids.
const GROUPS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("groups");
/// By group and number: how often a message was handed out, and before when it is not again.
const PENDING: TableDefinition<'_, (u64, u64), (u32, u64)> = TableDefinition::new("pending");
/// The ids of messages: number and time of each.
const IDS: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("ids");
/// Numbers of the log as a whole.
const LOG: TableDefinition<'_, &str, u64> = TableDefinition::new("log");
const FIRST: &str = "first";
const NEXT: &str = "next";
const SIZE: &str = "size";
const INCARNATION: &str = "incarnation";

/// So many bytes of messages are read at once.
const READ: usize = 1 << 20;

/// The file as a whole.
pub(super) const LAYOUT: Layout = Layout { about: "wharf-messaging", format: 1, tables: make };

fn make(write: &WriteTransaction) -> Result<(), TableError> {
    drop(write.open_table(MESSAGES)?);
    drop(write.open_table(GROUPS)?);
    drop(write.open_table(PENDING)?);
    drop(write.open_table(IDS)?);
    let mut log = write.open_table(LOG)?;
    for (name, number) in [(FIRST, 0), (NEXT, 0), (SIZE, 0), (INCARNATION, base::incarnation())] {
        log.insert(name, number)?;
    }
    Ok(())
}

/// What a file has in it when it is opened.
pub(super) fn read(database: &Database) -> Result<Found<Snapshot>> {
    let wrong =
        |error: redb::Error| Error::unavailable("reading the broker's file").with_source(error);
    find(database).map_err(wrong)?
}

fn find(database: &Database) -> Result<Result<Found<Snapshot>>, redb::Error> {
    let read = database.begin_read()?;
    let log = read.open_table(LOG)?;
    let number = |name| Ok::<_, redb::Error>(log.get(name)?.map_or(0, |row| row.value()));
    let mut kept = Kept::default();
    for row in read.open_table(GROUPS)?.iter()? {
        let (id, row) = row?;
        match decode_group(row.value()) {
            Ok(row) => kept.groups.push((id.value(), row)),
            Err(error) => return Ok(Err(error)),
        }
    }
    for row in read.open_table(PENDING)?.iter()? {
        let (place, row) = row?;
        let (attempts, until) = row.value();
        kept.pending.push((place.value(), PendingRow { attempts, until }));
    }
    for row in read.open_table(IDS)?.iter()? {
        let (id, row) = row?;
        // Those of this program are text.
        kept.ids.push((String::from_utf8_lossy(id.value()).into_owned(), row.value()));
    }
    Ok(Ok(Found {
        committed: Arc::new(Snapshot { messages: read.open_table(MESSAGES)? }),
        first: number(FIRST)?,
        next: number(NEXT)?,
        size: number(SIZE)?,
        incarnation: number(INCARNATION)?,
        kept,
    }))
}

/// The messages as of one commit.
pub(super) struct Snapshot {
    messages: ReadOnlyTable<u64, &'static [u8]>,
}

impl Snapshot {
    pub(super) fn take(database: &Database) -> Result<Arc<Self>, redb::Error> {
        Ok(Arc::new(Self { messages: database.begin_read()?.open_table(MESSAGES)? }))
    }
}

impl Committed for Snapshot {
    fn find(&self, number: u64) -> Result<Option<Arc<Entry>>> {
        match self.messages.get(number).map_err(failed_read)? {
            Some(row) => Ok(Some(Arc::new(decode(row.value())?))),
            None => Ok(None),
        }
    }

    /// Not many more bytes than [`READ`].
    fn read(&self, from: u64, to: u64, most: usize) -> Result<Vec<(u64, Arc<Entry>)>> {
        let rows = self.messages.range(from..to).map_err(failed_read)?;
        let (mut found, mut size) = (Vec::new(), 0);
        for row in rows.take(most) {
            let (number, row) = row.map_err(failed_read)?;
            size += row.value().len();
            found.push((number.value(), Arc::new(decode(row.value())?)));
            if size > READ {
                break;
            }
        }
        Ok(found)
    }
}

/// Writes a layer and waits until it is on the disk.
pub(super) fn commit(database: &Database, layer: &Layer) -> Result<Arc<Snapshot>, redb::Error> {
    let write = database.begin_write()?;
    {
        let mut messages = write.open_table(MESSAGES)?;
        let mut row = Vec::new();
        for (number, entry) in &layer.entries {
            // What was removed before it was ever written is not.
            if *number >= layer.first {
                encode(entry, &mut row);
                messages.insert(number, row.as_slice())?;
            }
        }
        while messages.first()?.is_some_and(|(number, _)| number.value() < layer.first) {
            drop(messages.pop_first()?);
        }
        let mut log = write.open_table(LOG)?;
        for (name, number) in [(FIRST, layer.first), (NEXT, layer.next), (SIZE, layer.size)] {
            log.insert(name, number)?;
        }
    }
    commit_rows(&write, &layer.rows)?;
    write.commit()?;
    Snapshot::take(database)
}

fn commit_rows(write: &WriteTransaction, rows: &Rows) -> Result<(), redb::Error> {
    let mut groups = write.open_table(GROUPS)?;
    let mut pending = write.open_table(PENDING)?;
    for (id, group) in &rows.groups {
        groups.insert(id, encode_group(group).as_slice())?;
    }
    for (place, row) in &rows.pending {
        match row {
            Some(row) => drop(pending.insert(place, (row.attempts, row.until))?),
            None => drop(pending.remove(place)?),
        }
    }
    for id in &rows.removed {
        groups.remove(id)?;
        pending.retain_in((*id, 0)..=(*id, u64::MAX), |_, _| false)?;
    }
    if !rows.new_ids.is_empty() || !rows.old_ids.is_empty() {
        let mut ids = write.open_table(IDS)?;
        for id in &rows.old_ids {
            ids.remove(id.as_bytes())?;
        }
        for (id, known) in &rows.new_ids {
            ids.insert(id.as_bytes(), known)?;
        }
    }
    Ok(())
}
