//! The calls that are more than one statement, as work on one connection.

use super::table::Table;
use crate::local::rules;
use crate::room::Room;
use crate::{Expect, Fence, Version, Versioned, WriteOptions, counter, stale_fence, tables, unmet};
use base::Result;
use bytes::Bytes;
use connect::mysql::{Connection, Failure, Row, Value, Work, column};
use std::collections::HashMap;

/// The most keys of one statement.
pub(super) const CHUNK: usize = 256;

/// Keys as statements take them that ask for each once, however often it is named. They come in few
/// different lengths, so that the statements are few too.
pub(super) fn lists(keys: &[Value]) -> impl Iterator<Item = Vec<Value>> {
    keys.chunks(CHUNK).map(|chunk| {
        let mut list = chunk.to_vec();
        if let Some(last) = chunk.last() {
            list.resize(chunk.len().next_power_of_two(), last.clone());
        }
        list
    })
}

/// Entries as statements write them, with how many copies of one of them make a length of few.
///
/// A statement more is a round trip more, and for a first one two: it needs a transaction. A copy
/// is one more row to write.
pub(super) fn chunks<T>(mut all: &[T]) -> impl Iterator<Item = (&[T], usize)> {
    std::iter::from_fn(move || {
        let number = all.len().min(CHUNK);
        let (below, above) = (1 << number.checked_ilog2()?, number.next_power_of_two());
        let length = if number >= above - above / 4 { number } else { below };
        let (chunk, rest) = all.split_at_checked(length)?;
        all = rest;
        Some((chunk, length.next_power_of_two() - length))
    })
}

/// Runs a statement that writes. Where its epoch was closed while it waited, it is done again.
async fn write(
    connection: &mut Connection<'_>,
    sql: &str,
    parameters: Vec<Value>,
) -> Result<u64, Failure> {
    match connection.execute(sql, parameters).await {
        Err(failure) if failure.is_null() => Err(Failure::Again),
        outcome => outcome,
    }
}

/// Work under a lock. Only in a transaction.
pub(super) struct Fenced<'a, W> {
    pub(super) table: &'a Table,
    pub(super) fence: Option<&'a Fence>,
    pub(super) work: &'a W,
}

impl<W: Work> Work for Fenced<'_, W> {
    type Done = W::Done;

    async fn run(&self, connection: &mut Connection<'_>) -> Result<W::Done, Failure> {
        if let Some(Fence { lock, token }) = self.fence {
            let sql = &self.table.sql;
            let lock = Value::from(lock.as_bytes());
            connection.execute(&sql.raise, vec![lock.clone(), (*token).into()]).await?;
            let mut rows = connection.query(&sql.token, &[lock]).await?;
            let row = rows.first_mut().ok_or(Failure::Again)?;
            let highest: u64 = column(row, 0)?;
            if *token < highest {
                return Err(stale_fence(*token, highest).into());
            }
        }
        self.work.run(connection).await
    }
}

/// Reads of many keys. Together only in a transaction, or where it is one chunk.
pub(super) struct GetMany<'a> {
    pub(super) table: &'a Table,
    pub(super) keys: &'a [Value],
    /// The most bytes of values.
    pub(super) most: usize,
}

impl Work for GetMany<'_> {
    type Done = HashMap<Vec<u8>, Bytes>;

    async fn run(&self, connection: &mut Connection<'_>) -> Result<Self::Done, Failure> {
        let (mut found, mut room) = (HashMap::new(), Room::new(self.most));
        for list in lists(self.keys) {
            let take = |mut row: Row| {
                let value = Bytes::from(column::<Vec<u8>>(&mut row, 1)?);
                room.add(Some(&value))?;
                found.insert(column(&mut row, 0)?, value);
                Ok(())
            };
            let sql = self.table.sql.get_many(list.len());
            connection.each(&sql, list, take).await?;
        }
        Ok(found)
    }
}

