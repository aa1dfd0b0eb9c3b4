//! What a component does with its caches: with the one that a label stands for, or with the one
//! that it has without.

use super::{Caches, Entry, FutureDone, FutureEntry, FutureExists, FutureGet, Host, State};
use crate::host::pending::{Pending, Unwatched};
use crate::host::{IncomingValue, OutgoingValue};
use base::{Error, Result as Outcome};
use bytes::Bytes;
use cache::{Cache, Look};
use engine::Held;
use engine::{Calls, Capability as _, Name, View};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    ComponentNamedList, ComponentType, Lift, LinkerInstance, Lower, Resource,
};

/// What an operation costs the host besides its key while it runs.
const OPERATION: usize = 2048;

/// Defines the functions that begin operations, under a label.
pub(super) fn define<T: Send + 'static>(
    instance: &mut LinkerInstance<'_, T>,
    label: &Name,
    view: fn(&mut T) -> View<'_, Caches>,
) -> wasmtime::Result<()> {
    wrap(instance, "get", label, view, get)?;
    wrap(instance, "exists", label, view, exists)?;
    wrap(instance, "set", label, view, set)?;
    wrap(instance, "get-or-set", label, view, get_or_set)?;
    wrap(instance, "delete", label, view, delete)
}

/// A function of the interface: whose it is, through which label, with what.
type Function<P, R> = fn(&mut Host<'_>, Option<&Name>, P) -> wasmtime::Result<R>;

fn wrap<T, P, R>(
    instance: &mut LinkerInstance<'_, T>,
    name: &str,
    label: &Name,
    view: fn(&mut T) -> View<'_, Caches>,
    function: Function<P, R>,
) -> wasmtime::Result<()>
where
    T: Send + 'static,
    P: ComponentNamedList + Lift + 'static,
    R: ComponentType + Lower + Send + Sync + 'static,
{
    let label = label.clone();
    instance.func_wrap(name, move |mut caller: StoreContextMut<'_, T>, with: P| {
        Ok((function(&mut view(caller.data_mut()), Some(&label), with)?,))
    })
}

/// One operation that was begun: its cache, and the calls it goes through.
struct Operation {
    cache: Arc<dyn Cache>,
    name: Arc<str>,
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
        let outcome = self.calls.run(Caches::NAME, name, call).await;
        outcome.map_err(|error| error.of_binding(&self.name))
    }

    fn incoming(&self, value: Bytes) -> Outcome<IncomingValue> {
        IncomingValue::new(value, &self.held)
    }

    fn vacant(&self, vacancy: cache::Vacancy) -> Entry {
        Entry::Vacant(vacancy, self.cache.offer().levels.max_value)
    }

    async fn get(self) -> Outcome<Option<IncomingValue>> {
        let found = self.run("get", self.cache.get(&self.key)).await?;
        found.map(|value| self.incoming(value)).transpose()
    }

    async fn get_or_set(self) -> Outcome<Entry> {
        loop {
            let waiting = match self.run("get-or-set", self.cache.look(&self.key)).await? {
                Look::Occupied(value) => return Ok(Entry::Occupied(self.incoming(value)?)),
                Look::Vacant(vacancy) => return Ok(self.vacant(vacancy)),
                Look::Busy(waiting) => waiting,
            };
            // Whoever waits is no call: it would take the place of the one that it waits for.
            match waiting.end().await {
                Some(cache::Entry::Occupied(value)) => {
                    return Ok(Entry::Occupied(self.incoming(value)?));
                }
                Some(cache::Entry::Vacant(vacancy)) => return Ok(self.vacant(vacancy)),
                None => {}
            }
        }
    }
}

/// Begins an operation. It has ended when the call of the guest has to.
fn begin<T: Send + 'static, F: Future<Output = Outcome<T>> + Send + 'static>(
    host: &mut Host<'_>,
    label: Option<&Name>,
    key: String,
    unwatched: Unwatched,
    operation: impl FnOnce(Operation) -> F,
) -> wasmtime::Result<Resource<Pending<T>>> {
    let State { granted, held } = &*host.state;
    let charge = |cache| held.take(key.len() + OPERATION).map(|charge| (cache, charge));
    let pending = match granted.open(label).and_then(charge) {
        Err(error) => Pending::done(Err(error)),
        Ok(((name, cache), charge)) => {
            let (name, cache) = (name.into(), Arc::clone(cache));
            let (calls, held) = (host.calls().clone(), held.clone());
            let deadline = host.request.deadline.clone();
            let operation = operation(Operation { cache, name, calls, held, key });
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

pub(super) fn get(
    host: &mut Host<'_>,
    label: Option<&Name>,
    (key,): (String,),
) -> wasmtime::Result<Resource<FutureGet>> {
    begin(host, label, key, Unwatched::Ends, Operation::get)
}

pub(super) fn exists(
    host: &mut Host<'_>,
    label: Option<&Name>,
    (key,): (String,),
) -> wasmtime::Result<Resource<FutureExists>> {
    begin(host, label, key, Unwatched::Ends, |of| async move {
        of.run("exists", of.cache.exists(&of.key)).await
    })
}

pub(super) fn set(
    host: &mut Host<'_>,
    label: Option<&Name>,
    (key, value, ttl): (String, Resource<OutgoingValue>, Option<u32>),
) -> wasmtime::Result<Resource<FutureDone>> {
    let (body, charge) = match host.table.get(&value)?.kept() {
        Ok(kept) => kept,
        Err(error) => return Ok(host.table.push(Pending::done(Err(error)))?),
    };
    begin(host, label, key, Unwatched::GoesOn, move |of| async move {
        // The guest may drop its value long before this is done with it.
        let _charge = charge;
        of.run("set", of.cache.set(&of.key, body, time_to_live(ttl))).await
    })
}

pub(super) fn get_or_set(
    host: &mut Host<'_>,
    label: Option<&Name>,
    (key,): (String,),
) -> wasmtime::Result<Resource<FutureEntry>> {
    begin(host, label, key, Unwatched::Ends, Operation::get_or_set)
}

pub(super) fn delete(
    host: &mut Host<'_>,
    label: Option<&Name>,
    (key,): (String,),
) -> wasmtime::Result<Resource<FutureDone>> {
    begin(host, label, key, Unwatched::GoesOn, |of| async move {
        of.run("delete", of.cache.delete(&of.key)).await
    })
}

pub(super) fn time_to_live(milliseconds: Option<u32>) -> Option<Duration> {
    milliseconds.map(|milliseconds| Duration::from_millis(milliseconds.into()))
}
