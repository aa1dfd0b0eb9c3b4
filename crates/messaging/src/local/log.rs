//! Where the messages of a broker inside this process are.

use crate::Message;
use base::Result;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What an entry costs besides its message, about.
const OVERHEAD: usize = 160;

/// A message in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) topic: Arc<str>,
    pub(crate) message: Message,
    /// When it was published, in milliseconds since 1970.
    pub(crate) time: u64,
    /// Nobody gets it before this time.
    pub(crate) not_before: u64,
}

impl Entry {
    /// How much room it takes.
    pub(crate) fn size(&self) -> u64 {
        (OVERHEAD + self.topic.len() + self.message.size()) as u64
    }
}

/// The messages in their order, each with a number of its own that only grows.
pub(crate) trait Log: Send + 'static {
    /// Takes one in, and gives its number.
    fn append(&mut self, entry: Entry) -> u64;

    /// The number of the next one.
    fn next(&self) -> u64;

    /// The number of the oldest that is there, or of the next one.
    fn first(&self) -> u64;

    /// At most `most` entries, from this number on, that may be handed out already.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn read(&self, from: u64, most: usize) -> Result<Vec<(u64, Arc<Entry>)>>;

    /// The entry with this number, unless it is gone.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn find(&self, number: u64) -> Result<Option<Arc<Entry>>>;

    /// Removes the oldest one.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn remove_first(&mut self) -> Result<()>;

    /// How much room all of them take.
    fn size(&self) -> u64;

    /// Whether groups, and the ids of messages, are to be kept with the messages.
    fn is_kept(&self) -> bool {
        false
    }

    /// Something is to be kept that changed; it has time.
    fn stir(&mut self) {}

    /// Whether anything can be taken in now.
    ///
    /// # Errors
    /// Why not.
    fn admit(&self) -> Result<()> {
        Ok(())
    }

    /// Hears when everything that was taken in is as safe as it is promised. `None`: it is.
    fn confirm(&mut self) -> Option<Confirmed> {
        None
    }
}

/// Hears what became of what was taken in.
pub(crate) type Confirmed = oneshot::Receiver<Result<()>>;

/// A log in memory.
#[derive(Default)]
pub(crate) struct Memory {
    entries: VecDeque<Arc<Entry>>,
    first: u64,
    size: u64,
}

impl Memory {
    fn at(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

impl Log for Memory {
    fn append(&mut self, entry: Entry) -> u64 {
        let number = self.next();
        self.size += entry.size();
        self.entries.push_back(Arc::new(entry));
        number
    }

    fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn first(&self) -> u64 {
        self.first
    }

    fn read(&self, from: u64, most: usize) -> Result<Vec<(u64, Arc<Entry>)>> {
        let from = from.max(self.first);
        let skipped = self.at(from).unwrap_or(usize::MAX);
        let found = self.entries.iter().skip(skipped).take(most);
        Ok((from..).zip(found.map(Arc::clone)).collect())
    }

    fn find(&self, number: u64) -> Result<Option<Arc<Entry>>> {
        Ok(self.at(number).and_then(|at| self.entries.get(at)).map(Arc::clone))
    }

    fn remove_first(&mut self) -> Result<()> {
        if let Some(gone) = self.entries.pop_front() {
            self.size -= gone.size();
            self.first += 1;
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.size
    }
}
