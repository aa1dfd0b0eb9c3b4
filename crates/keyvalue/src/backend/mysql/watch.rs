//! What watchers are told: the rows that changed, epoch by epoch.
//!
//! Transactions end in another order than they began. So a reader that finds something begins a new
//! epoch, waits until the writes of the last one have ended, which holds up no other write, and
//! reads what belongs to it.

use super::table::Table;
use crate::local::Record;
use crate::local::relay::{self, Failures, Relay, Told, resumed};
use crate::tables::{BATCH, Bell, PORTION, Pace, key};
use crate::{Change, Changes, Position, Version, Versioned, WatchOptions};
use base::{Error, Result};
use connect::mysql::{Row, column};
use futures::StreamExt as _;
use std::sync::Arc;

/// The watchers of one binding.
pub(super) struct Watching {
    table: Arc<Table>,
    relay: Relay,
    written: Bell,
}

impl Watching {
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self { table, relay: Relay::new(), written: Bell::new() }
    }

    /// Something was written here.
    pub(super) fn wake(&self) {
        self.written.ring();
    }

    pub(super) async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        if let Some(from) = &options.from {
            let place = Place::read(from)?;
            return Ok(resumed(self.reader(place, place.epoch), options.clone()));
        }
        let open = async {
            let closed = self.now().await?.saturating_sub(1);
            Ok(vec![self.reader(Place::behind(closed), closed)])
        };
        let changes = self.relay.watch(options, open).await?;
        // The reader may still be at what was written before.
        let since = self.now().await?;
        let is_new = move |change: &Result<Change>| match change {
            Ok(Change::Missed { .. }) | Err(_) => true,
            Ok(change) => Place::read(&change.position()).is_ok_and(|place| place.epoch >= since),
        };
        Ok(changes.filter(move |change| std::future::ready(is_new(change))).boxed())
    }

    /// The epoch of all writes from now on; those before belong to others.
    async fn now(&self) -> Result<u64> {
        let state = State::read(&self.table, u64::MAX).await?;
        match state.is_quiet {
            true => Ok(state.epoch),
            false => self.table.begin_epoch().await,
        }
    }

    fn reader(&self, place: Place, closed: u64) -> Reader {
        Reader {
            table: Arc::clone(&self.table),
            place,
            closed,
            pace: self.written.listen(),
            failures: Failures::default(),
        }
    }
}

/// How far a reader is: behind the change of this number and version in this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    epoch: u64,
    nth: u64,
    /// The beginning of the version, for two changes within a microsecond.
    version: [u8; 7],
}

impl Place {
    /// Behind all changes of an epoch.
    fn behind(epoch: u64) -> Self {
        Self { epoch, nth: u64::MAX, version: [u8::MAX; 7] }
    }

    fn read(position: &Position) -> Result<Self> {
        let wrong = || Error::invalid("this is no position of the store");
        let bytes: &[u8; 23] = position.bytes().try_into().map_err(|_unsized| wrong())?;
        let (epoch, rest) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (nth, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let version = rest.try_into().map_err(|_unsized| wrong())?;
        Ok(Self { epoch: u64::from_be_bytes(*epoch), nth: u64::from_be_bytes(*nth), version })
    }

    fn position(self) -> Result<Position> {
        let numbers = [self.epoch.to_be_bytes(), self.nth.to_be_bytes()];
        Position::new(&[numbers.as_flattened(), &self.version].concat())
    }
}

/// What the tables say of epochs.
struct State {
    /// Up to which epoch deletions may be forgotten.
    horizon: u64,
    /// The newest.
    epoch: u64,
    /// Whether no write of the newest one, and none of those before, may still come to be seen as
    /// one from before now.
    is_quiet: bool,
    has_changes: bool,
    has_ended: bool,
}

impl State {
    async fn read(table: &Table, closed: u64) -> Result<Self> {
        let mut rows = table.server.rows(&table.sql.state, &[closed.into(), closed.into()]).await?;
        let row = rows.first_mut();
        let row = row.ok_or_else(|| Error::not_found("the store's tables are empty"))?;
        Ok(Self {
            horizon: column(row, 0)?,
            epoch: column(row, 1)?,
            is_quiet: column::<bool>(row, 2)? && !column::<bool>(row, 3)?,
            has_changes: column(row, 4)?,
            has_ended: column(row, 5)?,
        })
    }
}

struct Reader {
    table: Arc<Table>,
    place: Place,
    /// Up to this epoch nothing more will be written.
    closed: u64,
    pace: Pace,
    failures: Failures,
}

impl relay::Reader for Reader {
    async fn next(&mut self) -> Vec<Told> {
        let read = self.read().await;
        self.pace.keep(read, &mut self.failures).await
    }
}

impl Reader {
    async fn read(&mut self) -> Result<Vec<Told>> {
        let state = State::read(&self.table, self.closed).await?;
        if let Some(missed) = self.has_missed(&state).await? {
            return Ok(vec![missed]);
        }
        let told = self.changes().await?;
        if !told.is_empty() {
            return Ok(told);
        }
        self.place = Place::behind(self.closed);
        if state.has_changes {
            self.closed = self.table.begin_epoch().await?.saturating_sub(1);
            return self.changes().await;
        }
        // What is told of as written is told of as over afterwards.
        if state.has_ended {
            self.table.expire(self.closed).await?;
        }
        Ok(told)
    }

    /// Whether changes behind the reader's place can be lost, and then how it goes on.
    async fn has_missed(&mut self, state: &State) -> Result<Option<Told>> {
        let is_elsewhere = self.closed >= state.epoch;
        if !is_elsewhere && state.horizon <= self.place.epoch {
            return Ok(None);
        }
        self.closed = self.table.begin_epoch().await?.saturating_sub(1);
        let end = if is_elsewhere { self.closed } else { state.horizon };
        self.place = Place::behind(end.min(self.closed));
        Ok(Some(Told::Missed(self.place.position()?)))
    }

    /// What comes behind the reader's place in closed epochs.
    async fn changes(&mut self) -> Result<Vec<Told>> {
        let Place { epoch, nth, version } = self.place;
        if self.place == Place::behind(self.closed) {
            return Ok(Vec::new());
        }
        let portion = PORTION as u64;
        let parameters = [
            epoch.into(),
            self.closed.into(),
            epoch.into(),
            nth.into(),
            nth.into(),
            version.as_slice().into(),
            BATCH.into(),
            portion.into(),
        ];
        let mut rows = self.table.server.rows(&self.table.sql.changes, &parameters).await?;
        let mut place = self.place;
        let mut told = Vec::with_capacity(rows.len());
        for row in &mut rows {
            let (next, record) = record(row)?;
            place = next;
            told.push(Told::Change(record));
        }
        self.place = place;
        Ok(told)
    }
}

fn record(row: &mut Row) -> Result<(Place, Record)> {
    let version: Vec<u8> = column(row, 2)?;
    let start = version.first_chunk().ok_or_else(|| Error::corrupt("a version"))?;
    let place = Place { epoch: column(row, 0)?, nth: column(row, 1)?, version: *start };
    let version = Version::new(&version)?;
    let value: Option<Vec<u8>> = column(row, 4)?;
    let value = value.map(|value| Versioned { value: value.into(), version });
    let name: Vec<u8> = column(row, 3)?;
    Ok((place, Record::remote(place.position()?, key(&name)?, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_goes_through_its_position() {
        let place = Place { epoch: 1 << 50, nth: 7, version: *b"version" };
        assert_eq!(Place::read(&place.position().unwrap()).unwrap(), place);
        assert!(Place::read(&Position::from(7_u64)).is_err());
    }
}