/// One entry.
pub(super) struct Set<'a> {
    pub(super) table: &'a Table,
    pub(super) key: &'a str,
    pub(super) value: &'a [u8],
    pub(super) version: [u8; 16],
    pub(super) options: &'a WriteOptions,
}

impl Work for Set<'_> {
    type Done = ();

    async fn run(&self, connection: &mut Connection<'_>) -> Result<(), Failure> {
        let sql = &self.table.sql;
        let key = Value::from(self.key.as_bytes());
        let new = vec![self.value.into(), self.version.as_slice().into(), ttl(self.options)];
        match &self.options.expect {
            None => write(connection, &sql.put, [vec![key], new].concat()).await.map(drop),
            Some(Expect::Version(expected)) => {
                let condition = vec![key, expected.bytes().into()];
                met(write(connection, &sql.replace_version, [new, condition].concat()).await?)
            }
            Some(Expect::Absent) => {
                let row = [vec![key.clone()], new.clone()].concat();
                match write(connection, &sql.insert, row).await {
                    Err(failure) if failure.is_duplicate() => {}
                    outcome => return outcome.map(drop),
                }
                let changed = [new, vec![key.clone()]].concat();
                if write(connection, &sql.replace_nothing, changed).await? > 0 {
                    return Ok(());
                }
                match connection.query(&sql.exists, &[key]).await?.is_empty() {
                    true => Err(Failure::Again),
                    false => Err(unmet().into()),
                }
            }
        }
    }
}

/// Entries in order, each key once, in portions. Only in a transaction.
pub(super) struct SetMany<'a> {
    pub(super) table: &'a Table,
    pub(super) portions: &'a [Vec<(String, Bytes)>],
    pub(super) options: &'a WriteOptions,
}

impl Work for SetMany<'_> {
    type Done = ();

    async fn run(&self, connection: &mut Connection<'_>) -> Result<(), Failure> {
        let ttl = ttl(self.options);
        for (chunk, copies) in self.portions.iter().flat_map(|portion| chunks(portion)) {
            // The smallest costs least.
            let smallest = chunk.iter().min_by_key(|(key, value)| key.len() + value.len());
            let number = chunk.len() + copies;
            let mut parameters = Vec::with_capacity(number * 4);
            for (key, value) in chunk.iter().chain(smallest.into_iter().cycle().take(copies)) {
                let version = tables::version();
                parameters.push(key.as_bytes().into());
                parameters.push(value[..].into());
                parameters.push(version.as_slice().into());
                parameters.push(ttl.clone());
            }
            write(connection, &self.table.sql.set_many(number), parameters).await?;
        }
        Ok(())
    }
}

/// A deletion.
pub(super) struct Delete<'a> {
    pub(super) table: &'a Table,
    pub(super) key: &'a str,
    pub(super) options: &'a WriteOptions,
}

impl Work for Delete<'_> {
    type Done = ();

    async fn run(&self, connection: &mut Connection<'_>) -> Result<(), Failure> {
        let (sql, key) = (&self.table.sql, Value::from(self.key.as_bytes()));
        match &self.options.expect {
            None => write(connection, &sql.delete, vec![key]).await.map(drop),
            Some(Expect::Version(expected)) => {
                let parameters = vec![key, expected.bytes().into()];
                met(write(connection, &sql.delete_version, parameters).await?)
            }
            Some(Expect::Absent) => match connection.query(&sql.exists, &[key]).await?.is_empty() {
                true => Ok(()),
                false => Err(unmet().into()),
            },
        }
    }
}

/// Deletions, of keys in order. In one step only in a transaction.
pub(super) struct DeleteMany<'a> {
    pub(super) table: &'a Table,
    pub(super) keys: &'a [Value],
}

impl Work for DeleteMany<'_> {
    type Done = ();

    async fn run(&self, connection: &mut Connection<'_>) -> Result<(), Failure> {
        for list in lists(self.keys) {
            write(connection, &self.table.sql.delete_many(list.len()), list).await?;
        }
        Ok(())
    }
}

