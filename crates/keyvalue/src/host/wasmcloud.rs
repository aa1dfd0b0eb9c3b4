//! `wasmcloud:keyvalue@0.2.0`, for guests of WASI 0.3: calls overlap, errors have more cases,
//! writes have options, and `cas` goes without handles.

use super::cas::{Required, Swap};
use super::labels;
use super::operations::{self, Client, Result};
use super::{Bucket, KeyValue};
use crate::{Cursor, Expect, Versioned, WriteOptions};
use base::Kind;
use bindings::wasmcloud::keyvalue::{atomics, batch, cas, store, types};
use bytes::Bytes;
use engine::Charge;
use engine::{Failure, Has, View, Wanted};
use std::time::Duration;
use wasmtime::component::{Accessor, Linker, Resource};

pub(crate) mod bindings {
    //! Generated from the interface.
    wasmtime::component::bindgen!({
        path: "wit/wasmcloud",
        world: "wasmcloud:keyvalue/watch-service",
        imports: { default: trappable },
        exports: { default: async | store },
        with: { "wasmcloud:keyvalue/types.bucket": crate::host::Bucket },
        trappable_error_type: { "wasmcloud:keyvalue/types.error" => engine::Failure },
    });
}

/// Adds the interfaces to the linker of a host of your own, whose engine has WASI 0.3's
/// concurrency.
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
    wanted.add(linker, "wasmcloud:keyvalue/types@0.2.0", |instance| {
        types::add_to_linker_instance::<_, Has<KeyValue>>(instance, view)
    })?;
    wanted.add_opening(
        linker,
        "wasmcloud:keyvalue/store@0.2.0",
        |instance| store::add_to_linker_instance::<_, Has<KeyValue>>(instance, view),
        |instance, label| {
            let convert =
                |host: &mut View<'_, _>, failure| types::Host::convert_error(host, failure);
            labels::define_async_open(instance, label, view, convert)
        },
    )?;
    wanted.add(linker, "wasmcloud:keyvalue/atomics@0.2.0", |instance| {
        atomics::add_to_linker_instance::<_, Has<KeyValue>>(instance, view)
    })?;
    wanted.add(linker, "wasmcloud:keyvalue/cas@0.2.0", |instance| {
        cas::add_to_linker_instance::<_, Has<KeyValue>>(instance, view)
    })?;
    wanted.add(linker, "wasmcloud:keyvalue/batch@0.2.0", |instance| {
        batch::add_to_linker_instance::<_, Has<KeyValue>>(instance, view)
    })
}

/// How a function reaches the instance that calls it.
pub(super) type Calling<T> = Accessor<T, Has<KeyValue>>;

/// The bucket of a call, and what the call's arguments take of what the host may keep for the
/// instance: unlike in 0.2, any number of calls may wait at once, each with its own.
fn client<T: Send>(
    calling: &Calling<T>,
    bucket: &Resource<Bucket>,
    bytes: usize,
) -> Result<(Client, Charge)> {
    let client = calling.with(|mut instance| Client::of(&instance.get(), bucket))?;
    let charge = client.hold(bytes)?;
    Ok((client, charge))
}

fn length(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

fn lengths(keys: &[String]) -> usize {
    keys.iter().map(String::len).sum()
}

impl types::Host for View<'_, KeyValue> {
    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<types::Error> {
        let error = match failure {
            Failure::Error(error) => error,
            Failure::Trap(trap) => return Err(trap),
        };
        let case = match error.kind() {
            Kind::NotFound => types::Error::NoSuchStore,
            Kind::Denied => types::Error::AccessDenied,
            Kind::Invalid => types::Error::InvalidArgument,
            Kind::Conflict => types::Error::PreconditionFailed,
            Kind::Timeout => types::Error::Timeout,
            Kind::Unavailable => types::Error::StoreUnavailable,
            Kind::Exhausted => types::Error::QuotaExceeded,
            _ => return Ok(types::Error::Other(error.words())),
        };
        // Those cases have no words for the guest.
        let component = self.calls().component();
        tracing::debug!(component, %error, "a call of key-value failed");
        Ok(case)
    }
}

impl types::HostBucket for View<'_, KeyValue> {
    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        operations::close(self, bucket)
    }
}

