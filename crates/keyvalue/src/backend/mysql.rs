//! Entries in a table of MariaDB or MySQL: one row for each.
//!
//! A deleted entry leaves a mark in its place for a while, so that watchers hear of it.

mod settings;
mod statements;
mod table;
mod watch;
mod writes;

use crate::joined::{Joined, Together};
use crate::local::page;
use crate::{
    Changes, Checked, ListOptions, Offer, Page, Store, Version, Versioned, WatchOptions,
    WriteOptions, tables,
};
use async_trait::async_trait;
use base::{Backend, Place, Result};
use bytes::Bytes;
use connect::mysql::{Value, Work, column};
use std::collections::BTreeSet;
use std::sync::Arc;
use table::Table;
use tokio::task::JoinSet;

pub(super) use settings::BEST;
pub use settings::Mysql;
use watch::Watching;
use writes::{CHUNK, Delete, DeleteMany, Fenced, GetMany, Increment, Set, SetMany, chunks};

impl Backend for Mysql {
    type Contract = dyn Store;
    const NAME: &'static str = "mysql";
    const SCHEMES: &'static [&'static str] = &["mysql", "mariadb"];
    const EXAMPLE: &'static str = "mysql://user@127.0.0.1:3306/database";

    fn check(&self) -> Result<(), String> {
        self.verify().map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Store>> {
        let server = Arc::new(self.connection(&place)?);
        let probed = settings::probe(&server).await?;
        let table = Table::open(server, self.name(&place)?, self.retention).await?;
        let table = Arc::new(table);
        let mut tidying = JoinSet::new();
        tidying.spawn(tables::keep_tidy(Arc::clone(&table), self.retention));
        let watching = Watching::new(Arc::clone(&table));
        let (offer, portion) = (probed.offer, probed.portion);
        let keys = Keys { table, offer, portion, watching, _tidying: tidying };
        Ok(Arc::new(Checked::new(Joined::new(keys, self.timeout))))
    }
}

/// The store behind `mysql:`.
pub struct Keys {
    table: Arc<Table>,
    offer: Offer,
    /// The most bytes of values in one statement.
    portion: usize,
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

fn names<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
    // In order, so that two transactions never wait for each other.
    let keys: BTreeSet<&str> = keys.into_iter().collect();
    keys.into_iter().map(|key| key.as_bytes().into()).collect()
}

#[async_trait]
impl Store for Keys {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let mut rows =
            self.table.server.rows(&self.table.sql.get, &[key.as_bytes().into()]).await?;
        let Some(row) = rows.first_mut() else { return Ok(None) };
        Ok(Some(column::<Vec<u8>>(row, 0)?.into()))
    }

    async fn versioned(&self, key: &str) -> Result<Option<Versioned>> {
        let key = [key.as_bytes().into()];
        let mut rows = self.table.server.rows(&self.table.sql.versioned, &key).await?;
        rows.first_mut().map_or(Ok(None), writes::found)
    }

    async fn get_many(&self, keys: &[String], most: usize) -> Result<Vec<Option<Bytes>>> {
        let asked = names(keys.iter().map(String::as_str));
        let get = GetMany { table: &self.table, keys: &asked, most };
        let server = &self.table.server;
        let found = match asked.len() <= CHUNK {
            true => server.read(&get).await?,
            false => server.snapshot(&get).await?,
        };
        Ok(keys.iter().map(|key| found.get(key.as_bytes()).cloned()).collect())
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        let key = [key.as_bytes().into()];
        Ok(!self.table.server.rows(&self.table.sql.exists, &key).await?.is_empty())
    }

    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version> {
        let version = tables::version();
        let set = Set { table: &self.table, key, value: &value, version, options };
        self.write(options, true, &set).await?;
        Version::new(&version)
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>, options: &WriteOptions) -> Result<()> {
        let portions = tables::portions(entries, self.portion);
        let steps = portions.iter().flat_map(|portion| chunks(portion)).count();
        let set = SetMany { table: &self.table, portions: &portions, options };
        self.write(options, steps < 2, &set).await
    }

    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()> {
        self.write(options, true, &Delete { table: &self.table, key, options }).await
    }

    async fn delete_many(&self, keys: &[String], options: &WriteOptions) -> Result<()> {
        let keys = names(keys.iter().map(String::as_str));
        let is_one_step = keys.len() <= CHUNK;
        self.write(options, is_one_step, &DeleteMany { table: &self.table, keys: &keys }).await
    }

    async fn increment(&self, key: &str, delta: i64, options: &WriteOptions) -> Result<i64> {
        let increment = Increment { table: &self.table, key, delta, options };
        self.write(options, false, &increment).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Page> {
        let Some((first, last)) = tables::range(options) else { return Ok(Page::default()) };
        let parameters = [first.into(), last.into(), tables::limit(options).into()];
        let mut rows = self.table.server.rows(&self.table.sql.list, &parameters).await?;
        let keys = rows.iter_mut().map(|row| tables::key(&column::<Vec<u8>>(row, 0)?));
        page(keys, options)
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
