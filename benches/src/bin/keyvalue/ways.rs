//! The ways in which an operation is done: by a guest, through the contract, by the bare client.

use crate::bare::Bare;
use crate::measure::Worker;
use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use engine::{Deadline, Guest};
use futures::FutureExt as _;
use keyvalue::{Expect, Store, WriteOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use wharf_benches::guest::{load, read};

/// What is measured. The guest `kv-operations` knows the same words.
pub(crate) const OPERATIONS: &[&str] = &["get", "set", "increment", "swap", "get-many", "set-many"];

const VALUE: &[u8] = &[b'x'; 100];
const MANY: usize = 100;
/// As much as an instance may have the host hold, where its limits say nothing else.
const ROOM: usize = 128 << 20;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The vendor's client, with one command of the vendor's for each operation.
    Bare,
    /// The contract alone: the same client, and exactly what a guest's call becomes.
    Contract,
    /// A component.
    Guest,
}

impl Way {
    pub(crate) const ALL: &'static [Self] = &[Self::Bare, Self::Contract, Self::Guest];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Contract => "contract",
            Self::Guest => "guest",
        }
    }
}

/// All three, on one store.
pub(crate) struct Ways {
    store: Arc<dyn Store>,
    bare: Option<Arc<dyn Bare>>,
    guest: Arc<Guest>,
}

impl Ways {
    /// # Errors
    /// When the guest is not there, or cannot be loaded.
    pub(crate) fn new(
        guests: &Path,
        store: Arc<dyn Store>,
        bare: Option<Arc<dyn Bare>>,
    ) -> Result<Self> {
        let guest = load(read(guests, "kv-operations")?, &store)?;
        Ok(Self { store, bare, guest })
    }

    /// So many workers, each with a key of its own that has a value already. `None` where the bare
    /// client has nothing for it.
    ///
    /// # Errors
    /// What keeps an instance from being made.
    pub(crate) async fn work(
        &self,
        way: Way,
        operation: &'static str,
        workers: usize,
        each: u32,
    ) -> Result<Option<Vec<Worker>>> {
        let mut work = Vec::with_capacity(workers);
        for number in 0..workers {
            let key = format!("{operation}-{number}");
            let worker = match way {
                Way::Bare => self.bare(operation, key, each),
                Way::Contract => Some(contract(&self.store, operation, key, each)),
                Way::Guest => Some(self.guest(operation, key, each).await?),
            };
            let Some(mut worker) = worker else { return Ok(None) };
            worker().await.with_context(|| format!("{} {operation}", way.word()))?;
            work.push(worker);
        }
        Ok(Some(work))
    }

    fn bare(&self, operation: &'static str, key: String, each: u32) -> Option<Worker> {
        let bare = Arc::clone(self.bare.as_ref()?);
        let key: Arc<str> = key.into();
        let is_get = match operation {
            "get" => true,
            "set" => false,
            _ => return None,
        };
        Some(Box::new(move || {
            let (bare, key) = (Arc::clone(&bare), Arc::clone(&key));
            async move {
                for _ in 0..each {
                    if is_get { bare.get(&key).await? } else { bare.set(&key, VALUE).await? }
                }
                Ok(())
            }
            .boxed()
        }))
    }

    async fn guest(&self, operation: &'static str, key: String, each: u32) -> Result<Worker> {
        let mut store = self.guest.store(Deadline::after(DAY));
        let wrong = |error: wasmtime::Error| anyhow!("{error:#}");
        let instance = self.guest.pre().instantiate_async(&mut store).await.map_err(wrong)?;
        let operate = instance
            .get_typed_func::<(&str, &str, u32), (Result<(), String>,)>(&mut store, "operate")
            .map_err(wrong)?;
        let instance = Arc::new(Mutex::new(store));
        let key: Arc<str> = key.into();
        Ok(Box::new(move || {
            let (instance, key) = (Arc::clone(&instance), Arc::clone(&key));
            async move {
                let mut store = instance.lock().await;
                let called = operate.call_async(&mut *store, (operation, &key, each)).await;
                let (outcome,) = called.map_err(|error| anyhow!("{error:#}"))?;
                outcome.map_err(|error| anyhow!(error))
            }
            .boxed()
        }))
    }
}

/// What the guest's call becomes.
fn contract(store: &Arc<dyn Store>, operation: &'static str, key: String, each: u32) -> Worker {
    let store = Arc::clone(store);
    let key: Arc<str> = key.into();
    let plain = WriteOptions::default();
    Box::new(move || {
        let (store, key, plain) = (Arc::clone(&store), Arc::clone(&key), plain.clone());
        async move {
            for _ in 0..each {
                operate(&*store, operation, &key, &plain).await?;
            }
            Ok(())
        }
        .boxed()
    })
}

async fn operate(
    store: &dyn Store,
    operation: &str,
    key: &str,
    plain: &WriteOptions,
) -> Result<()> {
    let value = || Bytes::from_static(VALUE);
    let many = || (0..MANY).map(|number| format!("{key}/{number}"));
    match operation {
        "get" => drop(store.get(key).await?),
        "set" => store.put(key, value()).await?,
        "increment" => store.increment(key, 1, plain).await.map(drop)?,
        "swap" => {
            let seen = store.versioned(key).await?;
            let expect = seen.map_or(Expect::Absent, |seen| Expect::Version(seen.version));
            store.set(key, value(), &WriteOptions::expecting(expect)).await.map(drop)?;
        }
        "get-many" => drop(store.get_many(&many().collect::<Vec<_>>(), ROOM).await?),
        "set-many" => {
            store.set_many(many().map(|key| (key, value())).collect(), plain).await?;
        }
        other => bail!("no operation is called {other}"),
    }
    Ok(())
}
