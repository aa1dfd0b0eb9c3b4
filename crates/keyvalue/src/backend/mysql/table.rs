//! The tables of a binding: made where they are not there, tidied up, dropped.

use super::statements::{Statements, quoted};
use super::writes::lists;
use crate::tables::{BATCH, Tidy};
use base::{Error, Kind, Result};
use connect::mysql::{Connection, Failure, Mysql as Server, Value, Work, column};
use std::sync::Arc;
use std::time::Duration;

/// What the tables of today hold. One that holds something else was made by another version.
const LAYOUT: i32 = 1;

/// The tables of one binding.
pub(super) struct Table {
    pub(super) server: Arc<Server>,
    pub(super) sql: Statements,
    name: String,
}

impl Table {
    /// Finds the tables, or makes them.
    pub(super) async fn open(
        server: Arc<Server>,
        name: String,
        retention: Duration,
    ) -> Result<Self> {
        let sql = Statements::new(&name, retention);
        let table = Self { server, sql, name };
        let layout = match table.layout().await {
            Err(error) if error.kind() == Kind::NotFound => {
                table.create().await?;
                table.layout().await?
            }
            layout => layout?,
        };
        if layout != LAYOUT {
            return Err(Error::unsupported(format!(
                "the table {} has layout {layout}, and this program knows {LAYOUT}",
                quoted(&table.name)
            ))
            .with_hint("it was made by another version of Wharf: use that, or another `table`"));
        }
        Ok(table)
    }

    fn of(&self, suffix: &str) -> String {
        quoted(&format!("{}{suffix}", self.name))
    }

    async fn layout(&self) -> Result<i32> {
        let sql = format!("SELECT layout FROM {}", self.of("_meta"));
        let mut rows = self.server.rows(&sql, &[]).await?;
        match rows.first_mut() {
            Some(row) => column(row, 0),
            // Somebody is about to fill it.
            None => Err(Error::not_found(format!("the table {} is empty", self.of("_meta")))),
        }
    }

    /// Each step may meet another host at the same: what they leave is the same.
    async fn create(&self) -> Result<()> {
        let (table, epochs) = (self.of(""), self.of("_epochs"));
        let (fences, meta) = (self.of("_fences"), self.of("_meta"));
        let options = "ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET binary";
        let steps = [
            format!(
                "CREATE TABLE IF NOT EXISTS {table} (
                     k VARBINARY(1024) NOT NULL PRIMARY KEY, value LONGBLOB,
                     version VARBINARY(16) NOT NULL, ends BIGINT,
                     epoch BIGINT UNSIGNED NOT NULL, nth BIGINT UNSIGNED NOT NULL,
                     KEY changes (epoch, nth), KEY ends (ends)
                 ) {options}"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {epochs} (
                     number BIGINT UNSIGNED NOT NULL PRIMARY KEY
                 ) {options}"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {fences} (
                     name VARBINARY(1024) NOT NULL PRIMARY KEY, token BIGINT UNSIGNED NOT NULL
                 ) {options}"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {meta} (
                     layout INT NOT NULL PRIMARY KEY, horizon BIGINT UNSIGNED NOT NULL
                 ) {options}"
            ),
            // Once there is a newer one, this is history.
            format!(
                "INSERT IGNORE INTO {epochs}
                 SELECT 1 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM {epochs})"
            ),
            format!("INSERT IGNORE INTO {meta} VALUES ({LAYOUT}, 0)"),
        ];
        self.server.call(&Steps(&steps)).await
    }

    /// Marks entries that are over, of an epoch up to this one, some at once; how many.
    pub(super) async fn expire(&self, epoch: u64) -> Result<usize> {
        self.server.transaction(&Expire { table: self, epoch }).await
    }

    /// Begins an epoch, and waits until all writes of those before have ended; which it is.
    pub(super) async fn begin_epoch(&self) -> Result<u64> {
        self.server.call(&BeginEpoch(self)).await
    }

    pub(super) async fn destroy(&self) -> Result<()> {
        let tables = ["_meta", "_fences", "_epochs", ""].map(|suffix| self.of(suffix));
        let drop = format!("DROP TABLE IF EXISTS {}", tables.join(", "));
        self.server.call(&Steps(&[drop])).await
    }
}

impl Tidy for Table {
    async fn tidy(&self) -> Result<()> {
        let batch = usize::try_from(BATCH).unwrap_or(usize::MAX);
        while self.expire(u64::MAX).await? >= batch {}
        while self.server.transaction(&Forget(self)).await? >= batch {}
        Ok(())
    }
}

/// Statements one after the other.
struct Steps<'a>(&'a [String]);

impl Work for Steps<'_> {
    type Done = ();

    async fn run(&self, connection: &mut Connection<'_>) -> Result<(), Failure> {
        for step in self.0 {
            connection.run(step).await?;
        }
        Ok(())
    }
}

struct BeginEpoch<'a>(&'a Table);

impl Work for BeginEpoch<'_> {
    type Done = u64;

    async fn run(&self, connection: &mut Connection<'_>) -> Result<u64, Failure> {
        let sql = &self.0.sql;
        let mut rows = connection.query(&sql.next_epoch, &[]).await?;
        let row = rows.first_mut().ok_or_else(|| Error::corrupt("there are no epochs"))?;
        let epoch: u64 = column(row, 0)?;
        match connection.execute(&sql.add_epoch, vec![epoch.into()]).await {
            Err(failure) if failure.is_duplicate() => return Err(Failure::Again),
            added => added?,
        };
        connection.execute(&sql.close_epochs, vec![epoch.into()]).await?;
        Ok(epoch)
    }
}

struct Expire<'a> {
    table: &'a Table,
    epoch: u64,
}

impl Work for Expire<'_> {
    type Done = usize;

    async fn run(&self, connection: &mut Connection<'_>) -> Result<usize, Failure> {
        let sql = &self.table.sql;
        let mut rows = connection.query(&sql.over, &[self.epoch.into(), BATCH.into()]).await?;
        let keys: Vec<Value> = rows.iter_mut().map(|row| column(row, 0)).collect::<Result<_>>()?;
        for list in lists(&keys) {
            connection.execute(&sql.mark_many(list.len()), list).await?;
        }
        Ok(keys.len())
    }
}

/// Removes marks that are old enough, some at once; how many.
struct Forget<'a>(&'a Table);

impl Work for Forget<'_> {
    type Done = usize;

    async fn run(&self, connection: &mut Connection<'_>) -> Result<usize, Failure> {
        let sql = &self.0.sql;
        let mut rows = connection.query(&sql.old, &[u64::MAX.into(), BATCH.into()]).await?;
        let mut keys: Vec<Value> = Vec::with_capacity(rows.len());
        let mut last = 0_u64;
        for row in &mut rows {
            keys.push(column(row, 0)?);
            last = last.max(column(row, 1)?);
        }
        for list in lists(&keys) {
            connection.execute(&sql.forget_many(list.len()), list).await?;
        }
        if last > 0 {
            connection.execute(&sql.horizon, vec![last.into()]).await?;
        }
        Ok(keys.len())
    }
}
