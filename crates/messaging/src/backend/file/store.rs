//! The folder as it is open: what commits to it, and makes it right again when that failed.

use super::folder::{BROKEN, Folder};
use super::journal::{Batch, Journal, Unreadable};
use super::letter;
use super::shelf::{LARGEST, Shelf, file, number};
use super::{IN, LOCK};
use crate::local::{Entry, Found, Layer, Storage};
use base::embedded::{corrupt, unreachable};
use base::{Error, Result, incarnation};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// The file with what is kept of groups and ids.
const JOURNAL: &str = ".groups";
/// How the name of a file ends that is not finished.
const UNFINISHED: &str = ".new";
/// A journal is written anew when it is larger than this, and than so many times what it was.
const LONG: usize = 1 << 20;
const TIMES: usize = 4;
/// So many messages are written together.
const TOGETHER: usize = 64;

/// A folder that is open.
pub(super) struct Store {
    shelf: Arc<Shelf>,
    folder: Arc<dyn Folder>,
    /// How much of the journal counts, and how much that was when it was written anew.
    length: usize,
    begun: usize,
    /// The number of the oldest message, as the journal has it.
    first: u64,
    /// Open as long as no other process may have the folder.
    _lock: Option<File>,
}

impl Store {
    /// Looks what lies in the folder. What is not ours is set aside.
    pub(super) fn open(
        name: String,
        folder: Arc<dyn Folder>,
        lock: Option<File>,
    ) -> Result<(Self, Found<Shelf>)> {
        let away = |error| unreachable(&name, error);
        let listed = folder.list().map_err(away)?;
        let (journal, is_right) = match listed.iter().any(|(file, _)| file == JOURNAL) {
            true => read(&name, &*folder)?,
            false => match listed.iter().find(|(file, _)| !is_known(file)) {
                Some((file, _)) => return Err(foreign(&name, file)),
                None => {
                    let last = listed.iter().filter_map(|(file, _)| number(file)).max();
                    (Journal::new(incarnation(), last.map_or(0, |last| last + 1)), false)
                }
            },
        };
        let mut messages = Vec::new();
        let mut strange = Vec::new();
        for (file, length) in listed {
            match number(&file) {
                Some(_) if length > LARGEST => strange.push((file, "is too large")),
                Some(number) if (journal.first..journal.next).contains(&number) => {
                    messages.push((number, length));
                }
                // What was removed is, and what was not finished is not there: messages that were
                // written together are there together.
                Some(_) if folder.remove(&file).is_ok() => {}
                None if is_unfinished(&file) && folder.remove(&file).is_ok() => {}
                None if is_known(&file) || file == JOURNAL => {}
                _ => strange.push((file, "is no message")),
            }
        }
        messages.sort_unstable();
        let next = journal.least_next();
        let first = messages.first().map_or(next, |(number, _)| *number);
        let size = messages.iter().map(|(_, length)| length).sum();
        let shelf = Arc::new(Shelf::new(name.clone(), Arc::clone(&folder), messages));
        for (file, why) in strange {
            shelf.set_aside(&file, why);
        }
        let mut store = Self {
            shelf: Arc::clone(&shelf),
            folder,
            length: journal.length,
            begun: journal.length,
            first: journal.first,
            _lock: lock,
        };
        if !is_right {
            store.write_anew(&journal).map_err(away)?;
        }
        let incarnation = journal.incarnation;
        let kept = journal.into_kept();
        Ok((store, Found { committed: shelf, first, next, size, incarnation, kept }))
    }

    fn write_anew(&mut self, journal: &Journal) -> io::Result<()> {
        let (bytes, unfinished) = (journal.bytes(), format!("{JOURNAL}{UNFINISHED}"));
        self.length = bytes.len();
        self.begun = bytes.len();
        self.folder.write(&[(unfinished.clone(), bytes)])?;
        self.folder.rename(&unfinished, JOURNAL)?;
        self.folder.sync()
    }

    /// The journal as far as it counts.
    fn journal(&self) -> io::Result<Journal> {
        let bytes = self.folder.read(JOURNAL, u64::MAX)?;
        let bytes = bytes.get(..self.length).unwrap_or(&bytes);
        Journal::read(bytes).map_err(|_wrong| io::Error::other(format!("`{JOURNAL}` is damaged")))
    }

