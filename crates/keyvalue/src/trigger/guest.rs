//! One call of a guest that watches: a fresh instance, the change, the limits.

use crate::Change;
use crate::host::{Bucket, IncomingValue};
use crate::host::{draft, draft2, old, wasmcloud};
use bytes::Bytes;
use engine::{Ctx, Guest};
use std::sync::Arc;
use wasmtime::component::{Accessor, InstancePre, Resource};

/// The interface that a guest exports.
#[derive(Clone)]
pub(super) enum Exported {
    Wasmcloud(wasmcloud::bindings::WatchServicePre<Ctx>),
    Draft(draft::bindings::WatchServicePre<Ctx>),
    Draft2(draft2::bindings::WatchServicePre<Ctx>),
    Old(old::bindings::KeyvalueHandleWatchPre<Ctx>),
}

const WASMCLOUD: &str = "wasmcloud:keyvalue/watcher@0.2.0";
const DRAFT2: &str = "wasi:keyvalue/watcher@0.2.0-draft2";
const DRAFT: &str = "wasi:keyvalue/watcher@0.2.0-draft";
const OLD: &str = "wasi:keyvalue/handle-watch@0.2.0-draft";

impl Exported {
    /// The newest interface that `guest` exports.
    pub(super) fn find(guest: &Guest) -> wasmtime::Result<Option<Self>> {
        let exports = guest.exports();
        let exports = |id: &str| exports.iter().any(|export| export.name == id);
        let pre: InstancePre<Ctx> = guest.pre().clone();
        Ok(Some(if exports(WASMCLOUD) {
            Self::Wasmcloud(wasmcloud::bindings::WatchServicePre::new(pre)?)
        } else if exports(DRAFT2) {
            Self::Draft2(draft2::bindings::WatchServicePre::new(pre)?)
        } else if exports(DRAFT) {
            Self::Draft(draft::bindings::WatchServicePre::new(pre)?)
        } else if exports(OLD) {
            Self::Old(old::bindings::KeyvalueHandleWatchPre::new(pre)?)
        } else {
            return Ok(None);
        }))
    }

    pub(super) fn interface(&self) -> &'static str {
        match self {
            Self::Wasmcloud(_) => WASMCLOUD,
            Self::Draft2(_) => DRAFT2,
            Self::Draft(_) => DRAFT,
            Self::Old(_) => OLD,
        }
    }
}

/// What a guest is told.
struct News {
    bucket: Bucket,
    key: String,
    /// `None`: the key is gone.
    value: Option<Bytes>,
}

/// Tells `guest` of `change` in `bucket`, within its limits.
pub(super) async fn call(
    guest: &Arc<Guest>,
    exported: &Exported,
    bucket: Bucket,
    change: &Change,
) -> wasmtime::Result<()> {
    let (key, value) = match change {
        Change::Set { key, value, .. } => (key.clone(), Some(value.clone())),
        Change::Delete { key, .. } => (key.clone(), None),
        Change::Missed { .. } => return Ok(()),
    };
    let news = News { bucket, key, value };
    let exported = exported.clone();
    engine::once(guest, move |store| Box::pin(tell(store, exported, news))).await
}

async fn tell(store: &mut Instance, exported: Exported, news: News) -> wasmtime::Result<()> {
    match exported {
        Exported::Wasmcloud(pre) => wasmcloud(store, &pre, news).await,
        Exported::Draft2(pre) => draft2(store, &pre, news).await,
        Exported::Draft(pre) => draft(store, &pre, news).await,
        Exported::Old(pre) => old(store, &pre, news).await,
    }
}

type Instance = wasmtime::Store<Ctx>;

async fn wasmcloud(
    store: &mut Instance,
    pre: &wasmcloud::bindings::WatchServicePre<Ctx>,
    News { bucket, key, value }: News,
) -> wasmtime::Result<()> {
    let bucket = store.data_mut().table().push(bucket)?;
    let guest = pre.instantiate_async(&mut *store).await?;
    let told = async |accessor: &Accessor<Ctx>| {
        let watcher = guest.wasmcloud_keyvalue_watcher();
        match value {
            Some(value) => {
                watcher.call_on_set(accessor, bucket, key, Vec::from(value)).await?;
            }
            None => watcher.call_on_delete(accessor, bucket, key).await?,
        }
        engine::rest(accessor).await;
        Ok(())
    };
    store.run_concurrent(told).await?
}

async fn draft2(
    store: &mut Instance,
    pre: &draft2::bindings::WatchServicePre<Ctx>,
    News { bucket, key, value }: News,
) -> wasmtime::Result<()> {
    let bucket = store.data_mut().table().push(bucket)?;
    let guest = pre.instantiate_async(&mut *store).await?;
    let watcher = guest.wasi_keyvalue_watcher();
    match value {
        Some(value) => watcher.call_on_set(store, bucket, &key, &value).await,
        None => watcher.call_on_delete(store, bucket, &key).await,
    }
}

async fn draft(
    store: &mut Instance,
    pre: &draft::bindings::WatchServicePre<Ctx>,
    News { bucket, key, value }: News,
) -> wasmtime::Result<()> {
    let bucket = store.data_mut().table().push(bucket)?;
    let guest = pre.instantiate_async(&mut *store).await?;
    let watcher = guest.wasi_keyvalue_watcher();
    match value {
        Some(value) => watcher.call_on_set(store, bucket, &key, &value).await,
        None => watcher.call_on_delete(store, bucket, &key).await,
    }
}

async fn old(
    store: &mut Instance,
    pre: &old::bindings::KeyvalueHandleWatchPre<Ctx>,
    News { bucket, key, value }: News,
) -> wasmtime::Result<()> {
    let bucket = store.data_mut().table().push(bucket)?;
    let value = match value {
        Some(value) => Some(store.data_mut().table().push(IncomingValue::lent(value))?),
        None => None,
    };
    let guest = pre.instantiate_async(&mut *store).await?;
    let watcher = guest.wasi_keyvalue_handle_watch();
    match value {
        // The value is lent: it stays in the table and goes with the instance.
        Some(value) => {
            let value = Resource::new_borrow(value.rep());
            watcher.call_on_set(store, bucket, &key, value).await
        }
        None => watcher.call_on_delete(store, bucket, &key).await,
    }
}
