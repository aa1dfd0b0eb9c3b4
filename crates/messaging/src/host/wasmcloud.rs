//! `wasmcloud:messaging@0.2.0`: subjects, bodies, and where replies go.

use super::Messaging;
use super::operations::{Client, Host, Operations};
use crate::{Message, RequestOptions};
use bindings::wasmcloud::messaging::{consumer, types};
use engine::{Has, View, Wanted};
use std::time::Duration;
use types::BrokerMessage;
use wasmtime::component::Linker;

pub(crate) mod bindings {
    //! Generated from the interface.
    wasmtime::component::bindgen!({
        path: "wit/wasmcloud",
        world: "wasmcloud:messaging/messaging",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}

/// Adds the interfaces to the linker of a host of your own.
///
/// # Errors
/// If the linker has one of the interfaces already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Messaging>,
) -> wasmtime::Result<()> {
    link(linker, view, Wanted::All)
}

pub(super) fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Messaging>,
    wanted: Wanted<'_>,
) -> wasmtime::Result<()> {
    wanted.add(linker, "wasmcloud:messaging/types@0.2.0", |instance| {
        types::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })?;
    wanted.add(linker, "wasmcloud:messaging/consumer@0.2.0", |instance| {
        consumer::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })
}

impl types::Host for Host<'_> {}

/// What a call came to, as this interface says it.
fn answer<T>(outcome: base::Result<T>) -> wasmtime::Result<Result<T, String>> {
    Ok(outcome.map_err(|error| error.words()))
}

fn operations(host: &Host<'_>) -> base::Result<Operations> {
    Client::unnamed(host)?.operations(host.calls())
}

impl consumer::Host for Host<'_> {
    async fn request(
        &mut self,
        subject: String,
        body: Vec<u8>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<BrokerMessage, String>> {
        let client = match operations(self) {
            Ok(client) => client,
            Err(error) => return answer(Err(error)),
        };
        let timeout = Duration::from_millis(timeout_ms.into());
        let options = RequestOptions { timeout, ..RequestOptions::default() };
        let replies = client.request(&subject, Message::new(body), &options).await;
        // Without a single reply it is an error.
        let reply = replies.map(|replies| replies.into_iter().next().unwrap_or_default());
        answer(reply.map(|reply| BrokerMessage {
            subject,
            body: reply.data.to_vec(),
            reply_to: reply.reply_to,
        }))
    }

    async fn publish(&mut self, msg: BrokerMessage) -> wasmtime::Result<Result<(), String>> {
        let client = match operations(self) {
            Ok(client) => client,
            Err(error) => return answer(Err(error)),
        };
        let BrokerMessage { subject, body, reply_to } = msg;
        answer(client.publish(&subject, Message { reply_to, ..Message::new(body) }).await)
    }
}
