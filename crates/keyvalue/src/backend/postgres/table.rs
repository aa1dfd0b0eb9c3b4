//! The tables of a binding: made where they are not there, tidied up, dropped.

use super::statements::Statements;
use crate::tables::{BATCH, Tidy};
use base::Result;
use connect::postgres::{Postgres as Server, column, quoted};
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
        table.server.find_or_make(&table.name, LAYOUT, &table.create()).await?;
        table.restore().await?;
        Ok(table)
    }

    fn meta(&self) -> String {
        quoted(&format!("{}_meta", self.name))
    }

    fn create(&self) -> String {
        let (table, meta) = (quoted(&self.name), self.meta());
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
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
            fences = quoted(&format!("{}_fences", self.name)),
            changes = quoted(&format!("{}_tx", self.name)),
            ends = quoted(&format!("{}_ends", self.name)),
        )
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
            "LOCK TABLE {table} IN EXCLUSIVE MODE;
             UPDATE {meta} SET horizon = pg_current_xact_id();
             UPDATE {table} t SET tx = pg_current_xact_id(), nth = numbered.number
             FROM (SELECT key, row_number() OVER (ORDER BY key)::integer AS number FROM {table})
                  numbered
             WHERE t.key = numbered.key"
        );
        self.server.script_alone(&self.name, &restore).await
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
        self.server.drop_tables(&self.name, &["", "_fences", "_meta"]).await
    }
}

impl Tidy for Table {
    async fn tidy(&self) -> Result<()> {
        while self.expire(u64::MAX).await? >= BATCH.unsigned_abs() {}
        while self.forget().await? >= BATCH {}
        Ok(())
    }
}
