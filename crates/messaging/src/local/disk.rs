//! The log of which the last messages are in memory, and all that is committed on a disk.

use super::kept::Kept;
use super::log::{Confirmed, Entry, Log};
use super::state::Rows;
use base::{Error, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar};
use tokio::sync::oneshot;

/// So much of the last messages stays in memory, for those that keep up.
const TAIL: u64 = 16 << 20;
/// Above so many bytes that are not written yet, the writer is not to wait for more.
const FULL: u64 = 16 << 20;

/// The messages that are committed, as of one commit at least.
pub(crate) trait Committed: Send + Sync + 'static {
    /// The message with this number, unless it is gone.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn find(&self, number: u64) -> Result<Option<Arc<Entry>>>;

    /// At most `most` messages from this number on and before the other; fewer if they are large,
    /// and none only where there is none.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn read(&self, from: u64, to: u64, most: usize) -> Result<Vec<(u64, Arc<Entry>)>>;

    /// How much room a message takes.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn size_of(&self, number: u64) -> Result<u64> {
        Ok(self.find(number)?.map_or(0, |entry| entry.size()))
    }
}

/// What is on the disk when it is opened.
pub(crate) struct Found<C> {
    pub(crate) committed: Arc<C>,
    /// The number of the oldest message, and that of the next one.
    pub(crate) first: u64,
    pub(crate) next: u64,
    /// How much room the messages take.
    pub(crate) size: u64,
    pub(crate) incarnation: u64,
    pub(crate) kept: Kept,
}

/// What one commit changes.
#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) entries: Vec<(u64, Arc<Entry>)>,
    pub(crate) rows: Rows,
    pub(crate) first: u64,
    pub(crate) next: u64,
    pub(crate) size: u64,
}

/// A log on a disk.
pub(crate) struct Disk<C> {
    name: String,
    /// Whether messages are seen, and acknowledged, only once they are committed.
    is_strict: bool,
    /// The last messages, those that are not committed all among them.
    tail: VecDeque<Arc<Entry>>,
    tail_size: u64,
    first: u64,
    next: u64,
    size: u64,
    /// Every message below is committed.
    safe: u64,
    committed: Arc<C>,
    active: Vec<(u64, Arc<Entry>)>,
    active_size: u64,
    waiters: Vec<oneshot::Sender<Result<()>>>,
    /// Wakes the writer.
    pub(super) work: Arc<Condvar>,
    /// The writer waits for work.
    pub(super) idle: bool,
    /// Something is to be committed.
    pub(super) dirty: bool,
    /// Somebody waits for it.
    pub(super) urgent: bool,
    pub(super) closing: bool,
    /// Why the last commit failed. Nothing is taken in until one succeeds.
    pub(super) failed: Option<String>,
}

impl<C: Committed> Disk<C> {
    pub(super) fn new(name: String, is_strict: bool, found: &Found<C>) -> Self {
        Self {
            name,
            is_strict,
            tail: VecDeque::new(),
            tail_size: 0,
            first: found.first,
            next: found.next,
            size: found.size,
            safe: found.next,
            committed: Arc::clone(&found.committed),
            active: Vec::new(),
            active_size: 0,
            waiters: Vec::new(),
            work: Arc::default(),
            idle: false,
            dirty: false,
            urgent: false,
            closing: false,
            failed: None,
        }
    }

    /// The number of the first message of the tail.
    fn tail_first(&self) -> u64 {
        self.next - self.tail.len() as u64
    }

    /// Messages below may be handed out.
    fn visible(&self) -> u64 {
        if self.is_strict { self.safe } else { self.next }
    }

    fn in_tail(&self, number: u64) -> Option<&Arc<Entry>> {
        let at = number.checked_sub(self.tail_first())?;
        self.tail.get(usize::try_from(at).ok()?)
    }

    /// Lets go of what is committed and more than fits.
    fn cut_tail(&mut self) {
        while (self.tail_size > TAIL || self.tail_first() < self.first)
            && self.tail_first() < self.safe.max(self.first)
            && let Some(gone) = self.tail.pop_front()
        {
            self.tail_size -= gone.size();
        }
    }

    /// What is to be committed now, and who waits for it.
    pub(super) fn take_layer(&mut self, rows: Rows) -> (Layer, Vec<oneshot::Sender<Result<()>>>) {
        let entries = std::mem::take(&mut self.active);
        (self.active_size, self.dirty, self.urgent) = (0, false, false);
        let layer = Layer { entries, rows, first: self.first, next: self.next, size: self.size };
        (layer, std::mem::take(&mut self.waiters))
    }

