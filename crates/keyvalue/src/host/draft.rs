//! `wasi:keyvalue@0.2.0-draft`: cursors and counters are `u64`, and there is no `cas`.

use super::labels;
use super::operations::{self, Client, Result};
use super::{Bucket, KeyValue, Reason};
use bindings::wasi::keyvalue::{atomics, batch, store};
use bytes::Bytes;
use engine::{Failure, Has, View, Wanted};
use std::sync::Arc;
use wasmtime::component::{Linker, Resource};

pub(crate) mod bindings {
    //! Generated from the interface.
    wasmtime::component::bindgen!({
        path: "wit/draft",
        world: "wasi:keyvalue/watch-service",
        imports: {
            "wasi:keyvalue/store.open": trappable,
            "wasi:keyvalue/store.[drop]bucket": trappable,
            default: async | trappable,
        },
        exports: { default: async },
        with: { "wasi:keyvalue/store.bucket": crate::host::Bucket },
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
        "wasi:keyvalue/store@0.2.0-draft",
        |instance| store::add_to_linker_instance::<_, Has<KeyValue>>(instance, view),
        |instance, label| {
            let convert =
                |host: &mut View<'_, _>, failure| store::Host::convert_error(host, failure);
            labels::define_open(instance, "open", label, view, convert)
        },
    )?;
    wanted.add(linker, "wasi:keyvalue/atomics@0.2.0-draft", |instance| {
        atomics::add_to_linker_instance::<_, Has<KeyValue>>(instance, view)
    })?;
    wanted.add(linker, "wasi:keyvalue/batch@0.2.0-draft", |instance| {
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
        cursor: Option<u64>,
    ) -> Result<store::KeyResponse> {
        let client = Client::of(self, &bucket)?;
        let store = client.store();
        let after = cursor.map(|number| self.state.cursors.find(store, number)).transpose()?;
        let page = client.list(String::new(), after).await?;
        let cursor = page.next.map(|next| self.state.cursors.keep(Arc::clone(store), next));
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
        delta: u64,
    ) -> Result<u64> {
        Ok(Client::of(self, &bucket)?.count(&key, delta).await?)
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
