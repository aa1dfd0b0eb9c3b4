//! The writes, as work on one connection.

use super::table::Table;
use crate::tables;
use crate::{Expect, Fence, Version, Versioned, WriteOptions, stale_fence, unmet};
use base::{Error, Result};
use bytes::Bytes;
use connect::postgres::{Connection, Failure, ToSql, Work, column};

/// So often is a counter looked at that others change all the time.
const TRIES: u32 = 32;

/// Work under a lock. Only in a transaction.
pub(super) struct Fenced<'a, W> {
    pub(super) table: &'a Table,
    pub(super) fence: Option<&'a Fence>,
    pub(super) work: &'a W,
}

impl<W: Work> Work for Fenced<'_, W> {
    type Done = W::Done;

    async fn run(&self, connection: &Connection) -> Result<W::Done, Failure> {
        if let Some(Fence { lock, token }) = self.fence {
            let sql = &self.table.sql;
            let (lock, number) = (lock.as_bytes(), token.to_string());
            if connection.execute(&sql.raise, &[&lock, &number]).await? == 0 {
                let rows = connection.query(&sql.token, &[&lock]).await?;
                let highest =
                    rows.first().and_then(|row| column::<&str>(row, 0).ok()?.parse().ok());
                return Err(stale_fence(*token, highest.unwrap_or(u64::MAX)).into());
            }
        }
        self.work.run(connection).await
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

    async fn run(&self, connection: &Connection) -> Result<(), Failure> {
        let (key, version) = (self.key.as_bytes(), &self.version[..]);
        let ttl = ttl(self.options);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&key, &self.value, &version, &ttl];
        let expected = expected(self.options);
        if let Some(expected) = &expected {
            parameters.push(expected);
        }
        let statement = self.table.sql.set(self.options.expect.as_ref());
        met(connection.execute(statement, &parameters).await?)
    }
}

/// Entries in order, each key once, in portions.
pub(super) struct SetMany<'a> {
    pub(super) table: &'a Table,
    pub(super) portions: &'a [Vec<(String, Bytes)>],
    pub(super) options: &'a WriteOptions,
}

impl Work for SetMany<'_> {
    type Done = ();

    async fn run(&self, connection: &Connection) -> Result<(), Failure> {
        let ttl = ttl(self.options);
        let mut written = 0_i32;
        for portion in self.portions {
            let keys: Vec<&[u8]> = portion.iter().map(|(key, _)| key.as_bytes()).collect();
            let values: Vec<&[u8]> = portion.iter().map(|(_, value)| &value[..]).collect();
            let versions: Vec<[u8; 16]> = portion.iter().map(|_| tables::version()).collect();
            let versions: Vec<&[u8]> = versions.iter().map(|version| &version[..]).collect();
            let statement = &self.table.sql.set_many;
            connection.execute(statement, &[&keys, &values, &versions, &ttl, &written]).await?;
            written = written.saturating_add(i32::try_from(portion.len()).unwrap_or(i32::MAX));
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

    async fn run(&self, connection: &Connection) -> Result<(), Failure> {
        let (sql, key) = (&self.table.sql, self.key.as_bytes());
        match &self.options.expect {
            None => connection.execute(sql.delete(false), &[&key]).await.map(drop),
            Some(Expect::Version(expected)) => {
                let expected = expected.bytes();
                met(connection.execute(sql.delete(true), &[&key, &expected]).await?)
            }
            Some(Expect::Absent) => {
                match connection.query(&sql.exists, &[&key]).await?.is_empty() {
                    true => Ok(()),
                    false => Err(unmet().into()),
                }
            }
        }
    }
}

/// Deletions in one step.
pub(super) struct DeleteMany<'a> {
    pub(super) table: &'a Table,
    pub(super) keys: &'a [String],
}

impl Work for DeleteMany<'_> {
    type Done = ();

    async fn run(&self, connection: &Connection) -> Result<(), Failure> {
        let keys: Vec<&[u8]> = self.keys.iter().map(String::as_bytes).collect();
        connection.execute(&self.table.sql.delete_many, &[&keys]).await.map(drop)
    }
}

/// An addition to a counter.
pub(super) struct Increment<'a> {
    pub(super) table: &'a Table,
    pub(super) key: &'a str,
    pub(super) delta: i64,
    pub(super) options: &'a WriteOptions,
}

impl Work for Increment<'_> {
    type Done = i64;

    async fn run(&self, connection: &Connection) -> Result<i64, Failure> {
        for _ in 0..TRIES {
            if let Some(sum) = self.add(connection).await? {
                return Ok(sum);
            }
        }
        Err(Error::exhausted("others change the counter all the time").into())
    }
}

impl Increment<'_> {
    /// Adds once; `None` if another write came in between.
    async fn add(&self, connection: &Connection) -> Result<Option<i64>, Failure> {
        let (key, version) = (self.key.as_bytes(), tables::version());
        let (version, ttl) = (&version[..], ttl(self.options));
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&key, &self.delta, &version, &ttl];
        let expected = expected(self.options);
        if let Some(expected) = &expected {
            parameters.push(expected);
        }
        let sql = &self.table.sql;
        let statement = sql.increment(self.options.expect.as_ref());
        if let Some(row) = connection.query(statement, &parameters).await?.first() {
            let sum = column::<&str>(row, 0)?.parse();
            let sum = sum.map_err(|error| Error::corrupt("a sum").with_source(error))?;
            return Ok(Some(sum));
        }
        let found = found(connection.query(&sql.versioned, &[&key]).await?.first())?;
        let found = found.as_ref().map(|found| (&found.value[..], found.version.bytes()));
        match tables::why_not_added(found, self.delta, self.options) {
            Some(refused) => Err(refused.into()),
            None => Ok(None),
        }
    }
}

/// An entry that was read.
pub(super) fn found(row: Option<&connect::postgres::Row>) -> Result<Option<Versioned>> {
    let Some(row) = row else { return Ok(None) };
    let version = Version::new(column(row, 1)?)?;
    Ok(Some(Versioned { value: Bytes::copy_from_slice(column(row, 0)?), version }))
}

fn expected(options: &WriteOptions) -> Option<&[u8]> {
    match &options.expect {
        Some(Expect::Version(version)) => Some(version.bytes()),
        _ => None,
    }
}

fn met(changed: u64) -> Result<(), Failure> {
    if changed == 0 { Err(unmet().into()) } else { Ok(()) }
}

/// Milliseconds to live, as a factor of an interval.
#[expect(clippy::cast_precision_loss, reason = "a hundred years are far from losing any")]
fn ttl(options: &WriteOptions) -> Option<f64> {
    tables::ttl(options).map(|milliseconds| milliseconds as f64)
}
