//! What watchers are told: all share one watch of the server, which begins anew where it was.

use super::transaction::version;
use crate::local::Record;
use crate::local::relay::{self, Failures, Relay, Told, resumed};
use crate::{Changes, Position, Versioned, WatchOptions};
use base::{Error, Result};
use bytes::Bytes;
use connect::etcd::{Etcd as Server, Watch};
use etcd_client::{Event, EventType, GetOptions, WatchOptions as Asked, WatchResponse};
use std::sync::Arc;
use std::time::Duration;

/// How often a reader looks up while nothing comes.
const WAIT: Duration = Duration::from_millis(500);

/// The watchers of one binding.
pub(super) struct Watching {
    server: Arc<Server>,
    entries: Arc<str>,
    relay: Relay,
}

impl Watching {
    /// The watchers of all keys that begin with `entries`.
    pub(super) fn new(server: Arc<Server>, entries: &str) -> Self {
        Self { server, entries: entries.into(), relay: Relay::new() }
    }

    pub(super) async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        let Self { server, entries, relay } = self;
        let Some(from) = &options.from else {
            let open = async { Ok(vec![Reader::open(server, entries, None).await?]) };
            return relay.watch(options, open).await;
        };
        let reader = Reader::open(server, entries, Some(Place::of(from)?)).await?;
        Ok(resumed(reader, options.clone()))
    }
}

/// Where a reader is: before the event of this number, from zero, at this revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    cluster: u64,
    revision: i64,
    seen: u32,
}

impl Place {
    fn after(cluster: u64, revision: i64) -> Self {
        Self { cluster, revision: revision.saturating_add(1), seen: 0 }
    }

    fn of(position: &Position) -> Result<Self> {
        let wrong = || Error::invalid("this is no position of the store");
        let (cluster, rest) = position.bytes().split_first_chunk().ok_or_else(wrong)?;
        let (revision, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
        let place = Self {
            cluster: u64::from_be_bytes(*cluster),
            revision: i64::from_be_bytes(*revision),
            seen: u32::from_be_bytes(rest.try_into().map_err(|_length| wrong())?),
        };
        if place.revision > 0 { Ok(place) } else { Err(wrong()) }
    }

    fn position(self) -> Result<Position> {
        let mut bytes = Vec::with_capacity(Position::MAX);
        bytes.extend_from_slice(&self.cluster.to_be_bytes());
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        bytes.extend_from_slice(&self.seen.to_be_bytes());
        Position::new(&bytes)
    }
}

/// A reader of the server's watch.
struct Reader {
    server: Arc<Server>,
    entries: Arc<str>,
    watch: Option<Watch>,
    place: Place,
    /// Events at the place's revision that come again, because the watch began with it.
    again: u32,
    failures: Failures,
}

impl Reader {
    /// A reader of what comes after `place`, or from now on.
    async fn open(server: &Arc<Server>, entries: &Arc<str>, place: Option<Place>) -> Result<Self> {
        let (server, entries, failures) =
            (Arc::clone(server), Arc::clone(entries), Failures::default());
        let place = match place {
            Some(place) => place,
            None => now(&server, &entries).await?,
        };
        let mut reader = Self { server, entries, watch: None, place, again: 0, failures };
        reader.begin().await?;
        Ok(reader)
    }

    /// Has the server tell what comes after the place; or after now, if that is nowhere.
    async fn begin(&mut self) -> Result<Option<Told>> {
        let mut missed = None;
        let mut watch = self.watch_from(self.place.revision).await?;
        let said = watch.created.header().map(|it| Place::after(it.cluster_id(), it.revision()));
        let is_here = |said: Place| {
            said.cluster == self.place.cluster && said.revision >= self.place.revision
        };
        if !said.is_some_and(is_here) {
            // The node may be behind the others; all of them together are not.
            let now = now(&self.server, &self.entries).await?;
            if !is_here(now) {
                // It is a place of another cluster, or one that a backup took back.
                self.place = now;
                watch = self.watch_from(now.revision).await?;
                missed = Some(Told::Missed(now.position()?));
            }
        }
        self.again = self.place.seen;
        self.watch = Some(watch);
        Ok(missed)
    }

    async fn watch_from(&self, revision: i64) -> Result<Watch> {
        let asked = Asked::new().with_prefix().with_fragment().with_progress_notify();
        self.server.watch(self.entries.as_bytes(), asked.with_start_revision(revision)).await
    }