/// An addition to a counter. Only in a transaction.
pub(super) struct Increment<'a> {
    pub(super) table: &'a Table,
    pub(super) key: &'a str,
    pub(super) delta: i64,
    pub(super) options: &'a WriteOptions,
}

impl Work for Increment<'_> {
    type Done = i64;

    async fn run(&self, connection: &mut Connection<'_>) -> Result<i64, Failure> {
        let (sql, key) = (&self.table.sql, Value::from(self.key.as_bytes()));
        let mut rows = connection.query(&sql.look, std::slice::from_ref(&key)).await?;
        let mut found = None;
        if let Some(row) = rows.first_mut()
            && column(row, 2)?
        {
            found = self::found(row)?;
        }
        let version = found.as_ref().map(|found| found.version.bytes());
        if !rules::holds(version, self.options) {
            return Err(unmet().into());
        }
        let before = match &found {
            Some(found) => counter::read(&found.value)?,
            None => 0,
        };
        let sum = counter::add(before, self.delta)?;
        let (text, version, ttl) = (sum.to_string(), tables::version(), ttl(self.options));
        let stays = found.is_some() && self.options.ttl.is_none();
        let new = vec![text.into_bytes().into(), version.as_slice().into()];
        let written = match rows.is_empty() {
            true => {
                let row = [vec![key], new, vec![ttl]].concat();
                write(connection, &sql.insert, row).await
            }
            false => {
                let changed = [new, vec![stays.into(), ttl, key]].concat();
                write(connection, &sql.change, changed).await
            }
        };
        match written {
            Err(failure) if failure.is_duplicate() => Err(Failure::Again),
            written => written.map(|_| sum),
        }
    }
}

/// An entry that was read.
pub(super) fn found(row: &mut Row) -> Result<Option<Versioned>> {
    let version: Vec<u8> = column(row, 1)?;
    let value: Vec<u8> = column(row, 0)?;
    Ok(Some(Versioned { value: value.into(), version: Version::new(&version)? }))
}

fn met(changed: u64) -> Result<(), Failure> {
    if changed == 0 { Err(unmet().into()) } else { Ok(()) }
}

/// Microseconds to live.
fn ttl(options: &WriteOptions) -> Value {
    tables::ttl(options).map(|milliseconds| milliseconds.saturating_mul(1000)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_written_in_few_lengths_and_none_is_lost() {
        let all: Vec<usize> = (0..1000).collect();
        for number in 0..all.len() {
            let mut written = Vec::new();
            for (chunk, copies) in chunks(&all[..number]) {
                assert!((chunk.len() + copies).is_power_of_two(), "{number}");
                assert!(copies * 3 <= chunk.len() && chunk.len() + copies <= CHUNK, "{number}");
                written.extend_from_slice(chunk);
            }
            assert_eq!(written, all[..number]);
        }
        let lengths = |number| -> Vec<_> {
            chunks(&all[..number]).map(|(chunk, copies)| (chunk.len(), copies)).collect()
        };
        assert_eq!(lengths(1000), [(256, 0), (256, 0), (256, 0), (232, 24)]);
        assert_eq!(lengths(60), [(60, 4)]);
        assert_eq!(lengths(43), [(32, 0), (8, 0), (3, 1)]);
    }

    #[test]
    fn keys_are_asked_for_in_few_lengths() {
        let keys: Vec<Value> = (0..300).map(Value::from).collect();
        let lists: Vec<_> = lists(&keys).collect();
        assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [256, 64]);
        assert_eq!(lists[0], keys[..256]);
        assert_eq!(lists[1][..44], keys[256..]);
        assert!(lists[1][44..].iter().all(|copy| *copy == keys[299]));
        assert_eq!(super::lists(&[]).count(), 0);
    }
}
