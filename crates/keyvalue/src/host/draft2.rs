//! `wasi:keyvalue@0.2.0-draft2`: cursors are text, counters have a sign, and there is `cas`.

use super::cas::{Cas, Swap};
use super::labels;
use super::operations::{self, Client, Result};
use super::{Bucket, KeyValue, Reason};
use crate::Cursor;
use bindings::wasi::keyvalue::{atomics, batch, store};
use bytes::Bytes;
use engine::{Failure, Has, View, Wanted};
use wasmtime::component::{Linker, Resource};

pub(crate) mod bindings {
    //! Generated from the interface.
    wasmtime::component::bindgen!({
        path: "wit/draft2",
        world: "wasi:keyvalue/watch-service",
        imports: {
            "wasi:keyvalue/store.open": trappable,
            "wasi:keyvalue/store.[drop]bucket": trappable,
            "wasi:keyvalue/atomics.[method]cas.current": trappable,
            "wasi:keyvalue/atomics.[drop]cas": trappable,
            default: async | trappable,
        },
        exports: { default: async },
        with: {
            "wasi:keyvalue/store.bucket": crate::host::Bucket,
            "wasi:keyvalue/atomics.cas": crate::host::Cas,
        },
        trappable_error_type: { "wasi:keyvalue/store.error" => engine::Failure },
    });
}

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
        "wasi:keyvalue/store@0.2.0-draft2",
        |instance| store::add_to_linker_instance::<_, Has<KeyValue>>(instance, view),
        |instance, label| {
            let convert =
                |host: &mut View<'_, _>, failure| store::Host::convert_error(host, failure);
            labels::define_open(instance, "open", label, view, convert)
        },
    )?;
    wanted.add(linker, "wasi:keyvalue/atomics@0.2.0-draft2", |instance| {
        atomics::add_to_linker_instance::<_, Has<KeyValue>>(instance, view)
    })?;
    wanted.add(linker, "wasi:keyvalue/batch@0.2.0-draft2", |instance| {
        batch::add_to_linker_instance::<_, Has<KeyValue>>(instance, view)
    })
}

impl store::Host for View<'_, KeyValue> {
    fn open(&mut self, identifier: String) -> Result<Resource<Bucket>> {
        operations::open(self, &identifier)
    }

    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<store::Error> {
        Ok(match Reason::of(failure)? {
            Reason::NoSuchStore => store::Error::NoSuchStore,
            Reason::AccessDenied => store::Error::AccessDenied,
            Reason::Other(words) => store::Error::Other(words),
        })
    }
}

impl store::HostBucket for View<'_, KeyValue> {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Option<Vec<u8>>> {
        let client = Client::of(self, &bucket)?;
        Ok(client.get(&key).await?.map(Vec::from))
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Result<()> {
        Ok(Client::of(self, &bucket)?.put(&key, Bytes::from(value)).await?)
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<()> {
        Ok(Client::of(self, &bucket)?.delete(&key).await?)
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<bool> {
        Ok(Client::of(self, &bucket)?.exists(&key).await?)
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> Result<store::KeyResponse> {
        let client = Client::of(self, &bucket)?;
        let page = client.list(String::new(), cursor.map(Cursor)).await?;
        let cursor = page.next.map(|Cursor(text)| text);
        Ok(store::KeyResponse { keys: page.keys, cursor })
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        operations::close(self, bucket)
    }
}

impl atomics::Host for View<'_, KeyValue> {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> Result<i64> {
        Ok(Client::of(self, &bucket)?.increment(&key, delta).await?)
    }

    async fn swap(
        &mut self,
        cas: Resource<Cas>,
        value: Vec<u8>,
    ) -> wasmtime::Result<std::result::Result<(), atomics::CasError>> {
        let cas = self.table.delete(cas)?;
        match cas.swap(Bytes::from(value)).await {
            Ok(Swap::Done) => Ok(Ok(())),
            Ok(Swap::Late(fresh)) => Ok(Err(atomics::CasError::CasFailed(self.table.push(fresh)?))),
            Err(error) => {
                let error = store::Host::convert_error(self, error.into())?;
                Ok(Err(atomics::CasError::StoreError(error)))
            }
        }
    }
}

impl atomics::HostCas for View<'_, KeyValue> {
    async fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Resource<Cas>> {
        let client = Client::of(self, &bucket)?;
        let cas = Cas::new(client, key).await?;
        Ok(self.table.push(cas)?)
    }

    fn current(&mut self, cas: Resource<Cas>) -> Result<Option<Vec<u8>>> {
        Ok(self.table.get(&cas)?.current().map(|value| value.to_vec()))
    }

    fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

impl batch::Host for View<'_, KeyValue> {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>> {
        Ok(Client::of(self, &bucket)?.get_pairs(keys).await?)
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Result<()> {
        Ok(Client::of(self, &bucket)?.set_pairs(entries).await?)
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<()> {
        Ok(Client::of(self, &bucket)?.delete_many(&keys).await?)
    }
}
