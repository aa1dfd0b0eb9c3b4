//! What readers, writers and the thread that commits share.
//!
//! A write is decided at once, under one lock, against everything that was decided before it, and
//! put into the `active` layer. The writer thread turns layers into commits, one after the other;
//! whatever was written during one commit goes into the next. In strict mode a caller waits for
//! the commit that holds its write, and readers see only commits. In relaxed mode neither waits:
//! readers look into the layers first.

use super::Durability;
use super::file::{Layer, Snapshot};
use crate::local::{Clock, Hub, Record, Stored, Table, lock};
use crate::{Fence, Version, WriteOptions};
use arc_swap::ArcSwapOption;
use base::{Error, Result};
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

/// Above this many bytes in the active layer, writers wait for the disk.
const FULL: usize = 16 << 20;
/// What an entry costs in a layer besides its key and its value, about.
const OVERHEAD: usize = 128;

pub(super) struct Core {
    /// What messages call the store: its path.
    pub(super) name: String,
    pub(super) clock: Clock,
    pub(super) hub: Arc<Hub>,
    pub(super) durability: Durability,
    pub(super) commits: AtomicU64,
    /// The last commit. `None` while the file cannot be reached.
    pub(super) snapshot: ArcSwapOption<Snapshot>,
    pub(super) front: Mutex<Front>,
    /// Wakes the writer.
    pub(super) work: Condvar,
    /// Wakes callers that found the active layer full.
    room: Notify,
    full: AtomicBool,
    incarnation: u64,
}

/// What changes under the lock.
pub(super) struct Front {
    pub(super) active: Layer,
    pub(super) flushing: Option<Arc<Layer>>,
    pub(super) pending: Pending,
    /// The last number given to a change.
    sequence: u64,
    /// The writer waits for work.
    pub(super) idle: bool,
    /// The writer is not to wait for more work.
    pub(super) urgent: bool,
    pub(super) closing: bool,
    /// Why the last commit failed. Nothing is written until one succeeds.
    pub(super) failed: Option<String>,
}

/// Hears when something is on the disk.
type Committed = oneshot::Receiver<Result<()>>;

/// Who waits for the active layer to be committed.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) records: Vec<Record>,
    pub(super) waiters: Vec<oneshot::Sender<Result<()>>>,
}

impl Core {
    pub(super) fn new(name: String, clock: Clock, durability: Durability) -> Self {
        let incarnation = crate::local::incarnation();
        let front = Front {
            active: Layer::default(),
            flushing: None,
            pending: Pending::default(),
            sequence: 0,
            idle: false,
            urgent: false,
            closing: false,
            failed: None,
        };
        Self {
            name,
            clock,
            hub: Hub::new(incarnation, false),
            durability,
            commits: AtomicU64::new(0),
            snapshot: ArcSwapOption::empty(),
            front: Mutex::new(front),
            work: Condvar::new(),
            room: Notify::new(),
            full: AtomicBool::new(false),
            incarnation,
        }
    }

    pub(super) fn is_strict(&self) -> bool {
        self.durability == Durability::Strict
    }

    /// The last commit.
    pub(super) fn committed(&self) -> Result<Arc<Snapshot>> {
        self.snapshot.load_full().ok_or_else(|| self.away("its file cannot be reached"))
    }

    /// The error of a store that cannot write or read now.
    pub(super) fn away(&self, why: &str) -> Error {
        Error::unavailable(format!("`{}`: {why}", self.name))
    }

