//! `wasi:keyvalue/cache@0.2.0-draft`, the interface of the older text: every operation begins at
//! once and hands out what will become of it.
//!
//! It stands here and not with its contract because it is one of this package: its values and its
//! errors are those of `types`, and a component imports these once.

mod operations;
mod uses;

use super::labels;
use super::old::answer;
use super::operations::Result;
use super::pending::Pending;
use super::values::Filling;
use super::{IncomingValue, OutgoingValue};
use base::{Bound, Error, Result as Outcome};
use bindings::wasi::keyvalue::cache::{self as wit, GetOrSetEntry};
use bytes::Bytes;
use cache::Cache;
use engine::Held;
use engine::{Capability, Ctx, Failure, Guest, Has, Imports, Name, Tasks, View, Wanted};
use std::sync::Arc;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_io::poll::{DynPollable, subscribe};

pub use uses::uses;

pub(crate) mod bindings {
    //! Generated from the interface.
    wasmtime::component::bindgen!({
        // The draft had no world for it.
        inline: "package wharf:caching; world caching { import wasi:keyvalue/cache@0.2.0-draft; }",
        path: "wit/draft-old",
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "wasi:io": wasmtime_wasi_io::bindings::wasi::io,
            "wasi:keyvalue/types": crate::host::old::bindings::wasi::keyvalue::types,
            "wasi:keyvalue/wasi-keyvalue-error":
                crate::host::old::bindings::wasi::keyvalue::wasi_keyvalue_error,
            "wasi:keyvalue/cache.future-get-result": crate::host::cache::FutureGet,
            "wasi:keyvalue/cache.future-exists-result": crate::host::cache::FutureExists,
            "wasi:keyvalue/cache.future-result": crate::host::cache::FutureDone,
            "wasi:keyvalue/cache.future-get-or-set-result": crate::host::cache::FutureEntry,
            "wasi:keyvalue/cache.vacancy": crate::host::cache::Vacancy,
        },
    });
}

/// The resource `future-get-result`.
pub type FutureGet = Pending<Option<IncomingValue>>;
/// The resource `future-exists-result`.
pub type FutureExists = Pending<bool>;
/// The resource `future-result`.
pub type FutureDone = Pending<()>;
/// The resource `future-get-or-set-result`.
pub type FutureEntry = Pending<Entry>;

/// What `get-or-set` found.
pub enum Entry {
    /// A value.
    Occupied(IncomingValue),
    /// The right to make it, and the most bytes that it may have.
    Vacant(cache::Vacancy, usize),
}

/// The resource `vacancy`.
pub struct Vacancy {
    /// Empty once the value that fills it was handed out.
    vacancy: Option<cache::Vacancy>,
    /// The most bytes that the value may have.
    most: usize,
}

/// Caches, as components see them.
#[derive(Debug)]
pub struct Caches;

/// The caches that a component may use.
#[derive(Clone, Default)]
pub struct Granted {
    caches: Arc<Bound<dyn Cache>>,
    unlabelled: Option<String>,
    tasks: Tasks,
}

impl Granted {
    /// A component that imports the interface under labels uses those of `caches` that they stand
    /// for, and under its own name, as that is all the interface has, the one called `unlabelled`.
    ///
    /// What is begun for the component runs among `tasks`. None of them takes longer than the call
    /// of the guest that began it may.
    pub fn new(caches: Bound<dyn Cache>, unlabelled: Option<String>, tasks: Tasks) -> Self {
        Self { caches: Arc::new(caches), unlabelled, tasks }
    }

    /// The name of a cache, and the cache.
    fn open<'a>(&'a self, label: Option<&'a Name>) -> Outcome<(&'a str, &'a Arc<dyn Cache>)> {
        let name = match label {
            Some(label) => Some(labels::meant(&self.caches, label)),
            None => self.unlabelled.as_deref(),
        };
        let none = || Error::denied("this component is granted no cache");
        let name = name.ok_or_else(none)?;
        Ok((name, self.caches.open(name)?))
    }
}

/// What each instance keeps for its cache.
pub struct State {
    granted: Granted,
    held: Held,
}

impl State {
    /// The state of an instance that may use what was granted.
    ///
    /// `memory` is the most bytes that the host keeps for values on their way to the instance, and
    /// for operations that run.
    pub fn new(granted: Granted, memory: usize) -> Self {
        Self { granted, held: Held::new(memory) }
    }
}

impl Capability for Caches {
    const NAME: &'static str = "cache";
    const SERVED: &'static [&'static str] = &["wasi:keyvalue/cache@0.2.0-draft"];
    const LABELLED: &'static [&'static str] = Self::SERVED;
    type Prepared = Granted;
    type State = State;

    fn link(linker: &mut Linker<Ctx>, imports: &Imports) -> wasmtime::Result<()> {
        link(linker, Ctx::view::<Self>, Wanted::By(imports))
    }

    fn find(prepared: &Granted, label: &Name) -> Outcome<()> {
        labels::find(&prepared.caches, label, Self::NAME)
    }

    fn state(prepared: &Arc<Granted>, guest: &Guest) -> State {
        State::new((**prepared).clone(), guest.limits().hostcall_buffer)
    }
}

/// Adds the interface to the linker of a host of your own.
///
/// Its values are those of `wasi:keyvalue/types`, which [`old::add_to_linker`] links.
///
/// [`old::add_to_linker`]: super::old::add_to_linker
///
/// # Errors
/// If the linker has the interface already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Caches>,
) -> wasmtime::Result<()> {
    link(linker, view, Wanted::All)
}

fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Caches>,
    wanted: Wanted<'_>,
) -> wasmtime::Result<()> {
    wanted.add_opening(
        linker,
        "wasi:keyvalue/cache@0.2.0-draft",
        |instance| wit::add_to_linker_instance::<_, Has<Caches>>(instance, view),
        |instance, label| operations::define(instance, label, view),
    )
}

type Host<'a> = View<'a, Caches>;

/// The result of an operation, once it is there.
type Taken<T> = wasmtime::Result<Option<std::result::Result<T, Resource<super::Trace>>>>;

fn take<T: Send + 'static, R>(
    host: &mut Host<'_>,
    pending: &Resource<Pending<T>>,
    found: impl FnOnce(&mut Host<'_>, T) -> Result<R>,
) -> Taken<R> {
    let Some(outcome) = host.table.get_mut(pending)?.take() else { return Ok(None) };
    let outcome = outcome.map_err(Failure::from).and_then(|value| found(host, value));
    answer(host, outcome).map(Some)
}

impl wit::Host for Host<'_> {
    fn get(&mut self, key: String) -> wasmtime::Result<Resource<FutureGet>> {
        operations::get(self, None, (key,))
    }

    fn exists(&mut self, key: String) -> wasmtime::Result<Resource<FutureExists>> {
        operations::exists(self, None, (key,))
    }

    fn set(
        &mut self,
        key: String,
        value: Resource<OutgoingValue>,
        ttl: Option<u32>,
    ) -> wasmtime::Result<Resource<FutureDone>> {
        operations::set(self, None, (key, value, ttl))
    }

    fn get_or_set(&mut self, key: String) -> wasmtime::Result<Resource<FutureEntry>> {
        operations::get_or_set(self, None, (key,))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<Resource<FutureDone>> {
        operations::delete(self, None, (key,))
    }
}

impl wit::HostFutureGetResult for Host<'_> {
    fn future_get_result_get(
        &mut self,
        pending: Resource<FutureGet>,
    ) -> Taken<Option<Resource<IncomingValue>>> {
        take(self, &pending, |host, found| {
            Ok(found.map(|value| host.table.push(value)).transpose()?)
        })
    }

    fn listen_to_future_get_result(
        &mut self,
        pending: Resource<FutureGet>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, pending)
    }

    fn drop(&mut self, pending: Resource<FutureGet>) -> wasmtime::Result<()> {
        self.table.delete(pending)?;
        Ok(())
    }
}

impl wit::HostFutureExistsResult for Host<'_> {
    fn future_exists_result_get(&mut self, pending: Resource<FutureExists>) -> Taken<bool> {
        take(self, &pending, |_, exists| Ok(exists))
    }

    fn listen_to_future_exists_result(
        &mut self,
        pending: Resource<FutureExists>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, pending)
    }

    fn drop(&mut self, pending: Resource<FutureExists>) -> wasmtime::Result<()> {
        self.table.delete(pending)?;
        Ok(())
    }
}

impl wit::HostFutureResult for Host<'_> {
    fn future_result_get(&mut self, pending: Resource<FutureDone>) -> Taken<()> {
        take(self, &pending, |_, ()| Ok(()))
    }

    fn listen_to_future_result(
        &mut self,
        pending: Resource<FutureDone>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, pending)
    }

    fn drop(&mut self, pending: Resource<FutureDone>) -> wasmtime::Result<()> {
        self.table.delete(pending)?;
        Ok(())
    }
}

impl wit::HostFutureGetOrSetResult for Host<'_> {
    fn future_get_or_set_result_get(
        &mut self,
        pending: Resource<FutureEntry>,
    ) -> Taken<GetOrSetEntry> {
        take(self, &pending, |host, entry| {
            Ok(match entry {
                Entry::Occupied(value) => GetOrSetEntry::Occupied(host.table.push(value)?),
                Entry::Vacant(vacancy, most) => {
                    let vacancy = Vacancy { vacancy: Some(vacancy), most };
                    GetOrSetEntry::Vacant(host.table.push(vacancy)?)
                }
            })
        })
    }

    fn listen_to_future_get_or_set_result(
        &mut self,
        pending: Resource<FutureEntry>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, pending)
    }

    fn drop(&mut self, pending: Resource<FutureEntry>) -> wasmtime::Result<()> {
        self.table.delete(pending)?;
        Ok(())
    }
}

impl wit::HostVacancy for Host<'_> {
    fn vacancy_fill(
        &mut self,
        vacancy: Resource<Vacancy>,
        ttl: Option<u32>,
    ) -> wasmtime::Result<Resource<OutgoingValue>> {
        let Vacancy { vacancy, most } = self.table.get_mut(&vacancy)?;
        let (vacancy, most) = (vacancy.take(), *most);
        let (calls, ttl) = (self.calls().clone(), operations::time_to_live(ttl));
        let fill = move |body: Bytes| async move {
            let Some(vacancy) = vacancy else {
                return Err(Error::invalid("the vacancy was filled before"));
            };
            calls.run(Caches::NAME, "fill", vacancy.fill(body, ttl)).await
        };
        Ok(self.table.push(OutgoingValue::filling(Filling::new(most, fill)))?)
    }

    fn drop(&mut self, vacancy: Resource<Vacancy>) -> wasmtime::Result<()> {
        self.table.delete(vacancy)?;
        Ok(())
    }
}
