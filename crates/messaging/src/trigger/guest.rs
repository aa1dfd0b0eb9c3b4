//! One call of a guest that takes messages: a fresh instance, the message, the limits.

use crate::Delivery;
use crate::host::{Letter, Messaging, draft, wasmcloud};
use engine::{Ctx, Guest, describe};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::InstancePre;

/// How long a message waits before it asks again for a place in a component that is full.
const PAUSE: Duration = Duration::from_millis(100);

/// The interface that a guest exports.
#[derive(Clone)]
pub(super) enum Exported {
    Draft(draft::bindings::MessagingRequestReplyPre<Ctx>),
    Wasmcloud(wasmcloud::bindings::MessagingPre<Ctx>),
}

const DRAFT: &str = "wasi:messaging/incoming-handler@0.2.0-draft";
const WASMCLOUD: &str = "wasmcloud:messaging/handler@0.2.0";

impl Exported {
    /// The newest interface that `guest` exports.
    pub(super) fn find(guest: &Guest) -> wasmtime::Result<Option<Self>> {
        let exports = guest.exports();
        let exports = |id: &str| exports.iter().any(|export| export.name == id);
        let pre: InstancePre<Ctx> = guest.pre().clone();
        Ok(Some(if exports(DRAFT) {
            Self::Draft(draft::bindings::MessagingRequestReplyPre::new(pre)?)
        } else if exports(WASMCLOUD) {
            Self::Wasmcloud(wasmcloud::bindings::MessagingPre::new(pre)?)
        } else {
            return Ok(None);
        }))
    }

    pub(super) fn interface(&self) -> &'static str {
        match self {
            Self::Draft(_) => DRAFT,
            Self::Wasmcloud(_) => WASMCLOUD,
        }
    }
}

/// What a guest is handed.
struct Mail {
    topic: String,
    message: crate::Message,
    binding: String,
}

/// Hands a message to `guest`, within its limits. The error says why it was not handled.
pub(super) async fn call(
    guest: &Arc<Guest>,
    exported: &Exported,
    binding: &str,
    delivery: &Delivery,
) -> Result<(), String> {
    let mail = Mail {
        topic: delivery.topic.clone(),
        message: delivery.message.clone(),
        binding: binding.to_owned(),
    };
    let exported = exported.clone();
    // A component that has no place now did not fail at the message.
    let permit = loop {
        match guest.admit().await {
            Ok(permit) => break permit,
            Err(_full) => tokio::time::sleep(PAUSE).await,
        }
    };
    let called = engine::once_admitted(guest, permit, move |store| {
        Box::pin(async move {
            match exported {
                Exported::Draft(pre) => draft(store, &pre, mail).await,
                Exported::Wasmcloud(pre) => wasmcloud(store, &pre, mail).await,
            }
        })
    });
    called.await.unwrap_or_else(|trap| Err(describe(&trap)))
}

type Instance = wasmtime::Store<Ctx>;

/// What the guest said: that it is done with the message, or why not.
type Said = wasmtime::Result<Result<(), String>>;

async fn draft(
    store: &mut Instance,
    pre: &draft::bindings::MessagingRequestReplyPre<Ctx>,
    Mail { topic, message, binding }: Mail,
) -> Said {
    use draft::bindings::wasi::messaging::types::Error;
    let letter = {
        let view = store.data_mut().view::<Messaging>();
        let letter = Letter::handed(message, topic, binding, &view)?;
        view.table.push(letter)?
    };
    let guest = pre.instantiate_async(&mut *store).await?;
    let said = guest.wasi_messaging_incoming_handler().call_handle(store, letter).await?;
    Ok(said.map_err(|error| match error {
        Error::Timeout => "a call of its own took too long".to_owned(),
        Error::Connection(why) | Error::PermissionDenied(why) | Error::Other(why) => why,
    }))
}

async fn wasmcloud(
    store: &mut Instance,
    pre: &wasmcloud::bindings::MessagingPre<Ctx>,
    Mail { topic, message, .. }: Mail,
) -> Said {
    use wasmcloud::bindings::wasmcloud::messaging::types::BrokerMessage;
    let (body, reply_to) = (message.data.to_vec(), message.reply_to);
    let message = BrokerMessage { subject: topic, body, reply_to };
    let guest = pre.instantiate_async(&mut *store).await?;
    guest.wasmcloud_messaging_handler().call_handle_message(store, &message).await
}
