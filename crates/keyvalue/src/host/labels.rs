//! Interfaces under the labels that a component gives them: `import sessions: wasi:keyvalue/store`
//! opens the binding `sessions` by the name `default`.
//!
//! In every draft the label counts where buckets are opened: in `store`, and in the oldest draft in
//! `types`. Interfaces that take buckets work on the bucket that they are given. A cache is opened
//! by nobody, so there each function goes to what the label stands for.

use super::operations::{self, Host, Result};
use super::{Bucket, KeyValue};
use base::{Bound, Error, Kind};
use engine::{Failure, Name, View};
use wasmtime::component::{Accessor, ComponentType, LinkerInstance, Lower, Resource};

/// The name of the binding that a label stands for.
pub(super) fn meant<'a, C: ?Sized>(bound: &Bound<C>, label: &'a Name) -> &'a str {
    bound.meant(&label.name, label.external_id.as_deref())
}

/// Makes sure that a label stands for a binding of this `section` that the component may open.
pub(super) fn find<C: ?Sized>(bound: &Bound<C>, label: &Name, section: &str) -> base::Result<()> {
    let name = meant(bound, label);
    let hint = |error: Error| {
        let names = bound.iter().map(|(granted, _)| granted).chain([name]);
        let names: Vec<_> = names.map(|name| format!("\"{name}\"")).collect();
        let names = names.join(", ");
        let grant = format!("grant it in the component's section: {section} = [{names}]");
        match error.kind() {
            Kind::Denied => error.with_hint(grant),
            _ => error.with_hint(format!("bind it in [{section}], and {grant}")),
        }
    };
    bound.find(name).map_err(hint)
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

/// Defines the function of this `name` that opens bindings, under a label.
pub(super) fn define_open<T, E>(
    instance: &mut LinkerInstance<'_, T>,
    name: &str,
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
        name,
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
