//! The text of `wharf:messaging` for components of WASI 0.2: the same without `async`.

use super::called::{self, Called, each, received};
use super::{Consumer, types};
use crate::host::Messaging;
use crate::host::operations::Result;
use crate::host::taking::Taking;
use engine::View;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::Resource;

pub(crate) mod bindings {
    //! Generated from the interface.
    wasmtime::component::bindgen!({
        path: "wit/wharf-sync",
        world: "wharf:messaging/service",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "wharf:messaging/types": crate::host::wharf::bindings::wharf::messaging::types,
            "wharf:messaging/consumer.consumer": crate::host::Consumer,
        },
        trappable_error_type: { "wharf:messaging/types.error" => engine::Failure },
    });
}

pub(super) use bindings::wharf::messaging::{consumer, producer};

impl producer::Host for View<'_, Messaging> {
    async fn publish(
        &mut self,
        binding: String,
        topic: String,
        message: types::Message,
        delay: Option<u64>,
    ) -> Result<types::Published> {
        let call = Called::new(self, &binding, called::size(&topic, &message))?;
        call.publish(&topic, message, delay).await
    }

    async fn publish_many(
        &mut self,
        binding: String,
        messages: Vec<(String, types::Message)>,
        delay: Option<u64>,
    ) -> Result<Vec<std::result::Result<types::Published, types::Error>>> {
        let bytes = messages.iter().map(|(topic, message)| called::size(topic, message)).sum();
        let call = Called::new(self, &binding, bytes)?;
        call.publish_many(messages, delay).await
    }

    async fn request(
        &mut self,
        binding: String,
        topic: String,
        message: types::Message,
        timeout: u32,
        replies: u32,
    ) -> Result<Vec<types::Message>> {
        let call = Called::new(self, &binding, called::size(&topic, &message))?;
        call.request(&topic, message, timeout, replies).await
    }
}

impl consumer::Host for View<'_, Messaging> {
    async fn forget(&mut self, binding: String, group: String) -> Result<()> {
        let call = Called::new(self, &binding, group.len())?;
        call.forget(&group).await
    }
}

fn taking(
    host: &View<'_, Messaging>,
    consumer: &Resource<Consumer>,
) -> wasmtime::Result<Arc<Taking>> {
    Ok(Arc::clone(&host.table.get(consumer)?.0))
}

impl consumer::HostConsumer for View<'_, Messaging> {
    async fn open(
        &mut self,
        binding: String,
        options: types::Options,
    ) -> Result<Resource<Consumer>> {
        let bytes = options.topics.iter().map(String::len).sum();
        let call = Called::new(self, &binding, bytes)?;
        let consumer = call.open(options).await?;
        Ok(self.table.push(consumer)?)
    }

    async fn receive(
        &mut self,
        consumer: Resource<Consumer>,
        most: u32,
        wait: u32,
    ) -> Result<Vec<types::Received>> {
        let taking = taking(self, &consumer)?;
        received(&taking, most, wait).await
    }

    async fn ack(
        &mut self,
        consumer: Resource<Consumer>,
        tokens: Vec<u64>,
    ) -> wasmtime::Result<Vec<std::result::Result<(), types::Error>>> {
        let taking = taking(self, &consumer)?;
        Ok(each(taking.ack(&tokens).await))
    }

    async fn nack(
        &mut self,
        consumer: Resource<Consumer>,
        tokens: Vec<u64>,
        delay: u64,
    ) -> wasmtime::Result<Vec<std::result::Result<(), types::Error>>> {
        let taking = taking(self, &consumer)?;
        Ok(each(taking.nack(&tokens, Duration::from_millis(delay)).await))
    }

    async fn extend(
        &mut self,
        consumer: Resource<Consumer>,
        tokens: Vec<u64>,
    ) -> wasmtime::Result<Vec<std::result::Result<(), types::Error>>> {
        let taking = taking(self, &consumer)?;
        Ok(each(taking.extend(&tokens).await))
    }

    async fn drop(&mut self, consumer: Resource<Consumer>) -> wasmtime::Result<()> {
        self.table.delete(consumer)?;
        Ok(())
    }
}
