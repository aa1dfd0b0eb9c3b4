//! The hub that tells watchers what changed, each through a bounded queue of its own.

use super::lock;
#[cfg(feature = "remote")]
use crate::Versioned;
use crate::{Change, Changes, Position, Version, WatchOptions};
use bytes::Bytes;
use futures::StreamExt as _;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// The most changes that wait for one watcher.
const QUEUE: usize = 1024;
/// The most bytes of values that wait for one watcher; a single larger one still fits.
const QUEUE_BYTES: usize = 8 << 20;
/// The most changes that are kept for watchers that come back.
const HISTORY: usize = 1024;
/// The most bytes of values that are kept for them.
const HISTORY_BYTES: usize = 4 << 20;

/// A change, shared by all watchers. Without a value: the key is gone.
pub(crate) struct Record {
    /// Its place in the store's sequence, where the store counts.
    sequence: u64,
    position: Position,
    pub(crate) key: Arc<str>,
    value: Option<(Bytes, Version)>,
}

impl Record {
    /// A change that a server told of, at its own position.
    #[cfg(feature = "remote")]
    pub(crate) fn remote(position: Position, key: String, value: Option<Versioned>) -> Self {
        let value = value.map(|stored| (stored.value, stored.version));
        Self { sequence: 0, position, key: key.into(), value }
    }

    /// What a watcher is told.
    pub(crate) fn change(&self) -> Change {
        let (key, position) = (self.key.as_ref().to_owned(), self.position);
        match &self.value {
            Some((value, version)) => {
                Change::Set { key, value: value.clone(), version: *version, position }
            }
            None => Change::Delete { key, position },
        }
    }

    fn size(&self) -> usize {
        self.value.as_ref().map_or(0, |(value, _)| value.len())
    }
}

/// What ends by itself, so that watchers hear of it in time.
pub(crate) trait Alarm: Send + Sync {
    /// How long until the next entry is over.
    fn next(&self) -> Option<Duration>;
    /// Removes what is over.
    fn ring(&self);
}

/// The watchers of one store.
pub(crate) struct Hub {
    incarnation: u64,
    watchers: AtomicUsize,
    parts: Mutex<Parts>,
}

struct Parts {
    closed: bool,
    /// The last sequence that was published, or `None` where no history is kept.
    last: Option<u64>,
    watchers: Vec<Arc<Watcher>>,
    history: VecDeque<Arc<Record>>,
    history_bytes: usize,
}

struct Watcher {
    options: WatchOptions,
    queue: Mutex<Queue>,
    notify: Notify,
}

#[derive(Default)]
struct Queue {
    closed: bool,
    missed: Option<Position>,
    records: VecDeque<Arc<Record>>,
    bytes: usize,
}

impl Hub {
    /// A hub, with a history for [`WatchOptions::from`] if `resumable`.
    pub(crate) fn new(incarnation: u64, resumable: bool) -> Arc<Self> {
        let parts = Parts {
            closed: false,
            last: resumable.then_some(0),
            watchers: Vec::new(),
            history: VecDeque::new(),
            history_bytes: 0,
        };
        Arc::new(Self { incarnation, watchers: AtomicUsize::new(0), parts: Mutex::new(parts) })
    }

    /// A change of a store that counts its changes.
    pub(crate) fn record(
        &self,
        sequence: u64,
        key: Arc<str>,
        value: Option<(Bytes, u128)>,
    ) -> Record {
        let value = value.map(|(value, version)| (value, Version::from(version)));
        Record { sequence, position: self.position(sequence), key, value }
    }

    /// Whether nobody watches now.
    #[cfg(any(feature = "embedded", feature = "remote"))]
    pub(crate) fn is_idle(&self) -> bool {
        self.watchers.load(Ordering::Acquire) == 0
    }

    /// Tells everybody. Called in the order of the sequence, under the store's lock.
    pub(crate) fn publish(&self, record: Record) {
        let mut parts = lock(&self.parts);
        let record = Arc::new(record);
        for watcher in &parts.watchers {
            if watcher.options.covers(&record.key) {
                watcher.push(Arc::clone(&record));
            }
        }
        if parts.last.is_some() {
            parts.remember(record);
        }
    }

    /// Tells everybody that changes up to this position are lost.
    #[cfg(feature = "remote")]
    pub(crate) fn miss(&self, position: Position) {
        for watcher in &lock(&self.parts).watchers {
            lock(&watcher.queue).miss(position);
            watcher.notify.notify_one();
        }
    }

    /// Ends every stream.
    pub(crate) fn close(&self) {
        let mut parts = lock(&self.parts);
        parts.closed = true;
        for watcher in parts.watchers.drain(..) {
            lock(&watcher.queue).closed = true;
            watcher.notify.notify_one();
        }
    }

