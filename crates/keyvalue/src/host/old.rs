//! `wasi:keyvalue@0.2.0-draft` before its interfaces were renamed: `eventual`, `eventual-batch`
//! and `atomic`, with values and errors as resources.

use super::labels;
use super::operations::{self, Client, Result};
use super::{Bucket, IncomingValue, KeyValue, OutgoingValue, Trace};
use crate::Offer;
use bindings::wasi::keyvalue::{
    atomic, eventual, eventual_batch, types, wasi_keyvalue_error as error,
};
use bytes::Bytes;
use engine::{Capability, Failure, Has, View, Wanted};
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

pub(crate) mod bindings {
    //! Generated from the interface.
    wasmtime::component::bindgen!({
        path: "wit/draft-old",
        world: "wasi:keyvalue/keyvalue-handle-watch",
        imports: {
            // It fills a vacancy of a cache, where the value comes from one.
            "wasi:keyvalue/types.[method]outgoing-value.outgoing-value-write-body-sync":
                async | trappable,
            "wasi:keyvalue/types": trappable,
            "wasi:keyvalue/wasi-keyvalue-error": trappable,
            default: async | trappable,
        },
        exports: { default: async },
        with: {
            "wasi:io": wasmtime_wasi_io::bindings::wasi::io,
            "wasi:keyvalue/types.bucket": crate::host::Bucket,
            "wasi:keyvalue/types.incoming-value": crate::host::IncomingValue,
            "wasi:keyvalue/types.outgoing-value": crate::host::OutgoingValue,
            "wasi:keyvalue/wasi-keyvalue-error.error": crate::host::Trace,
        },
    });
}

/// The interface that opens buckets, besides that it has values.
pub(super) const TYPES: &str = "wasi:keyvalue/types@0.2.0-draft";

/// What the generated functions return: the draft's errors are resources, made here by hand.
pub(super) type Answer<T> = wasmtime::Result<std::result::Result<T, Resource<Trace>>>;

/// Adds the draft to the linker of a host of your own.
///
/// # Errors
/// If the linker has one of the interfaces already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, KeyValue>,
) -> wasmtime::Result<()> {
    link(linker, view, Wanted::All)
}

pub(super) fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, KeyValue>,
    wanted: Wanted<'_>,
) -> wasmtime::Result<()> {
    wanted.add_opening(
        linker,
        TYPES,
        |instance| types::add_to_linker_instance::<_, Has<KeyValue>>(instance, view),
        |instance, label| {
            labels::define_open(instance, "[static]bucket.open-bucket", label, view, trace)
        },
    )?;
    wanted.add(linker, "wasi:keyvalue/wasi-keyvalue-error@0.2.0-draft", |instance| {
        error::add_to_linker_instance::<_, Has<KeyValue>>(instance, view)
    })?;
    wanted.add(linker, "wasi:keyvalue/eventual@0.2.0-draft", |instance| {
        eventual::add_to_linker_instance::<_, Has<KeyValue>>(instance, view)
    })?;
    wanted.add(linker, "wasi:keyvalue/eventual-batch@0.2.0-draft", |instance| {
        eventual_batch::add_to_linker_instance::<_, Has<KeyValue>>(instance, view)
    })?;
    wanted.add(linker, "wasi:keyvalue/atomic@0.2.0-draft", |instance| {
        atomic::add_to_linker_instance::<_, Has<KeyValue>>(instance, view)
    })
}

pub(super) fn answer<C: Capability, T>(
    host: &mut View<'_, C>,
    outcome: std::result::Result<T, impl Into<Failure>>,
) -> Answer<T> {
    match outcome.map_err(Into::into) {
        Ok(value) => Ok(Ok(value)),
        Err(failure) => Ok(Err(trace(host, failure)?)),
    }
}

/// A handle to the words of an error.
fn trace<C: Capability>(
    host: &mut View<'_, C>,
    failure: Failure,
) -> wasmtime::Result<Resource<Trace>> {
    match failure {
        Failure::Error(error) => Ok(host.table.push(Trace(error.words()))?),
        Failure::Trap(trap) => Err(trap),
    }
}

impl error::Host for View<'_, KeyValue> {}

impl error::HostError for View<'_, KeyValue> {
    fn trace(&mut self, error: Resource<Trace>) -> wasmtime::Result<String> {
        Ok(self.table.get(&error)?.0.clone())
    }

    fn drop(&mut self, error: Resource<Trace>) -> wasmtime::Result<()> {
        self.table.delete(error)?;
        Ok(())
    }
}

impl types::Host for View<'_, KeyValue> {}

impl types::HostBucket for View<'_, KeyValue> {
    fn open_bucket(&mut self, name: String) -> Answer<Resource<Bucket>> {
        let bucket = operations::open(self, &name);
        answer(self, bucket)
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        operations::close(self, bucket)
    }
}