    async fn read(&mut self) -> Result<Vec<Told>> {
        // Calls have found a node that answers. A watch notices much later that its own does not.
        let has_moved = |watch: &Watch| !self.server.is_at_current_node(watch);
        if self.watch.as_ref().is_none_or(has_moved) {
            self.watch = None;
            if let Some(missed) = self.begin().await? {
                return Ok(vec![missed]);
            }
        }
        let Some(watch) = &mut self.watch else { return Ok(Vec::new()) };
        match tokio::time::timeout(WAIT, watch.stream.message()).await {
            Err(_nothing_came) => Ok(Vec::new()),
            Ok(Ok(Some(response))) => self.take(&response),
            Ok(Ok(None)) => Err(self.lost("the watch ended")),
            Ok(Err(error)) => Err(self.server.classify(error)),
        }
    }

    /// What a message of the server says.
    fn take(&mut self, response: &WatchResponse) -> Result<Vec<Told>> {
        if response.canceled() {
            self.watch = None;
            let kept = response.compact_revision();
            if kept == 0 {
                return Err(self.lost(response.cancel_reason()));
            }
            // What happened up to there is thrown away.
            self.place = Place { revision: kept.max(self.place.revision), seen: 0, ..self.place };
            return Ok(vec![Told::Missed(self.place.position()?)]);
        }
        let mut told = Vec::with_capacity(response.events().len());
        for event in response.events() {
            told.extend(self.tell(event)?);
        }
        if response.events().is_empty()
            && let Some(header) = response.header()
            && header.revision() >= self.place.revision
        {
            // Nothing happened up to there, which saves looking at it again.
            self.place = Place::after(self.place.cluster, header.revision());
            self.again = 0;
        }
        Ok(told)
    }

    fn tell(&mut self, event: &Event) -> Result<Option<Told>> {
        let Some(entry) = event.kv() else { return Ok(None) };
        let revision = entry.mod_revision();
        if revision < self.place.revision {
            return Ok(None);
        }
        if revision > self.place.revision {
            self.place = Place { revision, seen: 0, ..self.place };
            self.again = 0;
        }
        if self.again > 0 {
            self.again -= 1;
            return Ok(None);
        }
        self.place.seen += 1;
        let position = self.place.position()?;
        let key = entry.key().strip_prefix(self.entries.as_bytes());
        let Some(key) = key.and_then(|key| str::from_utf8(key).ok()) else {
            tracing::warn!("a key of the store was written by somebody else");
            return Ok(None);
        };
        let value = (event.event_type() == EventType::Put).then(|| Versioned {
            value: Bytes::copy_from_slice(entry.value()),
            version: version(self.place.cluster, revision),
        });
        Ok(Some(Told::Change(Record::remote(position, key.to_owned(), value))))
    }

    fn lost(&self, why: &str) -> Error {
        Error::unavailable(format!("{}: {why}", self.server.server()))
    }
}

/// The place after everything that was acknowledged. Asks the leader, which a watch does not.
async fn now(server: &Server, entries: &str) -> Result<Place> {
    let found = server.range(entries.as_bytes(), GetOptions::new().with_count_only()).await?;
    let now = found.header().map(|header| Place::after(header.cluster_id(), header.revision()));
    now.ok_or_else(|| Error::corrupt("an answer without a revision"))
}

impl relay::Reader for Reader {
    async fn next(&mut self) -> Vec<Told> {
        match self.read().await {
            Ok(told) => {
                self.failures.end();
                told
            }
            Err(error) => {
                if let Some(watch) = self.watch.take() {
                    self.server.leave_node_of(&watch);
                }
                self.failures.wait(&error).await;
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_say_where_a_reader_is() {
        let place = Place { cluster: u64::MAX, revision: 12, seen: 3 };
        assert_eq!(Place::of(&place.position().unwrap()).unwrap(), place);
        assert_eq!(Place::after(7, 12), Place { cluster: 7, revision: 13, seen: 0 });
        for wrong in [&b""[..], b"1", &[0; 20], &[1; 19], &[1; 21]] {
            assert!(Place::of(&Position::new(wrong).unwrap()).is_err(), "{wrong:?}");
        }
    }
}
