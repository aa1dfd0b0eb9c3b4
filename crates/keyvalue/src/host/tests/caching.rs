//! `wasi:keyvalue/cache@0.2.0-draft`: results that come later, and vacancies.

use super::{kind, lend};
use crate::host::cache::bindings::wasi::keyvalue::cache::{
    GetOrSetEntry, Host as _, HostFutureExistsResult as _, HostFutureGetOrSetResult as _,
    HostFutureGetResult as _, HostFutureResult as _, HostVacancy as _,
};
use crate::host::cache::{Caches, FutureEntry, Granted, State, Vacancy};
use crate::host::old::bindings::wasi::keyvalue::types::{
    HostIncomingValue as _, HostOutgoingValue as _,
};
use crate::host::old::bindings::wasi::keyvalue::wasi_keyvalue_error::HostError as _;
use crate::host::{IncomingValue, KeyValue, OutgoingValue, Trace};
use base::{Bound, Kind, Place};
use bytes::Bytes;
use cache::Cache;
use engine::{Calls, Deadline, Request, Tasks, View};
use futures::FutureExt as _;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi_io::poll::Pollable as _;
use wasmtime_wasi_io::streams::DynOutputStream;

/// What one instance of a guest has of both capabilities.
struct Instance {
    cache: Arc<dyn Cache>,
    caches: State,
    stores: crate::host::State,
    table: ResourceTable,
    request: Request,
    calls: Calls,
}

async fn memory() -> Arc<dyn Cache> {
    let place = Place {
        base: "unused".into(),
        data: "unused".into(),
        app: "test".to_owned(),
        capability: "cache",
        binding: "default".to_owned(),
    };
    base::backend::open(cache::BACKENDS, "memory:", place).await.unwrap()
}

impl Instance {
    fn of(cache: &Arc<dyn Cache>, memory: usize) -> Self {
        let caches = Bound::new([("pages".to_owned(), Arc::clone(cache))], []);
        let granted = Granted::new(caches, Some("pages".to_owned()), Tasks::new());
        Self {
            cache: Arc::clone(cache),
            caches: State::new(granted, memory),
            stores: crate::host::State::new(Arc::new(Bound::default()), memory),
            table: ResourceTable::new(),
            request: Request::default(),
            calls: Calls::new("test", Duration::from_secs(10), 2),
        }
    }

    async fn new() -> Self {
        Self::of(&memory().await, 1 << 20)
    }

    fn caching(&mut self) -> View<'_, Caches> {
        View::new(&mut self.caches, &mut self.table, &self.request, &self.calls)
    }

    fn values(&mut self) -> View<'_, KeyValue> {
        View::new(&mut self.stores, &mut self.table, &self.request, &self.calls)
    }

    async fn outgoing(&mut self, body: &[u8]) -> Resource<OutgoingValue> {
        let value = self.values().new_outgoing_value().unwrap();
        self.write(&value, body).await.unwrap();
        value
    }

    async fn write(
        &mut self,
        value: &Resource<OutgoingValue>,
        body: &[u8],
    ) -> Result<(), Resource<Trace>> {
        self.values().outgoing_value_write_body_sync(lend(value), body.to_vec()).await.unwrap()
    }

    fn stream(&mut self, value: &Resource<OutgoingValue>) -> Resource<DynOutputStream> {
        self.values().outgoing_value_write_body_async(lend(value)).unwrap().unwrap()
    }

    async fn set(&mut self, key: &str, body: &[u8]) {
        let value = self.outgoing(body).await;
        let done = self.caching().set(key.to_owned(), lend(&value), None).unwrap();
        self.table.get_mut(&done).unwrap().ready().await;
        self.caching().future_result_get(lend(&done)).unwrap().unwrap().unwrap();
        self.table.delete(done).unwrap();
        self.table.delete(value).unwrap();
    }

    fn get_or_set(&mut self, key: &str) -> Resource<FutureEntry> {
        self.caching().get_or_set(key.to_owned()).unwrap()
    }

    fn entry(&mut self, future: &Resource<FutureEntry>) -> Option<GetOrSetEntry> {
        let taken = self.caching().future_get_or_set_result_get(lend(future)).unwrap();
        taken.map(Result::unwrap)
    }

    async fn ready(&mut self, future: &Resource<FutureEntry>) -> GetOrSetEntry {
        let ready = self.table.get_mut(future).unwrap();
        tokio::time::timeout(Duration::from_secs(10), ready.ready()).await.unwrap();
        self.entry(future).unwrap()
    }

    async fn vacancy(&mut self, key: &str) -> Resource<Vacancy> {
        let future = self.get_or_set(key);
        match self.ready(&future).await {
            GetOrSetEntry::Vacant(vacancy) => vacancy,
            GetOrSetEntry::Occupied(_) => panic!("nobody stored that"),
        }
    }

    fn fill(&mut self, vacancy: &Resource<Vacancy>) -> Resource<OutgoingValue> {
        self.caching().vacancy_fill(lend(vacancy), None).unwrap()
    }

    fn body(&mut self, value: Resource<IncomingValue>) -> Vec<u8> {
        self.values().incoming_value_consume_sync(value).unwrap().unwrap()
    }

    fn words(&mut self, error: Resource<Trace>) -> String {
        self.values().trace(error).unwrap()
    }

    async fn cached(&mut self, key: &str) -> Option<Bytes> {
        self.cache.get(key).await.unwrap()
    }
}