    /// A layer is on the disk.
    pub(super) fn committed(&mut self, next: u64, committed: Arc<C>) {
        self.safe = next;
        self.committed = committed;
        self.failed = None;
        self.cut_tail();
    }

    /// The disk was opened again.
    pub(super) fn reopened(&mut self, committed: Arc<C>) {
        self.committed = committed;
    }

    /// Every message below is committed.
    pub(super) fn safe(&self) -> u64 {
        self.safe
    }

    /// What was not committed never will be. Returns who waits for it, and the number of the next
    /// message now.
    pub(super) fn give_up(&mut self) -> (Vec<oneshot::Sender<Result<()>>>, u64) {
        while self.next > self.safe
            && let Some(gone) = self.tail.pop_back()
        {
            self.next -= 1;
            self.tail_size -= gone.size();
            self.size -= gone.size();
        }
        self.first = self.first.min(self.next);
        self.active.clear();
        self.active_size = 0;
        self.dirty = true;
        (std::mem::take(&mut self.waiters), self.next)
    }

    pub(super) fn is_strict(&self) -> bool {
        self.is_strict
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The error of a broker that cannot write now.
    pub(super) fn away(&self, why: &str) -> Error {
        Error::unavailable(format!("`{}`: {why}", self.name))
    }

    /// Tells the writer that there is work. Waking a thread costs more than all the rest, so only
    /// one that sleeps is woken, and only where somebody waits or nothing was to do before.
    fn tell(&mut self, urgent: bool) {
        let is_news = !self.dirty || (urgent && !self.urgent);
        self.dirty = true;
        self.urgent |= urgent;
        if is_news && self.idle {
            self.work.notify_one();
        }
    }
}

impl<C: Committed> Log for Disk<C> {
    fn append(&mut self, entry: Entry) -> u64 {
        let (number, entry) = (self.next, Arc::new(entry));
        let size = entry.size();
        self.next += 1;
        self.size += size;
        self.tail_size += size;
        self.active_size += size;
        self.tail.push_back(Arc::clone(&entry));
        self.active.push((number, entry));
        self.tell(self.is_strict || self.active_size > FULL);
        self.cut_tail();
        number
    }

    fn next(&self) -> u64 {
        self.next
    }

    fn first(&self) -> u64 {
        self.first
    }

    fn read(&self, from: u64, most: usize) -> Result<Vec<(u64, Arc<Entry>)>> {
        let (from, to) = (from.max(self.first), self.visible());
        let tail_first = self.tail_first();
        if from < tail_first {
            let found = self.committed.read(from, to.min(tail_first), most)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        // Somebody may have removed all that were before the tail.
        let from = from.max(tail_first);
        let skipped = usize::try_from(from - tail_first).unwrap_or(usize::MAX);
        let count = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let found = self.tail.iter().skip(skipped).take(count.min(most));
        Ok((from..).zip(found.map(Arc::clone)).collect())
    }

    fn find(&self, number: u64) -> Result<Option<Arc<Entry>>> {
        if number < self.first {
            return Ok(None);
        }
        match self.in_tail(number) {
            Some(entry) => Ok(Some(Arc::clone(entry))),
            None => self.committed.find(number),
        }
    }

    fn remove_first(&mut self) -> Result<()> {
        if self.first < self.next {
            let size = match self.in_tail(self.first) {
                Some(entry) => entry.size(),
                None => self.committed.size_of(self.first)?,
            };
            self.size = self.size.saturating_sub(size);
            self.first += 1;
            self.cut_tail();
            self.tell(false);
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn is_kept(&self) -> bool {
        true
    }

    fn stir(&mut self) {
        self.tell(false);
    }

    fn admit(&self) -> Result<()> {
        match &self.failed {
            Some(why) => Err(self.away(why)),
            None if self.closing => Err(self.away("it is closed")),
            None if self.active_size > 4 * FULL => {
                Err(Error::exhausted(format!("`{}`: the disk is behind", self.name)))
            }
            None => Ok(()),
        }
    }

    fn confirm(&mut self) -> Option<Confirmed> {
        if !self.is_strict || self.safe == self.next {
            return None;
        }
        let (done, confirmed) = oneshot::channel();
        self.waiters.push(done);
        // Also who added nothing may wait for what is on its way.
        self.tell(true);
        Some(confirmed)
    }
}
