//! `wasmcloud:messaging@0.3.0`, for guests of WASI 0.3: contents are streams, calls overlap, errors
//! have cases.

use super::Messaging;
use super::body::{self, Content};
use super::operations::{Client, Operations};
use crate::{Message, RequestOptions};
use base::Kind;
use bindings::wasmcloud::messaging::{consumer, types};
use engine::{Charge, Failure, Has, View, Wanted};
use std::time::Duration;
use types::BrokerMessage;
use wasmtime::component::{Accessor, Linker, StreamReader};

pub(crate) mod bindings {
    //! Generated from the interface.
    wasmtime::component::bindgen!({
        path: "wit/wasmcloud3",
        world: "wasmcloud:messaging/handler-service",
        imports: { default: trappable },
        exports: { default: async | store },
        trappable_error_type: { "wasmcloud:messaging/types.error" => engine::Failure },
    });
}

/// Adds the interfaces to the linker of a host of your own, whose engine has WASI 0.3's
/// concurrency.
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
    wanted.add(linker, "wasmcloud:messaging/types@0.3.0", |instance| {
        types::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })?;
    wanted.add(linker, "wasmcloud:messaging/consumer@0.3.0", |instance| {
        consumer::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })
}

/// How a function reaches the instance that calls it.
type Calling<T> = Accessor<T, Has<Messaging>>;

impl types::Host for View<'_, Messaging> {
    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<types::Error> {
        let error = match failure {
            Failure::Error(error) => error,
            Failure::Trap(trap) => return Err(trap),
        };
        let case = match error.kind() {
            // What else a guest says here is bytes.
            Kind::Invalid => types::Error::SubjectInvalid,
            Kind::Denied => types::Error::AccessDenied,
            Kind::Timeout => types::Error::Timeout,
            Kind::Unavailable => types::Error::BrokerUnavailable,
            Kind::TooLarge => types::Error::MessageTooLarge,
            Kind::Exhausted => types::Error::QuotaExceeded,
            _ => return Ok(types::Error::Other(error.words())),
        };
        // Those cases have no words for the guest.
        let component = self.calls().component();
        tracing::debug!(component, %error, "a call of messaging failed");
        Ok(case)
    }
}

/// The one broker of an interface that knows no names, and a content that is on its way to it.
async fn reading<T: Send>(
    calling: &Calling<T>,
    stream: StreamReader<u8>,
) -> Result<(Operations, Vec<u8>, Charge), Failure> {
    let client = calling.with(|mut instance| {
        let host = instance.get();
        Client::unnamed(&host)?.operations(host.calls())
    });
    // Also where there is none: who writes has to hear that nobody reads.
    let most = client.as_ref().map_or(0, Operations::max_message);
    let read = body::whole(calling, stream, most).await?;
    let client = client?;
    let (bytes, charge) = read?;
    Ok((client, bytes, charge))
}

impl consumer::Host for View<'_, Messaging> {}

impl<T: Send> consumer::HostWithStore<T> for Has<Messaging> {
    async fn request(
        calling: &Calling<T>,
        subject: String,
        body: StreamReader<u8>,
        timeout_ms: Option<u32>,
    ) -> Result<BrokerMessage, Failure> {
        let (client, bytes, _charge) = reading(calling, body).await?;
        let plain = RequestOptions::default();
        let timeout = timeout_ms.map(|milliseconds| Duration::from_millis(milliseconds.into()));
        let options = RequestOptions { timeout: timeout.unwrap_or(plain.timeout), ..plain };
        let replies = client.request(&subject, Message::new(bytes), &options).await?;
        // Without a single reply it is an error.
        let reply = replies.into_iter().next().unwrap_or_default();
        let body = calling.with(|mut instance| {
            let held = instance.get().state.held.clone();
            Content::stream(&mut instance, reply.data, &held)
        })??;
        Ok(BrokerMessage { subject, body, reply_to: reply.reply_to })
    }

    async fn publish(calling: &Calling<T>, msg: BrokerMessage) -> Result<(), Failure> {
        let BrokerMessage { subject, body, reply_to } = msg;
        let (client, bytes, _charge) = reading(calling, body).await?;
        let message = Message { reply_to, ..Message::new(bytes) };
        Ok(client.publish(&subject, message).await?)
    }
}
