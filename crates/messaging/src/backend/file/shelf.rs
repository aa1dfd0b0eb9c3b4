//! The messages that lie in the folder, and which of them turned out to be none.

use super::folder::Folder;
use super::letter::{self, Letter};
use crate::local::{Committed, Entry};
use base::{Error, Result, lock};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

/// How the name of a message's file ends.
pub(super) const END: &str = ".msg";
/// The most bytes of a file with a message, however much of its head is escaped.
pub(super) const LARGEST: u64 = 64 << 20;
/// So many bytes of messages are read at once.
const READ: u64 = 1 << 20;

/// The file of a message.
pub(super) fn file(number: u64) -> String {
    format!("{number:016}{END}")
}

/// The number of the message that lies in a file of this name.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(END)?;
    let number = digits.parse().ok()?;
    // No other spelling of it.
    (file(number) == name && number < u64::MAX / 2).then_some(number)
}

/// Where a message lies.
#[derive(Clone, Copy)]
struct Place {
    /// How much room it takes, also when it is gone, until its number is past.
    size: u64,
    is_gone: bool,
}

/// The messages in the folder.
pub(crate) struct Shelf {
    /// What the folder is called in messages.
    pub(super) name: String,
    pub(super) folder: Arc<dyn Folder>,
    places: Mutex<BTreeMap<u64, Place>>,
}

impl Shelf {
    /// The messages with these numbers and sizes.
    pub(super) fn new(
        name: String,
        folder: Arc<dyn Folder>,
        found: impl IntoIterator<Item = (u64, u64)>,
    ) -> Self {
        let place = |(number, size)| (number, Place { size, is_gone: false });
        let places = Mutex::new(found.into_iter().map(place).collect());
        Self { name, folder, places }
    }

    /// Takes note of messages that were committed.
    pub(super) fn add(&self, found: impl IntoIterator<Item = (u64, u64)>) {
        let mut places = lock(&self.places);
        places.extend(found.into_iter().map(|(number, size)| {
            let is_gone = false;
            (number, Place { size, is_gone })
        }));
    }

    /// Lets go of what lies before a number, and says which files that are.
    pub(super) fn take_before(&self, first: u64) -> Vec<u64> {
        let mut places = lock(&self.places);
        let rest = places.split_off(&first);
        let gone = std::mem::replace(&mut *places, rest);
        gone.into_iter().filter(|(_, place)| !place.is_gone).map(|(number, _)| number).collect()
    }

    /// Sets a file aside that is no message, or says why it cannot.
    pub(super) fn set_aside(&self, file: &str, why: &str) {
        let folder = &self.name;
        match self.folder.set_aside(file) {
            Ok(()) => tracing::warn!(folder, file, why, "a file was set aside"),
            Err(error) => tracing::error!(folder, file, why, %error, "setting a file aside failed"),
        }
    }

    fn is_gone(&self, number: u64) {
        if let Some(place) = lock(&self.places).get_mut(&number) {
            place.is_gone = true;
        }
    }

    /// Reads what lies under a number. What is no message is set aside.
    fn open(&self, number: u64) -> Result<Option<Arc<Entry>>> {
        let file = file(number);
        let why = match self.folder.read(&file, LARGEST) {
            Ok(bytes) => match letter::decode(bytes).map(Letter::into_entry) {
                Ok(entry) => return Ok(Some(Arc::new(entry))),
                Err(why) => why,
            },
            Err(error) if error.kind() == ErrorKind::FileTooLarge => "is too large".to_owned(),
            Err(error) if error.kind() == ErrorKind::IsADirectory => "is a folder".to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::warn!(folder = self.name, file, "somebody removed a message");
                self.is_gone(number);
                return Ok(None);
            }
            Err(error) => {
                let name = &self.name;
                return Err(
                    Error::unavailable(format!("reading `{name}/{file}`")).with_source(error)
                );
            }
        };
        self.set_aside(&file, &why);
        self.is_gone(number);
        Ok(None)
    }
}

impl Committed for Shelf {
    fn find(&self, number: u64) -> Result<Option<Arc<Entry>>> {
        let place = lock(&self.places).get(&number).copied();
        match place {
            Some(Place { is_gone: false, .. }) => self.open(number),
            _ => Ok(None),
        }
    }

    fn read(&self, from: u64, to: u64, most: usize) -> Result<Vec<(u64, Arc<Entry>)>> {
        let (mut found, mut size) = (Vec::new(), 0);
        let mut from = from;
        while found.len() < most && size < READ {
            let next = {
                let places = lock(&self.places);
                let mut there =
                    places.range(from..to.max(from)).filter(|(_, place)| !place.is_gone);
                there.next().map(|(number, place)| (*number, place.size))
            };
            let Some((number, length)) = next else { break };
            from = number + 1;
            if let Some(entry) = self.open(number)? {
                size += length;
                found.push((number, entry));
            }
        }
        Ok(found)
    }

    fn size_of(&self, number: u64) -> Result<u64> {
        Ok(lock(&self.places).get(&number).map_or(0, |place| place.size))
    }
}
