//! What watchers are told: the rows that changed, found by the transactions that changed them.
//!
//! Transactions end in another order than they began, so a reader goes on only to where all have
//! ended, which the server knows. It looks often while something happens, and ten times a second
//! while nothing does; writes of this host wake it up. `LISTEN` and `NOTIFY` are not used: a
//! transaction that notifies holds a lock of the whole server while it commits.

use super::table::Table;
use crate::local::Record;
use crate::local::relay::{self, Failures, Relay, Told, resumed};
use crate::tables::{BATCH, Bell, PORTION, Pace, key};
use crate::{Change, Changes, Position, Version, Versioned, WatchOptions};
use base::{Error, Result};
use bytes::Bytes;
use connect::postgres::{Row, column};
use futures::StreamExt as _;
use std::num::ParseIntError;
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
            let reader = self.reader(Place::read(from)?);
            return Ok(resumed(reader, options.clone()));
        }
        let open = async {
            let (timeline, now) = self.now().await?;
            let place = Place { timeline, ..now.begin() };
            Ok(vec![self.reader(place)])
        };
        let changes = self.relay.watch(options, open).await?;
        // The reader may still be at what was written before.
        let (_, since) = self.now().await?;
        let is_new = move |change: &Result<Change>| match change {
            Ok(Change::Missed { .. }) | Err(_) => true,
            Ok(change) => {
                Place::read(&change.position()).is_ok_and(|place| !since.sees(place.transaction))
            }
        };
        Ok(changes.filter(move |change| std::future::ready(is_new(change))).boxed())
    }

    fn reader(&self, place: Place) -> Reader {
        Reader {
            table: Arc::clone(&self.table),
            place,
            missed: 0,
            pace: self.written.listen(),
            failures: Failures::default(),
        }
    }

    async fn now(&self) -> Result<(u32, Snapshot)> {
        let rows = self.table.server.read(&self.table.sql.now, &[]).await?;
        let row = rows.first().ok_or_else(gone)?;
        Ok((timeline(row)?, Snapshot::read(column(row, 1)?)?))
    }
}

/// How far a reader is: behind this change of this transaction, in this history of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    timeline: u32,
    transaction: u64,
    nth: u32,
}

impl Place {
    fn read(position: &Position) -> Result<Self> {
        let bytes: Option<[u8; 16]> = position.bytes().try_into().ok();
        let bytes = bytes.ok_or_else(|| Error::invalid("this is no position of the store"))?;
        let number = u128::from_be_bytes(bytes);
        let low = |number: u128| u32::try_from(number & u128::from(u32::MAX)).unwrap_or_default();
        let transaction = (number >> 32) & u128::from(u64::MAX);
        Ok(Self {
            timeline: low(number >> 96),
            transaction: u64::try_from(transaction).unwrap_or_default(),
            nth: low(number),
        })
    }

    fn position(self) -> Position {
        let number = u128::from(self.timeline) << 96
            | u128::from(self.transaction) << 32
            | u128::from(self.nth);
        Position::from(number)
    }
}

/// Which transactions had ended at one moment.
struct Snapshot {
    /// All before this one.
    first: u64,
    /// None from this one on.
    end: u64,
    /// Those in between that had not.
    running: Vec<u64>,
}

impl Snapshot {
    /// Reads `first:end:running,running,…`.
    fn read(text: &str) -> Result<Self> {
        let parts: Option<Self> = (|| {
            let (first, rest) = text.split_once(':')?;
            let (end, running) = rest.split_once(':')?;
            let running = running.split(',').filter(|number| !number.is_empty());
            let running: Result<Vec<u64>, _> = running.map(str::parse).collect();
            Some(Self {
                first: first.parse().ok()?,
                end: end.parse().ok()?,
                running: running.ok()?,
            })
        })();
        parts.ok_or_else(|| Error::corrupt("the server's snapshot"))
    }

