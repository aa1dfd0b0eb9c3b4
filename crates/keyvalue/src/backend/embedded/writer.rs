//! The one thread that commits, and what it does when it cannot.

use super::core::{Core, Pending};
use super::file::{self, LAYOUT, Layer, Snapshot};
use crate::local::{Stored, Table as _, lock};
use base::embedded::{self, Opener};
use base::units::Size;
use base::{Error, Result};
use redb::Database;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// So many entries that are over leave in one go, under the lock.
const SWEPT: usize = 256;
/// How long entries that are over are left to gather: a commit for each would wear out disks.
const GATHER: Duration = Duration::from_secs(1);
/// The same while somebody watches.
const GATHER_WATCHED: Duration = Duration::from_millis(20);
/// Longer than anything is awaited.
const FOREVER: Duration = Duration::from_secs(3600);
/// How long after a failure the file is tried again.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pub(super) core: Arc<Core>,
    pub(super) opener: Opener,
    pub(super) cache: Size,
    /// How long a relaxed write waits for its commit.
    pub(super) interval: Duration,
    /// `None` after a failure, until the file was opened again.
    pub(super) database: Option<Database>,
    /// When the first entry of the last commit ends.
    first_end: u64,
    /// When entries that are over were last removed.
    swept: Instant,
}

/// What the writer is to do next.
enum Next {
    Commit(Arc<Layer>, Pending),
    Sweep,
    Reopen,
    Close,
}

impl Writer {
    pub(super) fn open(
        core: Arc<Core>,
        opener: Opener,
        cache: Size,
        interval: Duration,
    ) -> Result<Self> {
        let swept = Instant::now();
        let mut writer =
            Self { core, opener, cache, interval, database: None, first_end: 0, swept };
        writer.reopen()?;
        Ok(writer)
    }

    fn reopen(&mut self) -> Result<()> {
        // Closed first: the file may be open only once.
        self.core.snapshot.store(None);
        self.database = None;
        let database = embedded::open(&self.core.name, (self.opener)(), self.cache, &LAYOUT)?;
        let snapshot = Snapshot::take(&database)
            .map_err(|error| self.core.away("it cannot be read").with_source(error))?;
        self.database = Some(database);
        self.show(snapshot)
    }

    /// Lets readers see a commit.
    fn show(&mut self, snapshot: Snapshot) -> Result<()> {
        self.first_end = snapshot.first_end()?.unwrap_or(Stored::NEVER);
        self.core.snapshot.store(Some(Arc::new(snapshot)));
        Ok(())
    }

    /// Works until the store is closed.
    pub(super) fn run(mut self) {
        loop {
            match self.next() {
                Next::Commit(layer, pending) => self.commit(&layer, pending),
                Next::Sweep => {
                    if let Err(error) = self.sweep() {
                        tracing::warn!(store = self.core.name, %error, "removing what is over");
                    }
                }
                Next::Reopen => {
                    if let Err(error) = self.reopen() {
                        tracing::error!(store = self.core.name, %error, "opening it again");
                    }
                }
                Next::Close => break,
            }
        }
    }

    /// Waits for work.
    fn next(&self) -> Next {
        let mut front = lock(&self.core.front);
        let mut since = None;
        loop {
            let hasty = self.core.is_strict() || front.urgent || front.closing;
            let mut wait = self.until_sweep();
            if front.has_work() {
                let since: &mut Instant = since.get_or_insert_with(Instant::now);
                let left = self.interval.saturating_sub(since.elapsed());
                if hasty || left.is_zero() {
                    let layer = Arc::new(std::mem::take(&mut front.active));
                    front.flushing = Some(Arc::clone(&layer));
                    front.urgent = false;
                    return Next::Commit(layer, std::mem::take(&mut front.pending));
                }
                wait = wait.min(left);
            } else if front.closing {
                return Next::Close;
            } else {
                front.idle = true;
            }
            if self.database.is_none() {
                wait = PAUSE;
            } else if wait.is_zero() {
                front.idle = false;
                return Next::Sweep;
            }
            let waited = self.core.work.wait_timeout(front, wait);
            front = waited.unwrap_or_else(PoisonError::into_inner).0;
            front.idle = false;
            if self.database.is_none() && !front.closing {
                return Next::Reopen;
            }
        }
    }

