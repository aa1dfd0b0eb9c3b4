//! The log of which the last messages are in memory, and all that is committed in the file.

use super::file::{Found, Layer, Snapshot};
use crate::local::{Confirmed, Entry, Log, Rows};
use base::{Error, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar};
use tokio::sync::oneshot;

/// So much of the last messages stays in memory, for those that keep up.
const TAIL: u64 = 16 << 20;
/// Above so many bytes that are not written yet, the writer is not to wait for more.
const FULL: u64 = 16 << 20;

/// The log behind `embedded:`.
pub(crate) struct Disk {
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
    snapshot: Arc<Snapshot>,
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

impl Disk {
    pub(super) fn new(name: String, is_strict: bool, found: &Found) -> Self {
        Self {
            name,
            is_strict,
            tail: VecDeque::new(),
            tail_size: 0,
            first: found.first,
            next: found.next,
            size: found.size,
            safe: found.next,
            snapshot: Arc::clone(&found.snapshot),
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

    /// A layer is in the file.
    pub(super) fn committed(&mut self, next: u64, snapshot: Snapshot) {
        self.safe = next;
        self.snapshot = Arc::new(snapshot);
        self.failed = None;
        self.cut_tail();
    }

    /// The file was opened again.
    pub(super) fn reopened(&mut self, snapshot: Snapshot) {
        self.snapshot = Arc::new(snapshot);
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

impl Log for Disk {
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
            return self.snapshot.read(from, to.min(tail_first), most);
        }
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
            None => self.snapshot.find(number),
        }
    }

    fn remove_first(&mut self) -> Result<()> {
        if self.first < self.next {
            let size = self.find(self.first)?.map_or(0, |entry| entry.size());
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
