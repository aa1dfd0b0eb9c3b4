//! The one thread that commits, and what it does when it cannot.

use super::broker::{Local, Shared};
use super::disk::{Committed, Disk, Found, Layer};
use super::state::Retention;
use crate::Offer;
use base::{Clock, Error, Held, Result, lock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long after a failure the disk is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Longer than anything is awaited.
const FOREVER: Duration = Duration::from_secs(3600);

/// What commits to a disk.
pub(crate) trait Storage: Send + 'static {
    /// What was committed.
    type Committed: Committed;

    /// Writes a layer and waits until it is on the disk.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](base::Kind), where nobody knows how much of it is there.
    fn commit(&mut self, layer: &Layer) -> Result<Arc<Self::Committed>>;

    /// Opens the disk again after a failure. What was not committed is gone then: no message has
    /// the number `safe` or a higher one.
    ///
    /// # Errors
    /// Where that is not possible now.
    fn reopen(&mut self, safe: u64) -> Result<Arc<Self::Committed>>;
}

/// How a broker is kept on a disk.
pub(crate) struct Keep {
    /// What the disk is called in messages.
    pub(crate) name: String,
    /// Whether messages are seen, and acknowledged, only once they are committed.
    pub(crate) is_strict: bool,
    /// How long what nobody waits for may wait.
    pub(crate) interval: Duration,
    /// Let go after the disk is closed.
    pub(crate) held: Option<Held>,
}

/// Makes a broker whose messages `storage` keeps, with what was found there. `beside` makes what
/// is kept besides and ends before the writer does, such as the settings.
///
/// # Errors
/// Where a message cannot be read, and those of `beside`.
pub(crate) fn keep<S: Storage, T: Send + Sync + 'static>(
    offer: Offer,
    (clock, retention): (Clock, Retention),
    (storage, found): (S, Found<S::Committed>),
    Keep { name, is_strict, interval, held }: Keep,
    beside: impl FnOnce(&Arc<Shared<Disk<S::Committed>>>) -> Result<T>,
) -> Result<Local<Disk<S::Committed>>> {
    let disk = Disk::new(name, is_strict, &found);
    Local::restored(offer, disk, (clock, retention, found.incarnation), found.kept, |shared| {
        let writer = Writer { shared: Arc::clone(shared), interval, storage };
        let writer = std::thread::Builder::new()
            .name("messaging writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::unavailable("starting a thread").with_source(error))?;
        let shared = Arc::clone(shared);
        let keeper = Keeper { shared, writer: Some(writer), _held: held };
        let beside = beside(&keeper.shared)?;
        Ok(Box::new(Keeping { beside, _keeper: keeper }))
    })
}

/// What keeps a broker, and what was made besides, which ends first.
pub(crate) struct Keeping<T, C: Committed> {
    pub(crate) beside: T,
    _keeper: Keeper<C>,
}

/// Ends the writer when it is dropped, with everything written.
struct Keeper<C: Committed> {
    shared: Arc<Shared<Disk<C>>>,
    writer: Option<JoinHandle<()>>,
    /// Let go after the disk is closed.
    _held: Option<Held>,
}

impl<C: Committed> Drop for Keeper<C> {
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

struct Writer<S: Storage> {
    shared: Arc<Shared<Disk<S::Committed>>>,
    /// How long what nobody waits for may wait.
    interval: Duration,
    storage: S,
}

/// Who waits for a layer.
type Waiters = Vec<tokio::sync::oneshot::Sender<Result<()>>>;

impl<S: Storage> Writer<S> {
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
            Ok(committed) => {
                let mut state = lock(&self.shared.state);
                state.log.committed(layer.next, committed);
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

    fn write(&mut self, layer: &Layer) -> Result<Arc<S::Committed>> {
        match catch_unwind(AssertUnwindSafe(|| self.storage.commit(layer))) {
            Ok(committed) => committed,
            Err(_) => Err(Error::internal("committing panicked")),
        }
    }

    fn reopen(&mut self) -> Result<()> {
        let safe = lock(&self.shared.state).log.safe();
        let committed = self.storage.reopen(safe)?;
        lock(&self.shared.state).log.reopened(committed);
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
    /// after it. Goes on once the disk can be opened; `false` as for [`commit`](Self::commit).
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
