//! The tables in the file, how an entry is written in them, and what opening may find.

use super::disk::Disk;
use crate::local::Stored;
use base::units::Size;
use base::{Error, Kind, Result};
use bytes::Bytes;
use redb::{
    AccessGuard, Database, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _,
    StorageBackend, StorageError, TableDefinition, TableError, WriteTransaction,
};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Key to version (16 bytes), end (8 bytes), value. Bytes and not `str`, which redb would trust.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// When entries end. A row stays until its time, so it may speak of a former value.
const ENDS: TableDefinition<'_, (u64, &[u8]), ()> = TableDefinition::new("ends");
/// The highest fencing token of each lock.
const TOKENS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("tokens");
/// What the file says of itself.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("wharf-keyvalue");
const FORMAT: &str = "format";
/// The format that this program writes. A higher one is refused.
const CURRENT: u64 = 1;

/// Files up to this size are read whole when opened, so that damage shows before anything is
/// served. It costs about a millisecond for each of these megabytes.
const VERIFIED: u64 = 8 << 20;

/// The bytes of a store.
pub(super) type Opened = io::Result<Box<dyn StorageBackend>>;

/// How to reach the bytes of a store, again after a failure.
pub type Opener = Box<dyn Fn() -> io::Result<Box<dyn StorageBackend>> + Send + Sync>;

/// An [`Opener`] of the file at `path`.
pub(super) fn opener(path: &Path) -> Opener {
    let path = path.to_owned();
    Box::new(move || {
        let file = File::options().read(true).write(true).open(&path)?;
        if file.metadata()?.len() == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
        }
        let backend = redb::backends::FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Box::new(backend))
    })
}

/// Makes the file at `path` with its folders, unless it is there.
///
/// It is finished under another name and then given its own, so that a crash on the way leaves no
/// half store to be taken for a damaged one.
pub(super) fn create(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let name = path.display().to_string();
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    let folder = path.parent().unwrap_or(Path::new("."));
    let begin = || {
        std::fs::create_dir_all(folder)?;
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(unfinished)?;
        // Emptied only by whom no other process is ahead of.
        file.try_lock()?;
        file.set_len(0)?;
        let backend = redb::backends::FileBackend::new(file).map_err(io::Error::other)?;
        Opened::Ok(Box::new(backend))
    };
    drop(open(&name, begin(), Size(1 << 20))?);
    let finish = || {
        // A link and no renaming, which would replace the file of a process that was quicker.
        match std::fs::hard_link(unfinished, path) {
            Err(_) if path.exists() => {}
            Err(_) => return std::fs::rename(unfinished, path),
            Ok(()) => {}
        }
        std::fs::remove_file(unfinished)
    };
    // A file whose name is not on the disk is lost with the power, whatever is in it.
    let sync = |folder: &Path| File::open(folder)?.sync_all();
    let folders = || folder.ancestors().take(3).filter(|folder| folder.is_dir());
    let finished = finish().and_then(|()| folders().try_for_each(sync));
    match finished {
        Err(error) if !path.exists() => Err(unreachable(&name, error)),
        _ => Ok(()),
    }
}

/// Opens a store and checks that it is one. Until it is found right, nothing is written.
pub(super) fn open(name: &str, disk: Opened, cache: Size) -> Result<Database> {
    let disk = disk.and_then(Disk::new).map_err(|error| refused(name, redb::Error::Io(error)))?;
    // redb is careful with damaged files, but a few of its assertions still panic.
    let opened = catch_unwind(AssertUnwindSafe(|| find_right(&disk, cache)));
    let database = match opened {
        Ok(Ok(database)) => database,
        Ok(Err(error)) => return Err(refused(name, error)),
        Err(_) => return Err(corrupt(name)),
    };
    disk.release().map_err(|error| unreachable(name, error))?;
    Ok(database)
}

fn find_right(disk: &Disk, cache: Size) -> Result<Database, redb::Error> {
    let new = disk.is_empty()?;
    let known = disk.len()?;
    let mut builder = Database::builder();
    let mut database = builder.set_cache_size(cache.bytes()).create_with_backend(disk.clone())?;
    if new {
        let write = database.begin_write()?;
        write.open_table(ABOUT)?.insert(FORMAT, CURRENT)?;
        open_all(&write)?;
        write.commit()?;
        return Ok(database);
    }
    let read = database.begin_read()?;
    let format = read.open_table(ABOUT)?.get(FORMAT)?.map(|format| format.value());
    drop(read);
    match format {
        Some(CURRENT) => {}
        Some(other) => {
            return Err(redb::Error::Corrupted(format!(
                "it was written in format {other}, and this program reads format {CURRENT}"
            )));
        }
        None => return Err(redb::Error::Corrupted("it names no format".to_owned())),
    }
    if known <= VERIFIED && !database.check_integrity()? {
        return Err(redb::Error::Corrupted("its checksums do not match".to_owned()));
    }
    Ok(database)
}

fn open_all(write: &WriteTransaction) -> Result<(), TableError> {
    drop(write.open_table(ENTRIES)?);
    drop(write.open_table(ENDS)?);
    drop(write.open_table(TOKENS)?);
    Ok(())
}

fn unreachable(name: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "let this user read and write it, or set another `data`",
        _ => "see that its folder is there and its disk is well, or set another `data`",
    };
    Error::unavailable(format!("opening `{name}`")).with_source(error).with_hint(hint)
}

fn corrupt(name: &str) -> Error {
    Error::corrupt(format!("`{name}` is damaged or no store of this program"))
        .with_hint("nothing in it was changed; put a copy back, or move it away to begin anew")
}

fn refused(name: &str, error: redb::Error) -> Error {
    use io::ErrorKind::{InvalidData, UnexpectedEof, WouldBlock};
    use redb::Error as E;
    match error {
        E::DatabaseAlreadyOpen => locked(name),
        E::Io(error) if error.kind() == WouldBlock => locked(name),
        E::Io(error) if !matches!(error.kind(), InvalidData | UnexpectedEof) => {
            unreachable(name, error)
        }
        other => corrupt(name).with_source(other),
    }
}

fn locked(name: &str) -> Error {
    Error::unavailable(format!("`{name}` is locked by another process"))
        .with_hint("stop the program that has it open, or set another `data` directory")
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

fn failed_read(error: StorageError) -> Error {
    let kind = match error {
        StorageError::Corrupted(_) => Kind::Corrupt,
        _ => Kind::Unavailable,
    };
    Error::new(kind, "reading the store").with_source(error)
}
