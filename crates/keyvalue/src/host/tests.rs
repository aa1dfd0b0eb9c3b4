//! Each draft, asked as a guest would ask it.

mod caching;
mod draft;
mod draft2;
mod old;
mod wasmcloud;

use super::{KeyValue, State};
use crate::backend::memory::Memory;
use crate::{Clock, Store, WriteOptions};
use base::units::Size;
use base::{Bound, Kind};
use engine::{Calls, Failure, Request, View};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Resource, ResourceTable};

/// What one instance of a guest has, and the store that it knows as `default`.
struct Instance {
    store: Arc<dyn Store>,
    clock: Clock,
    state: State,
    table: ResourceTable,
    request: Request,
    calls: Calls,
}

impl Instance {
    /// An instance that may open `default` and `sessions`, beside one that may open `orders`.
    fn new() -> Self {
        Self::with_memory(32 << 20)
    }

    fn with_memory(memory: usize) -> Self {
        let clock = Clock::manual();
        let settings = Memory { url: "memory:".to_owned(), max_size: Size(64 << 20) };
        let store: Arc<dyn Store> = Arc::new(settings.store(clock.clone()));
        let sessions: Arc<dyn Store> = Arc::new(settings.store(clock.clone()));
        let granted =
            [("default".to_owned(), Arc::clone(&store)), ("sessions".to_owned(), sessions)];
        let bound = Bound::new(granted, ["orders".to_owned()]);
        Self {
            store,
            clock,
            state: State::new(Arc::new(bound), memory),
            table: ResourceTable::new(),
            request: Request::default(),
            calls: Calls::new("test", Duration::from_secs(10), 16),
        }
    }

    fn host(&mut self) -> View<'_, KeyValue> {
        View::new(&mut self.state, &mut self.table, &self.request, &self.calls)
    }
}

/// What the store has, past all drafts.
async fn in_store(store: &Arc<dyn Store>, key: &str) -> Option<Vec<u8>> {
    store.get(key).await.unwrap().map(Vec::from)
}

async fn put(store: &Arc<dyn Store>, key: &str, value: &str) {
    let value = bytes::Bytes::copy_from_slice(value.as_bytes());
    store.set(key, value, &WriteOptions::default()).await.unwrap();
}

/// A handle as a guest lends it.
fn lend<T: 'static>(handle: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(handle.rep())
}

fn kind<T>(outcome: Result<T, Failure>) -> Kind {
    match outcome {
        Ok(_) => panic!("it should have failed"),
        Err(Failure::Error(error)) => error.kind(),
        Err(Failure::Trap(trap)) => panic!("it should not have ended the instance: {trap:?}"),
    }
}
