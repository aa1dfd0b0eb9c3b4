//! `wharf:messaging@0.1.0`: all that brokers do. For components of WASI 0.3; `sync.rs` has the same
//! text for those of 0.2, whose calls wait one after the other.

mod called;
mod sync;

use super::Messaging;
use super::operations::Result;
use super::taking::Taking;
use bindings::wharf::messaging::{consumer, producer, types};
use called::{Called, each, received, said};
use engine::{Failure, Has, Imports, View, Wanted};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Accessor, Linker, Resource};

pub(crate) use called::milliseconds;
pub(crate) use sync::bindings as sync_bindings;

pub(crate) mod bindings {
    //! Generated from the interface.
    wasmtime::component::bindgen!({
        path: "wit/wharf",
        world: "wharf:messaging/service",
        imports: { default: trappable },
        exports: { default: async | store },
        with: { "wharf:messaging/consumer.consumer": crate::host::Consumer },
        trappable_error_type: { "wharf:messaging/types.error" => engine::Failure },
    });
}

/// The resource `consumer`.
pub struct Consumer(Arc<Taking>);

/// Adds the interfaces to the linker of a host of your own, whose engine has WASI 0.3's
/// concurrency.
///
/// # Errors
/// If the linker has one of the interfaces already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Messaging>,
) -> wasmtime::Result<()> {
    let wanted = Wanted::All;
    wanted.add(linker, "wharf:messaging/types@0.1.0", |instance| {
        types::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })?;
    wanted.add(linker, PRODUCER, |instance| {
        producer::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })?;
    wanted.add(linker, CONSUMER, |instance| {
        consumer::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })
}

const PRODUCER: &str = "wharf:messaging/producer@0.1.0";
const CONSUMER: &str = "wharf:messaging/consumer@0.1.0";

/// Adds what a component imports, by whether its functions are async.
pub(super) fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Messaging>,
    imports: &Imports,
) -> wasmtime::Result<()> {
    let wanted = Wanted::By(imports);
    wanted.add(linker, "wharf:messaging/types@0.1.0", |instance| {
        types::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })?;
    wanted.add(linker, PRODUCER, |instance| match imports.overlap(PRODUCER) {
        true => producer::add_to_linker_instance::<_, Has<Messaging>>(instance, view),
        false => sync::producer::add_to_linker_instance::<_, Has<Messaging>>(instance, view),
    })?;
    wanted.add(linker, CONSUMER, |instance| match imports.overlap(CONSUMER) {
        true => consumer::add_to_linker_instance::<_, Has<Messaging>>(instance, view),
        false => sync::consumer::add_to_linker_instance::<_, Has<Messaging>>(instance, view),
    })
}

/// How a function reaches the instance that calls it.
type Calling<T> = Accessor<T, Has<Messaging>>;

/// A call of this binding, with arguments of so many bytes.
fn called<T: Send>(calling: &Calling<T>, binding: &str, bytes: usize) -> Result<Called> {
    calling.with(|mut instance| Called::new(&instance.get(), binding, bytes))
}

impl types::Host for View<'_, Messaging> {
    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<types::Error> {
        match failure {
            Failure::Error(error) => Ok(said(&error)),
            Failure::Trap(trap) => Err(trap),
        }
    }
}

impl producer::Host for View<'_, Messaging> {}

impl<T: Send> producer::HostWithStore<T> for Has<Messaging> {
    async fn publish(
        calling: &Calling<T>,
        binding: String,
        topic: String,
        message: types::Message,
        delay: Option<u64>,
    ) -> Result<types::Published> {
        let bytes = called::size(&topic, &message);
        called(calling, &binding, bytes)?.publish(&topic, message, delay).await
    }

    async fn publish_many(
        calling: &Calling<T>,
        binding: String,
        messages: Vec<(String, types::Message)>,
        delay: Option<u64>,
    ) -> Result<Vec<std::result::Result<types::Published, types::Error>>> {
        let bytes = messages.iter().map(|(topic, message)| called::size(topic, message)).sum();
        called(calling, &binding, bytes)?.publish_many(messages, delay).await
    }

    async fn request(
        calling: &Calling<T>,
        binding: String,
        topic: String,
        message: types::Message,
        timeout: u32,
        replies: u32,
    ) -> Result<Vec<types::Message>> {
        let bytes = called::size(&topic, &message);
        called(calling, &binding, bytes)?.request(&topic, message, timeout, replies).await
    }
}

impl consumer::Host for View<'_, Messaging> {}

impl<T: Send> consumer::HostWithStore<T> for Has<Messaging> {
    async fn forget(calling: &Calling<T>, binding: String, group: String) -> Result<()> {
        called(calling, &binding, group.len())?.forget(&group).await
    }
}

impl consumer::HostConsumer for View<'_, Messaging> {
    fn drop(&mut self, consumer: Resource<Consumer>) -> wasmtime::Result<()> {
        self.table.delete(consumer)?;
        Ok(())
    }
}

fn taking<T: Send>(
    calling: &Calling<T>,
    consumer: &Resource<Consumer>,
) -> wasmtime::Result<Arc<Taking>> {
    calling.with(|mut instance| Ok(Arc::clone(&instance.get().table.get(consumer)?.0)))
}

impl<T: Send> consumer::HostConsumerWithStore<T> for Has<Messaging> {
    async fn open(
        calling: &Calling<T>,
        binding: String,
        options: types::Options,
    ) -> Result<Resource<Consumer>> {
        let bytes = options.topics.iter().map(String::len).sum();
        let consumer = called(calling, &binding, bytes)?.open(options).await?;
        Ok(calling.with(|mut instance| instance.get().table.push(consumer))?)
    }

    async fn receive(
        calling: &Calling<T>,
        consumer: Resource<Consumer>,
        most: u32,
        wait: u32,
    ) -> Result<Vec<types::Received>> {
        received(&*taking(calling, &consumer)?, most, wait).await
    }

    async fn ack(
        calling: &Calling<T>,
        consumer: Resource<Consumer>,
        tokens: Vec<u64>,
    ) -> wasmtime::Result<Vec<std::result::Result<(), types::Error>>> {
        Ok(each(taking(calling, &consumer)?.ack(&tokens).await))
    }

    async fn nack(
        calling: &Calling<T>,
        consumer: Resource<Consumer>,
        tokens: Vec<u64>,
        delay: u64,
    ) -> wasmtime::Result<Vec<std::result::Result<(), types::Error>>> {
        let delay = Duration::from_millis(delay);
        Ok(each(taking(calling, &consumer)?.nack(&tokens, delay).await))
    }

    async fn extend(
        calling: &Calling<T>,
        consumer: Resource<Consumer>,
        tokens: Vec<u64>,
    ) -> wasmtime::Result<Vec<std::result::Result<(), types::Error>>> {
        Ok(each(taking(calling, &consumer)?.extend(&tokens).await))
    }
}
