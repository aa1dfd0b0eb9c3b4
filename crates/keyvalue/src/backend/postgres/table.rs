//! The tables of a binding: made where they are not there, tidied up, dropped.

use super::statements::{Statements, quoted};
use crate::tables::{BATCH, Tidy};
use base::{Error, Kind, Result};
use connect::postgres::{Postgres as Server, column};
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
        timeline: &str,
    ) -> Result<Self> {
        let sql = Statements::new(&name, retention, timeline);
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
        table.restore().await?;
        Ok(table)
    }

    fn meta(&self) -> String {
        quoted(&format!("{}_meta", self.name))
    }

    fn fences(&self) -> String {
        quoted(&format!("{}_fences", self.name))
    }

    async fn layout(&self) -> Result<i32> {
        let sql = format!("SELECT layout FROM {}", self.meta());
        let rows = self.server.read(&sql, &[]).await?;
        let row = rows
            .first()
            .ok_or_else(|| Error::corrupt(format!("the table {} is empty", self.meta())))?;
        column(row, 0)
    }

    /// The lock under which tables are made and dropped: two hosts may open a binding at once.
    fn lock(&self) -> String {
        let lock = crate::backend::digest(self.name.bytes());
        format!("SELECT pg_advisory_xact_lock({})", i64::from_be_bytes(lock.to_be_bytes()))
    }

    async fn create(&self) -> Result<()> {
        let (table, fences, meta) = (quoted(&self.name), self.fences(), self.meta());
        let create = format!(
            "{lock};
             CREATE TABLE IF NOT EXISTS {table} (
                 key bytea PRIMARY KEY, value bytea, version bytea NOT NULL,
                 ends timestamptz, tx xid8 NOT NULL, nth integer NOT NULL
             );
             CREATE INDEX IF NOT EXISTS {changes} ON {table} (tx, nth);
             CREATE INDEX IF NOT EXISTS {ends} ON {table} (ends) WHERE ends IS NOT NULL;
             CREATE TABLE IF NOT EXISTS {fences} (
                 lock bytea PRIMARY KEY, token numeric(20) NOT NULL
             );
             CREATE TABLE IF NOT EXISTS {meta} (layout integer PRIMARY KEY, horizon xid8 NOT NULL);
             INSERT INTO {meta} SELECT {LAYOUT}, '0' WHERE NOT EXISTS (SELECT FROM {meta})",
            lock = self.lock(),
            changes = quoted(&format!("{}_tx", self.name)),
            ends = quoted(&format!("{}_ends", self.name)),
        );
        self.server.script(&create).await
    }

    /// After the tables were brought here from another server, whose transactions had numbers of
    /// their own: has everything happen now.
    async fn restore(&self) -> Result<()> {
        let (table, meta) = (quoted(&self.name), self.meta());
        let is_foreign = format!(
            "SELECT EXISTS (
                 SELECT FROM {table} WHERE tx >= pg_snapshot_xmax(pg_current_snapshot())
                 UNION ALL
                 SELECT FROM {meta} WHERE horizon >= pg_snapshot_xmax(pg_current_snapshot())
             )"
        );
        let found = self.server.read(&is_foreign, &[]).await?;
        let is_foreign = found.first().map(|row| column(row, 0)).transpose()?;
        if !is_foreign.unwrap_or(false) {
            return Ok(());
        }
        let restore = format!(
            "{lock};
             LOCK TABLE {table} IN EXCLUSIVE MODE;
             UPDATE {meta} SET horizon = pg_current_xact_id();
             UPDATE {table} t SET tx = pg_current_xact_id(), nth = numbered.number
             FROM (SELECT key, row_number() OVER (ORDER BY key)::integer AS number FROM {table})
                  numbered
             WHERE t.key = numbered.key",
            lock = self.lock(),
        );
        self.server.script(&restore).await
    }

    /// Marks entries that are over and were written before a transaction, some at once; how many.
    pub(super) async fn expire(&self, before: u64) -> Result<u64> {
        self.server.execute(&self.sql.expire, &[&BATCH, &before.to_string()]).await
    }

    /// Removes marks of deletions that are old enough, some at once; how many.
    async fn forget(&self) -> Result<i64> {
        let rows = self.server.query(&self.sql.forget, &[&BATCH]).await?;
        rows.first().map_or(Ok(0), |row| column(row, 0))
    }

    pub(super) async fn destroy(&self) -> Result<()> {
        let drop = format!(
            "{}; DROP TABLE IF EXISTS {}, {}, {}",
            self.lock(),
            quoted(&self.name),
            self.fences(),
            self.meta()
        );
        self.server.script(&drop).await
    }
}

impl Tidy for Table {
    async fn tidy(&self) -> Result<()> {
        while self.expire(u64::MAX).await? >= BATCH.unsigned_abs() {}
        while self.forget().await? >= BATCH {}
        Ok(())
    }
}