    /// How long until entries that are over should go.
    fn until_sweep(&self) -> Duration {
        if self.first_end == Stored::NEVER {
            return FOREVER;
        }
        let gather = if self.core.hub.is_idle() { GATHER } else { GATHER_WATCHED };
        let end = Duration::from_millis(self.first_end.saturating_sub(self.core.clock.now()));
        end.max(gather.saturating_sub(self.swept.elapsed()))
    }

    /// Removes entries that are over, in the way of any other write.
    fn sweep(&mut self) -> Result<()> {
        self.swept = Instant::now();
        self.first_end = Stored::NEVER;
        let snapshot = self.core.committed()?;
        let ended = snapshot.ended(self.core.clock.now(), SWEPT)?;
        if ended.is_empty() {
            self.first_end = snapshot.first_end()?.unwrap_or(Stored::NEVER);
            return Ok(());
        }
        let mut edit = self.core.edit()?;
        for (end, key) in &ended {
            // The row may speak of a former value of the key.
            if edit.find(key)?.is_some_and(|stored| stored.expires == *end) {
                edit.remove(key);
            }
        }
        edit.front.active.ended.extend(ended);
        edit.front.urgent = true;
        Ok(())
    }

    fn commit(&mut self, layer: &Layer, pending: Pending) {
        let committed = if layer.is_empty() { Ok(()) } else { self.write(layer) };
        let committed = committed.or_else(|error| self.recover(layer, error));
        let mut front = lock(&self.core.front);
        front.flushing = None;
        match committed {
            Ok(()) => {
                front.failed = None;
                drop(front);
                pending.records.into_iter().for_each(|record| self.core.hub.publish(record));
                for waiter in pending.waiters {
                    // Nobody listens where the caller went away: the write is done all the same.
                    drop(waiter.send(Ok(())));
                }
            }
            Err(why) => {
                // What was decided meanwhile rests on what is lost.
                front.active = Layer::default();
                let later = std::mem::take(&mut front.pending);
                drop(front);
                for waiter in pending.waiters.into_iter().chain(later.waiters) {
                    let error = self.core.away(&why);
                    drop(waiter.send(Err(error)));
                }
            }
        }
        self.core.make_room();
    }

    fn write(&mut self, layer: &Layer) -> Result<()> {
        let database = self.database.as_ref().ok_or_else(|| self.core.away("it is closed"))?;
        let committed = catch_unwind(AssertUnwindSafe(|| file::commit(database, layer)));
        let snapshot = match committed {
            Ok(committed) => {
                committed.map_err(|error| self.core.away("writing it failed").with_source(error))?
            }
            Err(_) => return Err(Error::internal("committing panicked")),
        };
        self.core.commits.fetch_add(1, Ordering::Relaxed);
        self.show(snapshot)
    }

    /// After a failed commit the file has to be opened again. A strict write is reported as
    /// failed; a relaxed one was acknowledged, so it is written again until that works.
    fn recover(&mut self, layer: &Layer, error: Error) -> std::result::Result<(), String> {
        let mut error = error;
        loop {
            tracing::error!(store = self.core.name, %error, "writing failed");
            let why = error.to_string();
            if self.core.is_strict() {
                return match self.reopen() {
                    Ok(()) => Err(why),
                    Err(error) => Err(error.to_string()),
                };
            }
            let mut front = lock(&self.core.front);
            if front.closing {
                return Err(why);
            }
            front.failed = Some(why);
            self.core.make_room();
            let waited = self.core.work.wait_timeout(front, PAUSE);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            match self.reopen().and_then(|()| self.write(layer)) {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
    }
}

impl Drop for Writer {
    /// Closes the store, also where this thread panicked: nobody is left waiting.
    fn drop(&mut self) {
        let mut front = lock(&self.core.front);
        front.closing = true;
        let pending = std::mem::take(&mut front.pending);
        drop(front);
        drop(pending);
        self.core.make_room();
        self.core.hub.close();
        // Before the database, whose closing would fail its readers.
        self.core.snapshot.store(None);
    }
}