impl types::HostOutgoingValue for View<'_, KeyValue> {
    fn new_outgoing_value(&mut self) -> wasmtime::Result<Resource<OutgoingValue>> {
        Ok(self.table.push(OutgoingValue::new())?)
    }

    fn outgoing_value_write_body_async(
        &mut self,
        value: Resource<OutgoingValue>,
    ) -> Answer<Resource<DynOutputStream>> {
        // The value does not know its store yet, so it may be as large as any of them takes.
        let sizes = self.state.stores.iter().map(|(_, store)| store.offer().max_value);
        let most = sizes.max().unwrap_or(Offer::MAX_VALUE);
        let stream = self.table.get(&value)?.stream(most, &self.state.held);
        let stream = match stream {
            Ok(stream) => Ok(self.table.push(Box::new(stream) as DynOutputStream)?),
            Err(error) => Err(Failure::from(error)),
        };
        answer(self, stream)
    }

    async fn outgoing_value_write_body_sync(
        &mut self,
        value: Resource<OutgoingValue>,
        body: Vec<u8>,
    ) -> Answer<()> {
        let written = match self.table.get(&value)?.write(body, &self.state.held) {
            Ok(Some(filled)) => filled.await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        answer(self, written)
    }

    fn drop(&mut self, value: Resource<OutgoingValue>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        Ok(())
    }
}

impl types::HostIncomingValue for View<'_, KeyValue> {
    fn incoming_value_consume_sync(&mut self, value: Resource<IncomingValue>) -> Answer<Vec<u8>> {
        Ok(Ok(self.table.delete(value)?.whole()))
    }

    fn incoming_value_consume_async(
        &mut self,
        value: Resource<IncomingValue>,
    ) -> Answer<Resource<DynInputStream>> {
        let stream = self.table.delete(value)?.stream();
        Ok(Ok(self.table.push(Box::new(stream) as DynInputStream)?))
    }

    fn incoming_value_size(&mut self, value: Resource<IncomingValue>) -> Answer<u64> {
        Ok(Ok(self.table.get(&value)?.size() as u64))
    }

    fn drop(&mut self, value: Resource<IncomingValue>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        Ok(())
    }
}

/// A handle to a value that was read.
fn incoming(host: &mut View<'_, KeyValue>, body: Bytes) -> Result<Resource<IncomingValue>> {
    let value = IncomingValue::new(body, &host.state.held)?;
    Ok(host.table.push(value)?)
}

fn body(host: &View<'_, KeyValue>, value: &Resource<OutgoingValue>) -> Result<Bytes> {
    Ok(host.table.get(value)?.body()?)
}

async fn get(
    host: &mut View<'_, KeyValue>,
    bucket: &Resource<Bucket>,
    key: &str,
) -> Result<Option<Resource<IncomingValue>>> {
    let found = Client::of(host, bucket)?.get(key).await?;
    found.map(|body| incoming(host, body)).transpose()
}

async fn set(
    host: &mut View<'_, KeyValue>,
    bucket: &Resource<Bucket>,
    key: &str,
    value: &Resource<OutgoingValue>,
) -> Result<()> {
    let body = body(host, value)?;
    Ok(Client::of(host, bucket)?.put(key, body).await?)
}

impl eventual::Host for View<'_, KeyValue> {
    async fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Answer<Option<Resource<IncomingValue>>> {
        let value = get(self, &bucket, &key).await;
        answer(self, value)
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Resource<OutgoingValue>,
    ) -> Answer<()> {
        let done = set(self, &bucket, &key, &value).await;
        answer(self, done)
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<()> {
        let done = Client::of(self, &bucket)?.delete(&key).await;
        answer(self, done)
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<bool> {
        let exists = Client::of(self, &bucket)?.exists(&key).await;
        answer(self, exists)
    }
}

async fn get_many(
    host: &mut View<'_, KeyValue>,
    bucket: &Resource<Bucket>,
    keys: &[String],
) -> Result<Vec<Option<Resource<IncomingValue>>>> {
    let found = Client::of(host, bucket)?.get_many(keys).await?;
    let mut values = Vec::with_capacity(found.len());
    for body in found {
        let value = body.map(|body| incoming(host, body)).transpose();
        match value {
            Ok(value) => values.push(value),
            Err(failure) => {
                // The guest gets none of them, so it could not drop them.
                for value in values.into_iter().flatten() {
                    host.table.delete(value)?;
                }
                return Err(failure);
            }
        }
    }
    Ok(values)
}

async fn set_many(
    host: &mut View<'_, KeyValue>,
    bucket: &Resource<Bucket>,
    entries: Vec<(String, Resource<OutgoingValue>)>,
) -> Result<()> {
    let entry = |(key, value)| Ok((key, body(host, &value)?));
    let entries = entries.into_iter().map(entry).collect::<Result<_>>()?;
    Ok(Client::of(host, bucket)?.set_many(entries).await?)
}

impl eventual_batch::Host for View<'_, KeyValue> {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Answer<Vec<Option<Resource<IncomingValue>>>> {
        let values = get_many(self, &bucket, &keys).await;
        answer(self, values)
    }

    async fn keys(&mut self, bucket: Resource<Bucket>) -> Answer<Vec<String>> {
        let keys = Client::of(self, &bucket)?.keys().await;
        answer(self, keys)
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        entries: Vec<(String, Resource<OutgoingValue>)>,
    ) -> Answer<()> {
        let done = set_many(self, &bucket, entries).await;
        answer(self, done)
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Answer<()> {
        let done = Client::of(self, &bucket)?.delete_many(&keys).await;
        answer(self, done)
    }
}

impl atomic::Host for View<'_, KeyValue> {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: u64,
    ) -> Answer<u64> {
        let sum = Client::of(self, &bucket)?.count(&key, delta).await;
        answer(self, sum)
    }

    async fn compare_and_swap(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        old: u64,
        new: u64,
    ) -> Answer<bool> {
        let swapped = Client::of(self, &bucket)?.compare_and_swap(&key, old, new).await;
        answer(self, swapped)
    }
}