#[tokio::test]
async fn what_is_asked_for_comes_and_is_given_once() {
    let mut instance = Instance::new().await;
    instance.set("k", b"value").await;
    let future = instance.caching().get("k".to_owned()).unwrap();
    instance.table.get_mut(&future).unwrap().ready().await;
    let found = instance.caching().future_get_result_get(lend(&future)).unwrap().unwrap();
    let value = found.unwrap().unwrap();
    assert_eq!(instance.body(value), b"value");
    let again = instance.caching().future_get_result_get(lend(&future)).unwrap().unwrap();
    let error = again.map(|_| ()).unwrap_err();
    assert_eq!(instance.words(error), "the result was taken before");
    // And is ready for whoever listens.
    instance.table.get_mut(&future).unwrap().ready().await;

    let exists = instance.caching().exists("k".to_owned()).unwrap();
    instance.table.get_mut(&exists).unwrap().ready().await;
    assert!(instance.caching().future_exists_result_get(exists).unwrap().unwrap().unwrap());
    let gone = instance.caching().delete("k".to_owned()).unwrap();
    instance.table.get_mut(&gone).unwrap().ready().await;
    instance.caching().future_result_get(gone).unwrap().unwrap().unwrap();
    assert_eq!(instance.cached("k").await, None);
}

#[tokio::test]
async fn whoever_waits_is_told_when_the_value_is_there() {
    let mut instance = Instance::new().await;
    let vacancy = instance.vacancy("k").await;
    // More than there are calls at once: whoever waits is none.
    let waiting: Vec<_> = (0..5).map(|_| instance.get_or_set("k")).collect();
    for future in &waiting {
        assert!(instance.entry(future).is_none(), "it is not there yet");
        assert!(instance.table.get_mut(future).unwrap().ready().now_or_never().is_none());
    }
    let value = instance.fill(&vacancy);
    instance.write(&value, b"made").await.unwrap();
    for future in &waiting {
        let GetOrSetEntry::Occupied(value) = instance.ready(future).await else { panic!() };
        assert_eq!(instance.body(value), b"made");
    }
    assert_eq!(instance.cached("k").await.unwrap(), "made");
    // The vacancy is used up.
    let again = instance.fill(&vacancy);
    let error = instance.write(&again, b"again").await.unwrap_err();
    assert_eq!(instance.words(error), "the vacancy was filled before");
}

#[tokio::test]
async fn what_is_dropped_without_a_body_goes_to_the_next() {
    let mut instance = Instance::new().await;
    let first = instance.vacancy("k").await;
    let (second, third) = (instance.get_or_set("k"), instance.get_or_set("k"));
    let fourth = instance.get_or_set("k");
    instance.table.delete(first).unwrap();
    let GetOrSetEntry::Vacant(second) = instance.ready(&second).await else { panic!() };
    // One that nobody waits for any more is passed over.
    instance.table.delete(third).unwrap();
    let value = instance.fill(&second);
    instance.table.delete(second).unwrap();
    assert!(instance.entry(&fourth).is_none(), "the value may still be written");
    instance.table.delete(value).unwrap();
    let GetOrSetEntry::Vacant(_) = instance.ready(&fourth).await else { panic!() };
}