    /// The changes that `options` cover. `alarm` is rung by whoever watches.
    pub(crate) fn watch(
        self: &Arc<Self>,
        options: &WatchOptions,
        alarm: Option<Weak<dyn Alarm>>,
    ) -> Changes {
        let mut parts = lock(&self.parts);
        let watcher = Arc::new(Watcher {
            options: options.clone(),
            queue: Mutex::new(Queue { closed: parts.closed, ..Queue::default() }),
            notify: Notify::new(),
        });
        if let Some(from) = &options.from {
            self.replay(&parts, from, &watcher);
        }
        parts.watchers.push(Arc::clone(&watcher));
        self.watchers.fetch_add(1, Ordering::AcqRel);
        drop(parts);
        let subscription = Subscription { hub: Arc::clone(self), watcher, alarm };
        futures::stream::unfold(subscription, |subscription| async {
            let change = subscription.next().await?;
            Some((Ok(change), subscription))
        })
        .boxed()
    }

    /// Gives a watcher that comes back what it has not seen, and says so if that is gone.
    fn replay(&self, parts: &Parts, from: &Position, watcher: &Watcher) {
        let last = parts.last.unwrap_or_default();
        let oldest = parts.history.front().map_or(last + 1, |record| record.sequence);
        let known = self.sequence(from).filter(|seen| (oldest - 1..=last).contains(seen));
        if known.is_none() {
            lock(&watcher.queue).missed = Some(self.position(oldest - 1));
        }
        for record in &parts.history {
            if known.is_none_or(|seen| record.sequence > seen)
                && watcher.options.covers(&record.key)
            {
                watcher.push(Arc::clone(record));
            }
        }
    }

    /// The sequence that `position` stands for, if this opening of the store made it.
    fn sequence(&self, position: &Position) -> Option<u64> {
        let number = u128::from_be_bytes(position.bytes().try_into().ok()?);
        let sequence = u64::try_from(number & u128::from(u64::MAX)).ok()?;
        (self.position(sequence) == *position).then_some(sequence)
    }

    fn position(&self, sequence: u64) -> Position {
        Position::from(u128::from(self.incarnation) << 64 | u128::from(sequence))
    }
}

impl Parts {
    fn remember(&mut self, record: Arc<Record>) {
        self.last = Some(record.sequence);
        self.history_bytes += record.size();
        self.history.push_back(record);
        while self.history.len() > HISTORY || self.history_bytes > HISTORY_BYTES {
            let Some(gone) = self.history.pop_front() else { break };
            self.history_bytes -= gone.size();
        }
    }
}

impl Queue {
    /// What waits is a part of what was missed.
    fn miss(&mut self, position: Position) {
        self.missed = Some(position);
        self.records.clear();
        self.bytes = 0;
    }
}

impl Watcher {
    fn push(&self, record: Arc<Record>) {
        let mut queue = lock(&self.queue);
        queue.bytes += record.size();
        let full = queue.records.len() == QUEUE
            || (queue.bytes > QUEUE_BYTES && !queue.records.is_empty());
        if full {
            queue.miss(record.position);
        } else {
            queue.records.push_back(record);
        }
        drop(queue);
        self.notify.notify_one();
    }
}

/// A watcher's end of the hub. Leaves when dropped.
struct Subscription {
    hub: Arc<Hub>,
    watcher: Arc<Watcher>,
    alarm: Option<Weak<dyn Alarm>>,
}

impl Subscription {
    async fn next(&self) -> Option<Change> {
        loop {
            // Rung before looking, so that what is over is among what is found.
            let alarm = self.alarm.as_ref().and_then(Weak::upgrade);
            let wait = alarm.as_ref().and_then(|alarm| alarm.next());
            if let (Some(alarm), Some(Duration::ZERO)) = (&alarm, wait) {
                alarm.ring();
                continue;
            }
            drop(alarm);
            match self.take() {
                Ok(change) => return Some(change),
                Err(closed) if closed => return None,
                Err(_) => {}
            }
            let notified = self.watcher.notify.notified();
            match wait {
                Some(wait) => drop(tokio::time::timeout(wait, notified).await),
                None => notified.await,
            }
        }
    }

    /// The next change, or whether there will be none.
    fn take(&self) -> Result<Change, bool> {
        let mut queue = lock(&self.watcher.queue);
        if let Some(position) = queue.missed.take() {
            return Ok(Change::Missed { position });
        }
        let record = queue.records.pop_front().ok_or(queue.closed)?;
        queue.bytes -= record.size();
        Ok(record.change())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut parts = lock(&self.hub.parts);
        parts.watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
        self.hub.watchers.fetch_sub(1, Ordering::AcqRel);
    }
}
