//! Files of redb: how they are made and opened.

use super::disk::Disk;
use super::{corrupt, locked, unreachable};
use crate::units::Size;
use crate::{Error, Kind, Result};
use redb::{
    Database, ReadableDatabase as _, StorageBackend, StorageError, TableDefinition, TableError,
    WriteTransaction,
};
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// What a file has in it.
#[derive(Clone, Copy)]
pub struct Layout {
    /// The table in which it says what it is.
    pub about: &'static str,
    /// The format that this program writes. Another one is refused.
    pub format: u64,
    /// Makes the tables that a new file has.
    pub tables: fn(&WriteTransaction) -> Result<(), TableError>,
}

impl Layout {
    const FORMAT: &str = "format";

    fn about(&self) -> TableDefinition<'static, &'static str, u64> {
        TableDefinition::new(self.about)
    }
}

/// Files up to this size are read whole when opened, so that damage shows before anything is
/// served. It costs about a millisecond for each of these megabytes.
const VERIFIED: u64 = 8 << 20;

/// The bytes of a file.
pub type Opened = io::Result<Box<dyn StorageBackend>>;

/// How to reach the bytes of a store, again after a failure.
pub type Opener = Box<dyn Fn() -> io::Result<Box<dyn StorageBackend>> + Send + Sync>;

/// An [`Opener`] of the file at `path`.
pub fn opener(path: &Path) -> Opener {
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
pub fn create(path: &Path, layout: &Layout) -> Result<()> {
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
    drop(open(&name, begin(), Size(1 << 20), layout)?);
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
pub fn open(name: &str, disk: Opened, cache: Size, layout: &Layout) -> Result<Database> {
    let disk = disk.and_then(Disk::new).map_err(|error| refused(name, redb::Error::Io(error)))?;
    // redb is careful with damaged files, but a few of its assertions still panic.
    let opened = catch_unwind(AssertUnwindSafe(|| find_right(&disk, cache, layout)));
    let database = match opened {
        Ok(Ok(database)) => database,
        Ok(Err(error)) => return Err(refused(name, error)),
        Err(_) => return Err(corrupt(name)),
    };
    disk.release().map_err(|error| unreachable(name, error))?;
    Ok(database)
}

fn find_right(disk: &Disk, cache: Size, layout: &Layout) -> Result<Database, redb::Error> {
    let new = disk.is_empty()?;
    let known = disk.len()?;
    let mut builder = Database::builder();
    let mut database = builder.set_cache_size(cache.bytes()).create_with_backend(disk.clone())?;
    if new {
        let write = database.begin_write()?;
        write.open_table(layout.about())?.insert(Layout::FORMAT, layout.format)?;
        (layout.tables)(&write)?;
        write.commit()?;
        return Ok(database);
    }
    let read = database.begin_read()?;
    let format = read.open_table(layout.about())?.get(Layout::FORMAT)?.map(|format| format.value());
    drop(read);
    match format {
        Some(found) if found == layout.format => {}
        Some(other) => {
            return Err(redb::Error::Corrupted(format!(
                "it was written in format {other}, and this program reads format {}",
                layout.format
            )));
        }
        None => return Err(redb::Error::Corrupted("it names no format".to_owned())),
    }
    if known <= VERIFIED && !database.check_integrity()? {
        return Err(redb::Error::Corrupted("its checksums do not match".to_owned()));
    }
    Ok(database)
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

/// What reading failed with.
pub fn failed_read(error: StorageError) -> Error {
    let kind = match error {
        StorageError::Corrupted(_) => Kind::Corrupt,
        _ => Kind::Unavailable,
    };
    Error::new(kind, "reading the store").with_source(error)
}