#[tokio::test]
async fn a_stream_fills_when_it_is_closed_and_not_when_it_is_lost() {
    let cache = memory().await;
    let mut instance = Instance::of(&cache, 1 << 20);
    let vacancy = instance.vacancy("k").await;
    let value = instance.fill(&vacancy);
    let stream = instance.stream(&value);
    instance.table.get_mut(&stream).unwrap().write(Bytes::from("half")).unwrap();
    // The instance ends with all that it has.
    let mut other = Instance::of(&cache, 1 << 20);
    let waiting = other.get_or_set("k");
    drop(instance);
    let GetOrSetEntry::Vacant(vacancy) = other.ready(&waiting).await else { panic!() };
    assert_eq!(other.cached("k").await, None);

    let value = other.fill(&vacancy);
    let stream = other.stream(&value);
    other.table.get_mut(&stream).unwrap().write(Bytes::from("who")).unwrap();
    // The value may go before its stream.
    other.table.delete(value).unwrap();
    other.table.get_mut(&stream).unwrap().write(Bytes::from("le")).unwrap();
    assert_eq!(other.cached("k").await, None);
    // As the standard's own implementation drops a stream for the guest.
    other.table.delete(stream).unwrap().cancel().await;
    assert_eq!(other.cached("k").await.unwrap(), "whole");
}

#[tokio::test]
async fn a_stream_that_takes_too_much_fills_nothing() {
    let cache = memory().await;
    let mut instance = Instance::of(&cache, 64 << 20);
    let most = cache.offer().levels.max_value;
    let vacancy = instance.vacancy("k").await;
    let waiting = instance.get_or_set("k");
    let value = instance.fill(&vacancy);
    let stream = instance.stream(&value);
    let writer = instance.table.get_mut(&stream).unwrap();
    writer.write(Bytes::from(vec![7; most])).unwrap();
    assert!(writer.write(Bytes::from("x")).is_err());
    let GetOrSetEntry::Vacant(_) = instance.ready(&waiting).await else { panic!() };
    instance.table.delete(stream).unwrap().cancel().await;
    assert_eq!(instance.cached("k").await, None);
}

#[tokio::test]
async fn what_is_held_for_an_instance_is_bounded() {
    let cache = memory().await;
    cache.set("k", Bytes::from(vec![7; 6000]), None).await.unwrap();
    let mut instance = Instance::of(&cache, 10_000);
    let (one, two) = (instance.get_or_set("k"), instance.get_or_set("k"));
    let GetOrSetEntry::Occupied(_) = instance.ready(&one).await else { panic!() };
    let taken = instance.caching().future_get_or_set_result_get(two).unwrap().unwrap();
    let error = taken.map(|_| ()).unwrap_err();
    assert!(instance.words(error).contains("drop handles"));
    // Operations that run are held, too.
    let mut instance = Instance::of(&cache, 10_000);
    let _vacancy = instance.vacancy("other").await;
    let futures: Vec<_> = (0..10).map(|_| instance.get_or_set("other")).collect();
    let refused = futures.iter().filter(|future| {
        let taken = instance.caching().future_get_or_set_result_get(lend(future)).unwrap();
        taken.is_some_and(|taken| taken.is_err())
    });
    assert!((5..10).contains(&refused.count()));
}

#[tokio::test]
async fn nothing_goes_on_after_the_deadline() {
    let mut instance = Instance::new().await;
    let _vacancy = instance.vacancy("k").await;
    instance.request.deadline = Some(Deadline::after(Duration::from_millis(100)));
    let waiting = instance.get_or_set("k");
    let pending = instance.table.get_mut(&waiting).unwrap();
    tokio::time::timeout(Duration::from_secs(10), pending.ready()).await.unwrap();
    let outcome = instance.table.get_mut(&waiting).unwrap().take().unwrap();
    assert_eq!(kind(outcome.map_err(engine::Failure::from)), Kind::Timeout);
}

#[tokio::test]
async fn a_component_without_a_cache_is_told() {
    let mut instance = Instance::new().await;
    instance.caches = State::new(Granted::default(), 1 << 20);
    let future = instance.caching().get("k".to_owned()).unwrap();
    let taken = instance.caching().future_get_result_get(future).unwrap().unwrap();
    let error = taken.map(|_| ()).unwrap_err();
    assert_eq!(instance.words(error), "this component is granted no cache");
}