impl<T: Send> types::HostBucketWithStore<T> for Has<KeyValue> {
    async fn get(
        calling: &Calling<T>,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Result<Option<Vec<u8>>> {
        let (client, _charge) = client(calling, &bucket, key.len())?;
        Ok(client.get(&key).await?.map(Vec::from))
    }

    async fn set(
        calling: &Calling<T>,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
        options: Option<types::SetOptions>,
    ) -> Result<()> {
        let (client, _charge) = client(calling, &bucket, key.len() + value.len())?;
        let options = options.map_or_else(WriteOptions::default, |options| WriteOptions {
            expect: options.if_not_exists.then_some(Expect::Absent),
            ttl: options.ttl_ms.map(Duration::from_millis),
            ..WriteOptions::default()
        });
        if options.asks_for_nothing() {
            return Ok(client.put(&key, Bytes::from(value)).await?);
        }
        let _version = client.set(&key, Bytes::from(value), &options).await?;
        Ok(())
    }

    async fn delete(calling: &Calling<T>, bucket: Resource<Bucket>, key: String) -> Result<()> {
        let (client, _charge) = client(calling, &bucket, key.len())?;
        Ok(client.delete(&key).await?)
    }

    async fn exists(calling: &Calling<T>, bucket: Resource<Bucket>, key: String) -> Result<bool> {
        let (client, _charge) = client(calling, &bucket, key.len())?;
        Ok(client.exists(&key).await?)
    }

    async fn list_keys(
        calling: &Calling<T>,
        bucket: Resource<Bucket>,
        prefix: Option<String>,
        cursor: Option<String>,
    ) -> Result<types::KeyResponse> {
        let bytes = length(prefix.as_ref()) + length(cursor.as_ref());
        let (client, _charge) = client(calling, &bucket, bytes)?;
        let page = client.list(prefix.unwrap_or_default(), cursor.map(Cursor)).await?;
        let cursor = page.next.map(|Cursor(text)| text);
        Ok(types::KeyResponse { keys: page.keys, cursor })
    }
}

impl store::Host for View<'_, KeyValue> {}

impl<T: Send> store::HostWithStore<T> for Has<KeyValue> {
    async fn open(calling: &Calling<T>, identifier: String) -> Result<Resource<Bucket>> {
        calling.with(|mut instance| operations::open(&mut instance.get(), &identifier))
    }
}

impl atomics::Host for View<'_, KeyValue> {}

impl<T: Send> atomics::HostWithStore<T> for Has<KeyValue> {
    async fn increment(
        calling: &Calling<T>,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> Result<i64> {
        let (client, _charge) = client(calling, &bucket, key.len())?;
        Ok(client.increment(&key, delta).await?)
    }
}

fn entry(found: Versioned) -> cas::Entry {
    cas::Entry { value: Vec::from(found.value), version: found.version.to_string() }
}

impl cas::Host for View<'_, KeyValue> {}

impl<T: Send> cas::HostWithStore<T> for Has<KeyValue> {
    async fn current(
        calling: &Calling<T>,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Result<Option<cas::Entry>> {
        let (client, _charge) = client(calling, &bucket, key.len())?;
        Ok(client.versioned(&key).await?.map(entry))
    }

    async fn swap(
        calling: &Calling<T>,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
        options: cas::CasOptions,
    ) -> Result<cas::CasResult> {
        let cas::CasOptions { require_version: version, require_value: required } = options;
        let bytes = length(version.as_ref()) + required.as_ref().map_or(0, Vec::len);
        let (client, _charge) = client(calling, &bucket, bytes + key.len() + value.len())?;
        let required = Required { version, value: required };
        Ok(match required.swap(&client, &key, Bytes::from(value)).await? {
            Swap::Done => cas::CasResult::Swapped,
            Swap::Late(found) => cas::CasResult::Stale(found.map(entry)),
        })
    }
}

impl batch::Host for View<'_, KeyValue> {}

impl<T: Send> batch::HostWithStore<T> for Has<KeyValue> {
    async fn get_many(
        calling: &Calling<T>,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>> {
        let (client, _charge) = client(calling, &bucket, lengths(&keys))?;
        Ok(client.get_pairs(keys).await?)
    }

    async fn set_many(
        calling: &Calling<T>,
        bucket: Resource<Bucket>,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Result<()> {
        let bytes = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        let (client, _charge) = client(calling, &bucket, bytes)?;
        Ok(client.set_pairs(entries).await?)
    }

    async fn delete_many(
        calling: &Calling<T>,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<()> {
        let (client, _charge) = client(calling, &bucket, lengths(&keys))?;
        Ok(client.delete_many(&keys).await?)
    }
}
