//! `wasi:keyvalue/cache@0.2.0-draft`, the interface of the older text: every operation begins at
//! once and hands out what will become of it.
//!
//! It stands here and not with its contract because it is one of this package: its values and its
//! errors are those of `types`, and a component imports these once.

use super::held::Held;
use super::old::answer;
use super::operations::Result;
use super::pending::{Pending, Unwatched};
use super::values::Filling;
use super::{IncomingValue, OutgoingValue};
use base::{Error, Result as Outcome};
use bindings::wasi::keyvalue::cache::{self as wit, GetOrSetEntry};
use bytes::Bytes;
use cache::{Cache, Look};
use engine::{Calls, Capability, Ctx, Failure, Guest, Has, Imports, Tasks, View};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_io::poll::{DynPollable, subscribe};

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

/// What an operation costs the host besides its key while it runs.
const OPERATION: usize = 2048;

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
    /// The right to make it.
    Vacant(cache::Vacancy),
}

/// The resource `vacancy`. Empty once the value that fills it was handed out.
pub struct Vacancy(Option<cache::Vacancy>);

/// Caches, as components see them.
#[derive(Debug)]
pub struct Caches;

/// The cache that a component may use, if any: the interface has no names.
#[derive(Clone, Default)]
pub struct Granted {
    cache: Option<Arc<dyn Cache>>,
    tasks: Tasks,
}

impl Granted {
    /// What is begun for the component runs among `tasks`. None of them takes longer than the call
    /// of the guest that began it may.
    pub fn new(cache: Option<Arc<dyn Cache>>, tasks: Tasks) -> Self {
        Self { cache, tasks }
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
    type Prepared = Granted;
    type State = State;

    fn link(linker: &mut Linker<Ctx>, imports: &Imports) -> wasmtime::Result<()> {
        match imports.wants("wasi:keyvalue/cache@0.2.0-draft") {
            true => add_to_linker(linker, Ctx::view::<Self>),
            false => Ok(()),
        }
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
    wit::add_to_linker::<_, Has<Caches>>(linker, view)
}

type Host<'a> = View<'a, Caches>;

/// The result of an operation, once it is there.
type Taken<T> = wasmtime::Result<Option<std::result::Result<T, Resource<super::Trace>>>>;

/// One operation that was begun: its cache, and the calls it goes through.
struct Operation {
    cache: Arc<dyn Cache>,
    calls: Calls,
    held: Held,
    key: String,
}

impl Operation {
    async fn run<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Outcome<T>>,
    ) -> Outcome<T> {
        self.calls.run(Caches::NAME, name, call).await
    }

    fn incoming(&self, value: Bytes) -> Outcome<IncomingValue> {
        IncomingValue::new(value, &self.held)
    }

    async fn get(self) -> Outcome<Option<IncomingValue>> {
        let found = self.run("get", self.cache.get(&self.key)).await?;
        found.map(|value| self.incoming(value)).transpose()
    }

    async fn get_or_set(self) -> Outcome<Entry> {
        loop {
            let waiting = match self.run("get-or-set", self.cache.look(&self.key)).await? {
                Look::Occupied(value) => return Ok(Entry::Occupied(self.incoming(value)?)),
                Look::Vacant(vacancy) => return Ok(Entry::Vacant(vacancy)),
                Look::Busy(waiting) => waiting,
            };
            // Whoever waits is no call: it would take the place of the one that it waits for.
            match waiting.end().await {
                Some(cache::Entry::Occupied(value)) => {
                    return Ok(Entry::Occupied(self.incoming(value)?));
                }
                Some(cache::Entry::Vacant(vacancy)) => return Ok(Entry::Vacant(vacancy)),
                None => {}
            }
        }
    }
}

/// Begins an operation. It has ended when the call of the guest has to.
fn begin<T: Send + 'static, F: Future<Output = Outcome<T>> + Send + 'static>(
    host: &mut Host<'_>,
    key: String,
    unwatched: Unwatched,
    operation: impl FnOnce(Operation) -> F,
) -> wasmtime::Result<Resource<Pending<T>>> {
    let State { granted, held } = &*host.state;
    let prepared = match &granted.cache {
        None => Err(Error::denied("this component is granted no cache")),
        Some(cache) => held.take(key.len() + OPERATION).map(|charge| (Arc::clone(cache), charge)),
    };
    let pending = match prepared {
        Err(error) => Pending::done(Err(error)),
        Ok((cache, charge)) => {
            let (calls, held) = (host.calls().clone(), held.clone());
            let deadline = host.request.deadline.clone();
            let operation = operation(Operation { cache, calls, held, key });
            Pending::begin(&granted.tasks, unwatched, async move {
                let _charge = charge;
                let Some(deadline) = deadline else { return operation.await };
                tokio::select! {
                    biased;
                    outcome = operation => outcome,
                    () = deadline.passed() => Err(Error::timeout("the call's time is over")),
                }
            })
        }
    };
    Ok(host.table.push(pending)?)
}

fn take<T: Send + 'static, R>(
    host: &mut Host<'_>,
    pending: &Resource<Pending<T>>,
    found: impl FnOnce(&mut Host<'_>, T) -> Result<R>,
) -> Taken<R> {
    let Some(outcome) = host.table.get_mut(pending)?.take() else { return Ok(None) };
    let outcome = outcome.map_err(Failure::from).and_then(|value| found(host, value));
    answer(host, outcome).map(Some)
}

fn time_to_live(milliseconds: Option<u32>) -> Option<Duration> {
    milliseconds.map(|milliseconds| Duration::from_millis(milliseconds.into()))
}

impl wit::Host for Host<'_> {
    fn get(&mut self, key: String) -> wasmtime::Result<Resource<FutureGet>> {
        begin(self, key, Unwatched::Ends, Operation::get)
    }

    fn exists(&mut self, key: String) -> wasmtime::Result<Resource<FutureExists>> {
        begin(self, key, Unwatched::Ends, |of| async move {
            of.run("exists", of.cache.exists(&of.key)).await
        })
    }

    fn set(
        &mut self,
        key: String,
        value: Resource<OutgoingValue>,
        ttl: Option<u32>,
    ) -> wasmtime::Result<Resource<FutureDone>> {
        let (body, charge) = match self.table.get(&value)?.kept() {
            Ok(kept) => kept,
            Err(error) => return Ok(self.table.push(Pending::done(Err(error)))?),
        };
        begin(self, key, Unwatched::GoesOn, move |of| async move {
            // The guest may drop its value long before this is done with it.
            let _charge = charge;
            of.run("set", of.cache.set(&of.key, body, time_to_live(ttl))).await
        })
    }

    fn get_or_set(&mut self, key: String) -> wasmtime::Result<Resource<FutureEntry>> {
        begin(self, key, Unwatched::Ends, Operation::get_or_set)
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<Resource<FutureDone>> {
        begin(self, key, Unwatched::GoesOn, |of| async move {
            of.run("delete", of.cache.delete(&of.key)).await
        })
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
                Entry::Vacant(vacancy) => {
                    GetOrSetEntry::Vacant(host.table.push(Vacancy(Some(vacancy)))?)
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
        let vacancy = self.table.get_mut(&vacancy)?.0.take();
        let (calls, ttl) = (self.calls().clone(), time_to_live(ttl));
        let most = self.state.granted.cache.as_ref().map_or(0, |cache| cache.offer().max_value);
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
