//! Messages of one part of the topic that were read and that nobody is done with yet.

use crate::local::{Entry, Log};
use base::Result;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many messages, or bytes of them, are enough: no more are read until half of them are gone.
const FULL: usize = 512;
const FULL_BYTES: u64 = 16 << 20;

/// What was read of a part of the topic, by the numbers that Kafka gave.
#[derive(Default)]
pub(super) struct Buffer {
    entries: BTreeMap<u64, Arc<Entry>>,
    next: u64,
    size: u64,
}

impl Buffer {
    /// One in which the next message has this number.
    pub(super) fn at(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// There is nothing to keep before this number.
    pub(super) fn pass(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Somebody is done with a message.
    pub(super) fn remove(&mut self, number: u64) {
        if let Some(gone) = self.entries.remove(&number) {
            self.size -= gone.size();
        }
    }

    /// The number of the first message from this one on.
    pub(super) fn first_from(&self, number: u64) -> Option<u64> {
        self.entries.range(number..).next().map(|(number, _)| *number)
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= FULL || self.size >= FULL_BYTES
    }

    pub(super) fn has_room(&self) -> bool {
        self.entries.len() <= FULL / 2 && self.size <= FULL_BYTES / 2
    }
}

impl Log for Buffer {
    fn append(&mut self, entry: Entry) -> u64 {
        let number = self.next;
        self.size += entry.size();
        self.entries.insert(number, Arc::new(entry));
        self.next += 1;
        number
    }

    fn next(&self) -> u64 {
        self.next
    }

    fn first(&self) -> u64 {
        self.first_from(0).unwrap_or(self.next)
    }

    fn read(&self, from: u64, most: usize) -> Result<Vec<(u64, Arc<Entry>)>> {
        let found = self.entries.range(from..).take(most);
        Ok(found.map(|(number, entry)| (*number, Arc::clone(entry))).collect())
    }

    fn find(&self, number: u64) -> Result<Option<Arc<Entry>>> {
        Ok(self.entries.get(&number).map(Arc::clone))
    }

    fn remove_first(&mut self) -> Result<()> {
        self.remove(self.first());
        Ok(())
    }

    fn size(&self) -> u64 {
        self.size
    }
}
