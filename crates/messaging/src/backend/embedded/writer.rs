//! The one thread that commits, and what it does when it cannot.

use super::Embedded;
use super::file::{self, Found, LAYOUT, Layer, Snapshot};
use super::log::Disk;
use crate::local::Shared;
use base::embedded::{self, Opener};
use base::units::Size;
use base::{Error, Held, Result, lock};
use redb::Database;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long after a failure the file is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Longer than anything is awaited.
const FOREVER: Duration = Duration::from_secs(3600);

/// A file that is open, and not yet written to.
pub(super) struct Opened {
    opener: Opener,
    cache: Size,
    database: Database,
}

impl Opened {
    /// Opens the file and reads what is to be known of it.
    pub(super) fn open(name: String, opener: Opener, cache: Size) -> Result<(Self, Found)> {
        let database = embedded::open(&name, opener(), cache, &LAYOUT)?;
        let found = Found::read(&database).map_err(|error| error.context(format!("`{name}`")))?;
        Ok((Self { opener, cache, database }, found))
    }

    /// Begins to write what changes.
    pub(super) fn start(
        self,
        shared: &Arc<Shared<Disk>>,
        settings: Embedded,
        held: Option<Held>,
    ) -> Result<Keeper> {
        let Self { opener, cache, database } = self;
        let (shared, database) = (Arc::clone(shared), Some(database));
        let interval = settings.flush_interval;
        let writer = Writer { shared: Arc::clone(&shared), opener, cache, interval, database };
        let writer = std::thread::Builder::new()
            .name("messaging writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::unavailable("starting a thread").with_source(error))?;
        Ok(Keeper { settings, shared, writer: Some(writer), _held: held })
    }
}

/// Ends the writer when it is dropped, with everything written.
pub(super) struct Keeper {
    pub(super) settings: Embedded,
    shared: Arc<Shared<Disk>>,
    writer: Option<JoinHandle<()>>,
    /// Let go after the file is closed.
    _held: Option<Held>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let name = {
            let mut state = lock(&self.shared.state);
            state.log.closing = true;
            state.log.work.notify_one();
            state.log.name().to_owned()
        };
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(broker = name, "the writer panicked");
        }
    }
}

struct Writer {
    shared: Arc<Shared<Disk>>,
    opener: Opener,
    cache: Size,
    /// How long what nobody waits for may wait.
    interval: Duration,
    /// `None` after a failure, until the file was opened again.
    database: Option<Database>,
}

/// Who waits for a layer.
type Waiters = Vec<tokio::sync::oneshot::Sender<Result<()>>>;

impl Writer {
    /// Works until the broker is closed.
    fn run(mut self) {
        while let Some((layer, waiters)) = self.next() {
            if !self.commit(layer, waiters) {
                // What is lost was never promised.
                break;
            }
        }
    }

    /// Waits for work. `None`: there will be none.
    fn next(&self) -> Option<(Layer, Waiters)> {
        let mut state = lock(&self.shared.state);
        let mut since = None;
        loop {
            let log = &mut state.log;
            let wait = match log.dirty {
                true => {
                    let since: &mut Instant = since.get_or_insert_with(Instant::now);
                    let left = self.interval.saturating_sub(since.elapsed());
                    if log.urgent || log.closing || left.is_zero() {
                        let rows = state.take_changes();
                        return Some(state.log.take_layer(rows));
                    }
                    left
                }
                false if log.closing => return None,
                false => FOREVER,
            };
            log.idle = true;
            let work = Arc::clone(&log.work);
            state = work.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            state.log.idle = false;
        }
    }

    /// Commits a layer. `false`: it cannot, and the broker is being closed.
    fn commit(&mut self, layer: Layer, waiters: Waiters) -> bool {
        let mut written = self.write(&layer);
        let is_strict = lock(&self.shared.state).log.is_strict();
        // A relaxed publication was acknowledged, so it is written again until that works.
        while let Err(error) = &written
            && !is_strict
        {
            if self.fail(&error.to_string()) {
                return false;
            }
            written = self.reopen().and_then(|()| self.write(&layer));
        }
        match written {
            Ok(snapshot) => {
                let mut state = lock(&self.shared.state);
                state.log.committed(layer.next, snapshot);
                if !layer.entries.is_empty() {
                    state.wake_all();
                }
                drop(state);
                for waiter in waiters {
                    // Nobody listens where the caller went away: it is done all the same.
                    drop(waiter.send(Ok(())));
                }
                true
            }
            Err(error) => self.recover(layer, waiters, &error),
        }
    }

    fn write(&self, layer: &Layer) -> Result<Snapshot> {
        let away = |why: &str| lock(&self.shared.state).log.away(why);
        let database = self.database.as_ref().ok_or_else(|| away("it is closed"))?;
        match catch_unwind(AssertUnwindSafe(|| file::commit(database, layer))) {
            Ok(committed) => {
                committed.map_err(|error| away("writing it failed").with_source(error))
            }
            Err(_) => Err(Error::internal("committing panicked")),
        }
    }

    fn reopen(&mut self) -> Result<()> {
        // Closed first: the file may be open only once.
        self.database = None;
        let name = lock(&self.shared.state).log.name().to_owned();
        let database = embedded::open(&name, (self.opener)(), self.cache, &LAYOUT)?;
        let snapshot = Snapshot::take(&database)
            .map_err(|error| Error::unavailable("reading it").with_source(error))?;
        self.database = Some(database);
        lock(&self.shared.state).log.reopened(snapshot);
        Ok(())
    }

    /// Says why nothing is taken in, and waits a little. Whether the broker is being closed.
    fn fail(&self, why: &str) -> bool {
        let mut state = lock(&self.shared.state);
        tracing::error!(broker = state.log.name(), why, "writing failed");
        state.log.failed = Some(why.to_owned());
        if state.log.closing {
            return true;
        }
        let work = Arc::clone(&state.log.work);
        state = work.wait_timeout(state, PAUSE).unwrap_or_else(PoisonError::into_inner).0;
        state.log.closing
    }

    /// A strict publication that could not be written is reported as failed, and with it what came
    /// after it. Goes on once the file can be opened; `false` as for [`commit`](Self::commit).
    fn recover(&mut self, layer: Layer, waiters: Waiters, error: &Error) -> bool {
        let why = error.to_string();
        let mut state = lock(&self.shared.state);
        state.log.failed = Some(why.clone());
        let (later, next) = state.log.give_up();
        state.change_again(layer.rows, next);
        drop(state);
        for waiter in waiters.into_iter().chain(later) {
            drop(waiter.send(Err(error.again())));
        }
        // A disk that is full can be opened all the same: it is given time.
        let mut why = why;
        loop {
            if self.fail(&why) {
                return false;
            }
            match self.reopen() {
                Ok(()) => break,
                Err(error) => why = error.to_string(),
            }
        }
        lock(&self.shared.state).log.failed = None;
        true
    }
}
