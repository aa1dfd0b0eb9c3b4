//! Entries in a table of PostgreSQL: one row for each, written by one statement.
//!
//! A deleted entry leaves a mark in its place for a while, so that watchers hear of it.

mod settings;
mod statements;
mod table;
mod watch;
mod writes;

use crate::joined::{Joined, Together};
use crate::local::page;
use crate::room::too_large;
use crate::tables;
use crate::{
    Changes, Checked, ListOptions, Offer, Page, Store, Version, Versioned, WatchOptions,
    WriteOptions,
};
use async_trait::async_trait;
use base::{Backend, Place, Result};
use bytes::Bytes;
use connect::postgres::{Work, column};
use std::collections::HashMap;
use std::sync::Arc;
use table::Table;
use tokio::task::JoinSet;

pub(super) use settings::BEST;
pub use settings::Postgres;
use watch::Watching;
use writes::{Delete, DeleteMany, Fenced, Increment, Set, SetMany};

impl Backend for Postgres {
    type Contract = dyn Store;
    const NAME: &'static str = "postgres";
    const SCHEMES: &'static [&'static str] = &["postgres", "postgresql"];
    const EXAMPLE: &'static str = "postgres://user@127.0.0.1:5432/database";

    fn check(&self) -> Result<(), String> {
        self.verify().map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Store>> {
        let server = Arc::new(self.connection(&place)?);
        let probed = settings::probe(&server).await?;
        let name = self.name(&place)?;
        let table = Table::open(server, name, self.retention, probed.timeline).await?;
        let table = Arc::new(table);
        let mut tidying = JoinSet::new();
        tidying.spawn(tables::keep_tidy(Arc::clone(&table), self.retention));
        let watching = Watching::new(Arc::clone(&table));
        let keys = Keys { table, offer: probed.offer, watching, _tidying: tidying };
        Ok(Arc::new(Checked::new(Joined::new(keys, self.timeout))))
    }
}

/// The store behind `postgres:`.
pub struct Keys {
    table: Arc<Table>,
    offer: Offer,
    watching: Watching,
    _tidying: JoinSet<()>,
}

impl Keys {
    /// Does work that writes: in a transaction if it is under a lock, or of more than one step.
    async fn write<W: Work>(
        &self,
        options: &WriteOptions,
        is_one_step: bool,
        work: &W,
    ) -> Result<W::Done> {
        let server = &self.table.server;
        let done = match &options.fence {
            None if is_one_step => server.call(work).await?,
            fence => {
                let (table, fence) = (&*self.table, fence.as_ref());
                server.transaction(&Fenced { table, fence, work }).await?
            }
        };
        self.watching.wake();
        Ok(done)
    }
}

#[async_trait]
impl Store for Keys {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let rows = self.table.server.read(&self.table.sql.get, &[&key.as_bytes()]).await?;
        let value = rows.first().map(|row| column(row, 0).map(Bytes::copy_from_slice));
        value.transpose()
    }

    async fn versioned(&self, key: &str) -> Result<Option<Versioned>> {
        let rows = self.table.server.read(&self.table.sql.versioned, &[&key.as_bytes()]).await?;
        writes::found(rows.first())
    }

    async fn get_many(&self, keys: &[String], most: usize) -> Result<Vec<Option<Bytes>>> {
        let asked: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self.table.server.read(&self.table.sql.get_many, &[&asked, &limit]).await?;
        let mut found: HashMap<&[u8], Bytes> = HashMap::with_capacity(rows.len());
        for row in &rows {
            // None of them comes where all of them would be too many bytes.
            let value = column::<Option<&[u8]>>(row, 1)?.ok_or_else(|| too_large(most))?;
            found.insert(column(row, 0)?, Bytes::copy_from_slice(value));
        }
        Ok(asked.into_iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        let rows = self.table.server.read(&self.table.sql.exists, &[&key.as_bytes()]).await?;
        Ok(!rows.is_empty())
    }

    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version> {
        let version = tables::version();
        let set = Set { table: &self.table, key, value: &value, version, options };
        self.write(options, true, &set).await?;
        Version::new(&version)
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>, options: &WriteOptions) -> Result<()> {
        let portions = tables::portions(entries, tables::PORTION);
        let set = SetMany { table: &self.table, portions: &portions, options };
        self.write(options, portions.len() < 2, &set).await
    }

    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()> {
        self.write(options, true, &Delete { table: &self.table, key, options }).await
    }

    async fn delete_many(&self, keys: &[String], options: &WriteOptions) -> Result<()> {
        self.write(options, true, &DeleteMany { table: &self.table, keys }).await
    }

    async fn increment(&self, key: &str, delta: i64, options: &WriteOptions) -> Result<i64> {
        let increment = Increment { table: &self.table, key, delta, options };
        self.write(options, true, &increment).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Page> {
        let Some((first, last)) = tables::range(options) else { return Ok(Page::default()) };
        let limit = tables::limit(options);
        let rows = self.table.server.read(&self.table.sql.list, &[&first, &last, &limit]).await?;
        page(rows.iter().map(|row| tables::key(column(row, 0)?)), options)
    }

    async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        self.watching.watch(options).await
    }

    async fn destroy(&self) -> Result<()> {
        self.table.destroy().await
    }
}

#[async_trait]
impl Together for Keys {
    fn server(&self) -> &str {
        self.table.server.server()
    }
}