    fn sees(&self, transaction: u64) -> bool {
        transaction < self.first || (transaction < self.end && !self.running.contains(&transaction))
    }

    /// Behind the last transaction before which all have ended.
    fn begin(&self) -> Place {
        Place {
            timeline: 0,
            transaction: self.first.saturating_sub(1),
            nth: i32::MAX.unsigned_abs(),
        }
    }
}

struct Reader {
    table: Arc<Table>,
    place: Place,
    /// Up to which forgotten deletion it was told that some are.
    missed: u64,
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
        let Place { transaction, nth, .. } = self.place;
        let nth = i32::try_from(nth).unwrap_or(i32::MAX);
        let portion = i64::try_from(PORTION).unwrap_or(i64::MAX);
        let sql = &self.table.sql.changes;
        let from = transaction.to_string();
        let rows = self.table.server.read(sql, &[&from, &nth, &BATCH, &portion]).await?;
        let first = rows.first().ok_or_else(gone)?;
        let now = Snapshot::read(column(first, 2)?)?;
        if let Some(missed) = self.has_missed(first, &now)? {
            return Ok(vec![missed]);
        }
        let mut told = Vec::with_capacity(rows.len());
        let mut place = self.place;
        for row in &rows {
            // Where nothing came there is one row with nothing in it.
            let Some(transaction) = column(row, 3)? else { continue };
            place.transaction = number(transaction)?;
            place.nth = column::<i32>(row, 4)?.unsigned_abs();
            let value = match column::<Option<&[u8]>>(row, 6)? {
                None => None,
                Some(value) => Some(Versioned {
                    value: Bytes::copy_from_slice(value),
                    version: Version::new(column(row, 7)?)?,
                }),
            };
            let key = key(column(row, 5)?)?;
            told.push(Told::Change(Record::remote(place.position(), key, value)));
        }
        // What is told of as written is told of as over afterwards.
        let before = if told.is_empty() { now.first } else { place.transaction };
        self.table.expire(before).await?;
        self.place = place;
        Ok(told)
    }

    /// Whether changes behind the reader's place can be lost, and then how it goes on.
    fn has_missed(&mut self, row: &Row, now: &Snapshot) -> Result<Option<Told>> {
        let (timeline, horizon) = (timeline(row)?, number(column(row, 1)?)?);
        let is_elsewhere = timeline != self.place.timeline || self.place.transaction >= now.end;
        let is_late = horizon > self.place.transaction.max(self.missed);
        if !is_elsewhere && !is_late {
            return Ok(None);
        }
        self.missed = horizon;
        let begin = Place { timeline, ..now.begin() };
        if is_elsewhere {
            self.place = begin;
        } else {
            let behind = Place { transaction: horizon, ..begin };
            self.place = self.place.max(behind.min(begin));
        }
        Ok(Some(Told::Missed(self.place.position())))
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|error: ParseIntError| {
        Error::corrupt("the number of a transaction").with_source(error)
    })
}

fn timeline(row: &Row) -> Result<u32> {
    u32::try_from(column::<i64>(row, 0)?)
        .map_err(|error| Error::corrupt("the server's timeline").with_source(error))
}

fn gone() -> Error {
    Error::not_found("the store's tables are empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_says_what_had_ended() {
        let snapshot = Snapshot::read("10:20:10,14,15").unwrap();
        let seen: Vec<u64> = (8..22).filter(|number| snapshot.sees(*number)).collect();
        assert_eq!(seen, [8, 9, 11, 12, 13, 16, 17, 18, 19]);
        assert!(Snapshot::read("7:7:").unwrap().running.is_empty());
        assert!(Snapshot::read("7:x:").is_err());
    }

    #[test]
    fn a_place_goes_through_its_position() {
        let place = Place { timeline: 3, transaction: 1 << 40, nth: 7 };
        assert_eq!(Place::read(&place.position()).unwrap(), place);
        assert!(Place::read(&Position::from(7_u64)).is_err());
    }
}
