//! What a server tells of changes, passed on: to all watchers of a store, or to one that goes on
//! from an earlier place.

use super::{Hub, Record, lock};
use crate::{Change, Changes, Position, WatchOptions};
use base::{Error, Result};
use futures::StreamExt as _;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// What a reader makes of what the server tells.
pub(crate) enum Told {
    /// A key changed.
    Change(Record),
    /// Changes up to this position are lost.
    Missed(Position),
}

/// Reads what the server tells, from one place on.
pub(crate) trait Reader: Send + 'static {
    /// What came, perhaps nothing. Waits out failures.
    fn next(&mut self) -> impl Future<Output = Vec<Told>> + Send;
}

/// Failures of a reader in a row, which it waits out.
#[derive(Default)]
pub(crate) struct Failures(u32);

impl Failures {
    /// The next one is a first again.
    pub(crate) fn end(&mut self) {
        self.0 = 0;
    }

    /// Waits after one, longer each time.
    pub(crate) async fn wait(&mut self, error: &Error) {
        self.0 = self.0.saturating_add(1);
        if self.0 == 1 {
            tracing::warn!(%error, "watching the store failed; it is tried again");
        }
        tokio::time::sleep(Duration::from_millis(100) * 2_u32.pow(self.0.min(5))).await;
    }
}

/// The watchers of one store, and the readers that they share while there are any.
pub(crate) struct Relay {
    hub: Arc<Hub>,
    readers: Mutex<Readers>,
}

#[derive(Default)]
struct Readers {
    tasks: JoinSet<()>,
    /// Whether one of them found nobody and went; from then on there are none.
    gone: Arc<StdMutex<bool>>,
}

impl Relay {
    pub(crate) fn new() -> Self {
        Self { hub: Hub::new(0, false), readers: Mutex::default() }
    }

    /// The changes from now on. `open` opens readers, if there are none.
    pub(crate) async fn watch<R: Reader>(
        &self,
        options: &WatchOptions,
        open: impl Future<Output = Result<Vec<R>>>,
    ) -> Result<Changes> {
        let mut readers = self.readers.lock().await;
        // In the hub before it is asked whether a reader found nobody there.
        let changes = self.hub.watch(options, None);
        if readers.tasks.is_empty() || *lock(&readers.gone) {
            let opened = open.await?;
            *readers = Readers::default();
            for reader in opened {
                let gone = Arc::clone(&readers.gone);
                readers.tasks.spawn(pass_on(reader, Arc::clone(&self.hub), gone));
            }
        }
        Ok(changes)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.hub.close();
    }
}

/// Tells the watchers of `hub` what comes, as long as there are any.
async fn pass_on(mut reader: impl Reader, hub: Arc<Hub>, gone: Arc<StdMutex<bool>>) {
    loop {
        {
            let mut gone = lock(&gone);
            if *gone || hub.is_idle() {
                *gone = true;
                return;
            }
        }
        for told in reader.next().await {
            match told {
                Told::Change(record) => hub.publish(record),
                Told::Missed(position) => hub.miss(position),
            }
        }
    }
}

/// What one reader tells, for a watcher of its own.
pub(crate) fn resumed(reader: impl Reader, options: WatchOptions) -> Changes {
    let state = (reader, VecDeque::new(), options);
    futures::stream::unfold(state, |(mut reader, mut waiting, options)| async {
        loop {
            match waiting.pop_front() {
                Some(Told::Missed(position)) => {
                    return Some((Ok(Change::Missed { position }), (reader, waiting, options)));
                }
                Some(Told::Change(record)) if options.covers(&record.key) => {
                    return Some((Ok(record.change()), (reader, waiting, options)));
                }
                Some(Told::Change(_)) => {}
                None => waiting.extend(reader.next().await),
            }
        }
    })
    .boxed()
}