    fn try_commit(&mut self, layer: &Layer) -> io::Result<()> {
        // What was removed before it was ever written is not.
        let entries: Vec<&(u64, Arc<Entry>)> =
            layer.entries.iter().filter(|(number, _)| *number >= layer.first).collect();
        for entries in entries.chunks(TOGETHER) {
            let unfinished = |number| format!(".{}{UNFINISHED}", file(number));
            let write =
                |(number, entry): &&(u64, Arc<Entry>)| (unfinished(*number), letter::encode(entry));
            self.folder.write(&entries.iter().map(write).collect::<Vec<_>>())?;
            for (number, _) in entries {
                self.folder.rename(&unfinished(*number), &file(*number))?;
            }
        }
        if !entries.is_empty() {
            self.folder.sync()?;
        }
        // Only now, as this is what makes them count.
        if !(entries.is_empty() && layer.rows.is_empty() && layer.first == self.first) {
            let bytes = Batch::of(&layer.rows, (layer.first, layer.next)).bytes();
            self.folder.append(JOURNAL, &bytes)?;
            self.length += bytes.len();
            self.first = layer.first;
        }
        if self.length > LONG.max(TIMES * self.begun) {
            let journal = self.journal()?;
            self.write_anew(&journal)?;
        }
        self.shelf.add(entries.iter().map(|(number, entry)| (*number, entry.size())));
        for number in self.shelf.take_before(layer.first) {
            let file = file(number);
            match self.folder.remove(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let folder = self.shelf.name.as_str();
                    tracing::warn!(folder, file, %error, "removing a message failed");
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn make_right(&mut self, safe: u64) -> io::Result<()> {
        for (file, _) in self.folder.list()? {
            let is_left = is_unfinished(&file) || number(&file).is_some_and(|it| it >= safe);
            if is_left && self.folder.remove(&file).is_err() {
                self.folder.set_aside(&file)?;
            }
        }
        // What a failed write left of the old one is not known.
        let journal = self.journal()?;
        self.first = journal.first;
        self.write_anew(&journal)
    }
}

impl Storage for Store {
    type Committed = Shelf;

    fn commit(&mut self, layer: &Layer) -> Result<Arc<Shelf>> {
        let name = &self.shelf.name;
        let failed = Error::unavailable(format!("`{name}`: writing it failed"));
        match self.try_commit(layer) {
            Ok(()) => Ok(Arc::clone(&self.shelf)),
            Err(error) => Err(failed.with_source(error)),
        }
    }

    fn reopen(&mut self, safe: u64) -> Result<Arc<Shelf>> {
        self.make_right(safe).map_err(|error| unreachable(&self.shelf.name, error))?;
        Ok(Arc::clone(&self.shelf))
    }
}

fn is_unfinished(file: &str) -> bool {
    file.starts_with('.') && file.ends_with(UNFINISHED)
}

/// Whether a file may lie in a folder that is to be ours.
fn is_known(file: &str) -> bool {
    number(file).is_some() || is_unfinished(file) || [LOCK, IN, BROKEN].contains(&file)
}

fn foreign(name: &str, file: &str) -> Error {
    Error::corrupt(format!("`{name}` is no folder of this program: `{file}` is in it"))
        .with_hint("nothing in it was changed; name a folder that is empty, or not there yet")
}

/// The journal in a folder, and whether all of it was finished.
fn read(name: &str, folder: &dyn Folder) -> Result<(Journal, bool)> {
    let bytes = folder.read(JOURNAL, u64::MAX).map_err(|error| unreachable(name, error))?;
    match Journal::read(&bytes) {
        Ok(journal) => {
            let is_right = journal.length == bytes.len();
            Ok((journal, is_right))
        }
        Err(Unreadable::Format(other)) => {
            let why = format!("it was written in format {other}, which this program cannot read");
            Err(corrupt(name).with_source(why))
        }
        Err(Unreadable::Damaged) => Err(Error::corrupt(format!("`{name}/{JOURNAL}` is damaged"))
            .with_hint("put a copy back, or remove it to go on with the messages and no groups")),
    }
}