    /// Decides a write and, in strict mode, waits until it is on the disk.
    pub(super) async fn write<T: Send>(
        &self,
        decide: impl FnOnce(&mut Edit<'_>) -> Result<T> + Send,
    ) -> Result<T> {
        while self.full.load(Ordering::Acquire) {
            let room = self.room.notified();
            // Looked at again, because room may have come before `room` was listening.
            if self.full.load(Ordering::Acquire) {
                room.await;
            }
        }
        let (decided, committed) = self.decide(decide)?;
        if let Some(committed) = committed {
            match committed.await {
                Ok(committed) => committed?,
                Err(_) => return Err(self.away("it was closed")),
            }
        }
        decided
    }

    /// Decides a write under the lock. What comes second is to be waited for.
    fn decide<T>(
        &self,
        decide: impl FnOnce(&mut Edit<'_>) -> Result<T>,
    ) -> Result<(Result<T>, Option<Committed>)> {
        let mut edit = self.edit()?;
        let decided = decide(&mut edit);
        let mut front = edit.front;
        let committed = self.is_strict().then(|| front.committed()).flatten();
        if front.active.size > FULL {
            self.full.store(true, Ordering::Release);
            front.urgent = true;
        }
        // Waking a thread costs more than all the rest, so only one that sleeps is woken.
        if (front.idle || front.urgent) && front.has_work() {
            front.idle = false;
            self.work.notify_one();
        }
        Ok((decided, committed))
    }

    /// The table under its lock.
    pub(super) fn edit(&self) -> Result<Edit<'_>> {
        let front = lock(&self.front);
        if let Some(why) = &front.failed {
            return Err(self.away(why));
        }
        if front.closing {
            return Err(self.away("it is closed"));
        }
        let snapshot = self.committed()?;
        Ok(Edit { core: self, front, snapshot })
    }

    /// Lets callers go on that found the active layer full.
    pub(super) fn make_room(&self) {
        self.full.store(false, Ordering::Release);
        self.room.notify_waiters();
    }

    /// An entry as readers see it, over or not.
    pub(super) fn find(&self, key: &str) -> Result<Option<Stored>> {
        if !self.is_strict()
            && let Some(found) = lock(&self.front).find(key)
        {
            return Ok(found.clone());
        }
        // Loaded after the layers were found without it: what left them is in here.
        match &*self.snapshot.load() {
            Some(snapshot) => snapshot.find(key),
            None => Err(self.away("its file cannot be reached")),
        }
    }
}

impl Front {
    /// What the layers say of a key; `Some(None)` that it is gone.
    pub(super) fn find(&self, key: &str) -> Option<&Option<Stored>> {
        let flushing = || self.flushing.as_ref()?.entries.get(key);
        self.active.entries.get(key).or_else(flushing)
    }

    pub(super) fn has_work(&self) -> bool {
        !self.active.is_empty() || !self.pending.waiters.is_empty()
    }

    /// Hears when everything decided so far is on the disk. `None`: it is.
    fn committed(&mut self) -> Option<Committed> {
        if self.active.is_empty() && self.flushing.is_none() {
            return None;
        }
        let (done, committed) = oneshot::channel();
        self.pending.waiters.push(done);
        Some(committed)
    }
}

/// The table under its lock, as the rules need it.
pub(super) struct Edit<'a> {
    core: &'a Core,
    pub(super) front: MutexGuard<'a, Front>,
    snapshot: Arc<Snapshot>,
}

impl Edit<'_> {
    fn next_version(&mut self) -> u128 {
        self.front.sequence += 1;
        u128::from(self.core.incarnation) << 64 | u128::from(self.front.sequence)
    }

    /// Watchers hear of a change when readers see it.
    fn publish(&mut self, key: Arc<str>, value: Option<(Bytes, u128)>) {
        let record = self.core.hub.record(self.front.sequence, key, value);
        if self.core.is_strict() {
            self.front.pending.records.push(record);
        } else if !self.core.hub.is_idle() {
            self.core.hub.publish(record);
        }
    }
}

impl Table for Edit<'_> {
    fn now(&self) -> u64 {
        self.core.clock.now()
    }

    fn deadline(&self, options: &WriteOptions) -> u64 {
        options.ttl.map_or(Stored::NEVER, |ttl| self.core.clock.deadline(ttl))
    }

    fn find(&self, key: &str) -> Result<Option<Stored>> {
        match self.front.find(key) {
            Some(found) => Ok(found.clone()),
            None => self.snapshot.find(key),
        }
    }

    fn admit(&mut self, _entries: &[(&str, usize)]) -> Result<()> {
        Ok(())
    }

    fn put(&mut self, key: &str, value: Bytes, expires: u64) -> Version {
        let version = self.next_version();
        let key = Arc::<str>::from(key);
        self.front.active.size += key.len() + value.len() + OVERHEAD;
        self.publish(Arc::clone(&key), Some((value.clone(), version)));
        self.front.active.entries.insert(key, Some(Stored { value, version, expires }));
        Version::from(version)
    }

    fn remove(&mut self, key: &str) {
        self.next_version();
        let key = Arc::<str>::from(key);
        self.front.active.size += key.len() + OVERHEAD;
        self.publish(Arc::clone(&key), None);
        self.front.active.entries.insert(key, None);
    }

    fn token(&self, lock: &str) -> Result<Option<u64>> {
        let front = &self.front;
        let flushing = || front.flushing.as_ref()?.tokens.get(lock);
        match front.active.tokens.get(lock).or_else(flushing) {
            Some(token) => Ok(Some(*token)),
            None => self.snapshot.token(lock),
        }
    }

    fn keep_token(&mut self, fence: &Fence) {
        self.front.active.tokens.insert(fence.lock.clone(), fence.token);
    }
}
