//! What watchers are told: all of a binding share one reader of the stream, as long as there are
//! any. One that comes back first reads by itself what it has not seen.

use super::bucket::{Bucket, now};
use super::reader::{Entry, Place, Reader, Told, is_swept};
use crate::local::{Hub, Record};
use crate::{Change, Changes, WatchOptions};
use base::Result;
use futures::StreamExt as _;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// The watchers of one binding.
pub(super) struct Watching {
    bucket: Arc<Bucket>,
    hub: Arc<Hub>,
    /// Whether the shared reader runs. It ends under this lock, so nobody relies on one that ends.
    running: Arc<Mutex<bool>>,
    readers: Mutex<JoinSet<()>>,
}

impl Watching {
    pub(super) fn new(bucket: Arc<Bucket>) -> Self {
        let (running, readers) = (Arc::default(), Mutex::default());
        Self { bucket, hub: Hub::new(0, false), running, readers }
    }

    pub(super) async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        let from = options.from.as_ref().map(Place::read).transpose()?;
        // In the hub before the reader looks whether anybody is there.
        let options = WatchOptions { from: None, ..options.clone() };
        let changes = self.hub.watch(&options, None);
        self.run().await?;
        // The reader may be behind; what came before this call is not for this watcher.
        let last = self.bucket.last_sequence().await?;
        let changes = after(changes, last);
        match from {
            None => Ok(changes),
            Some(place) => self.resume(place, last, options, changes).await,
        }
    }

    /// Begins to read, unless that has begun.
    async fn run(&self) -> Result<()> {
        let mut running = self.running.lock().await;
        if *running {
            return Ok(());
        }
        let last = self.bucket.last_sequence().await?;
        let reader = Reader::open(&self.bucket, last, false).await?;
        let mut readers = self.readers.lock().await;
        while readers.try_join_next().is_some() {}
        readers.spawn(pass_on(reader, Arc::clone(&self.hub), Arc::clone(&self.running)));
        *running = true;
        Ok(())
    }

    /// What came between `place` and `last`, and then `changes`.
    async fn resume(
        &self,
        place: Place,
        last: u64,
        options: WatchOptions,
        changes: Changes,
    ) -> Result<Changes> {
        if place.incarnation == self.bucket.incarnation && place.sequence == last {
            return Ok(changes);
        }
        let is_known = place.incarnation == self.bucket.incarnation && place.sequence < last;
        if !is_known || is_swept(&self.bucket, &place) {
            let (incarnation, time) = (self.bucket.incarnation, now());
            let position = Place { incarnation, sequence: last, time }.position();
            let missed = futures::stream::once(async move { Ok(Change::Missed { position }) });
            return Ok(missed.chain(changes).boxed());
        }
        let reader = Reader::open(&self.bucket, place.sequence, false).await?;
        Ok(until(reader, last, options).chain(changes).boxed())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.hub.close();
    }
}

/// Tells the watchers of `hub` what comes, as long as there are any.
async fn pass_on(mut reader: Reader, hub: Arc<Hub>, running: Arc<Mutex<bool>>) {
    loop {
        if hub.is_idle() {
            let mut running = running.lock().await;
            if hub.is_idle() {
                *running = false;
                drop(running);
                return reader.close().await;
            }
        }
        match reader.next().await {
            Told::Entry(entry) => {
                if let Some(record) = record(entry) {
                    hub.publish(record);
                }
            }
            Told::Missed(place) => hub.miss(place.position()),
            Told::Quiet => {}
        }
    }
}

fn record(entry: Entry) -> Option<Record> {
    Some(Record::remote(entry.place.position(), entry.key?, entry.value))
}

/// Of the changes those behind a sequence number.
fn after(changes: Changes, sequence: u64) -> Changes {
    changes
        .filter(move |change| {
            let is_before = match change {
                Ok(Change::Missed { .. }) | Err(_) => false,
                Ok(change) => {
                    Place::read(&change.position()).is_ok_and(|place| place.sequence <= sequence)
                }
            };
            futures::future::ready(!is_before)
        })
        .boxed()
}

/// The changes that a reader finds up to a sequence number.
fn until(reader: Reader, last: u64, options: WatchOptions) -> Changes {
    futures::stream::unfold(Some((reader, options)), move |state| async move {
        let (mut reader, options) = state?;
        loop {
            if reader.seen() >= last {
                break;
            }
            match reader.next().await {
                Told::Entry(entry) if entry.place.sequence > last => break,
                Told::Entry(entry) => {
                    let Some(record) = record(entry) else { continue };
                    if options.covers(&record.key) {
                        return Some((Ok(record.change()), Some((reader, options))));
                    }
                }
                Told::Missed(place) => {
                    let position = place.position();
                    return Some((Ok(Change::Missed { position }), None));
                }
                Told::Quiet if reader.is_at_end().await => break,
                Told::Quiet => {}
            }
        }
        reader.close().await;
        None
    })
    .boxed()
}
