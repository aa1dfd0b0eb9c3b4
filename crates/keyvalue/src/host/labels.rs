//! Interfaces under the labels that a component gives them: `import sessions: wasi:keyvalue/store`
//! opens the binding `sessions` by the name `default`.

use super::operations::{self, Host, Result};
use super::{Bucket, KeyValue};
use crate::Store;
use base::Bound;
use engine::{Failure, Name, View};
use wasmtime::component::{Accessor, ComponentType, LinkerInstance, Lower, Resource};

/// The name of the binding that a label stands for.
pub(super) fn meant<'a>(stores: &Bound<dyn Store>, label: &'a Name) -> &'a str {
    stores.meant(&label.name, label.external_id.as_deref())
}

/// Opens what the label stands for by the empty name and by `default`, and every other binding by
/// its own name.
fn open(host: &mut Host<'_>, label: &Name, name: &str) -> Result<Resource<Bucket>> {
    let name = match name {
        "" | base::DEFAULT => meant(&host.state.stores, label),
        name => name,
    };
    operations::open(host, name)
}

/// How a draft tells guests of a failure.
type Convert<E> = fn(&mut Host<'_>, Failure) -> wasmtime::Result<E>;

fn answer<E>(
    host: &mut Host<'_>,
    label: &Name,
    name: &str,
    convert: Convert<E>,
) -> wasmtime::Result<(std::result::Result<Resource<Bucket>, E>,)> {
    Ok((match open(host, label, name) {
        Ok(bucket) => Ok(bucket),
        Err(failure) => Err(convert(host, failure)?),
    },))
}

/// Defines `open` under a label.
pub(super) fn define_open<T, E>(
    instance: &mut LinkerInstance<'_, T>,
    label: &Name,
    view: fn(&mut T) -> View<'_, KeyValue>,
    convert: Convert<E>,
) -> wasmtime::Result<()>
where
    T: Send + 'static,
    E: ComponentType + Lower + Send + Sync + 'static,
{
    let label = label.clone();
    instance.func_wrap(
        "open",
        move |mut caller: wasmtime::StoreContextMut<'_, T>, (name,): (String,)| {
            answer(&mut view(caller.data_mut()), &label, &name, convert)
        },
    )
}

/// Defines `open` under a label, where it is async.
pub(super) fn define_async_open<T, E>(
    instance: &mut LinkerInstance<'_, T>,
    label: &Name,
    view: fn(&mut T) -> View<'_, KeyValue>,
    convert: Convert<E>,
) -> wasmtime::Result<()>
where
    T: Send + 'static,
    E: ComponentType + Lower + Send + Sync + 'static,
{
    let label = label.clone();
    instance.func_wrap_concurrent("open", move |calling: &Accessor<T>, (name,): (String,)| {
        let answer =
            calling.with(|mut caller| answer(&mut view(caller.get()), &label, &name, convert));
        Box::pin(async move { answer })
    })
}
