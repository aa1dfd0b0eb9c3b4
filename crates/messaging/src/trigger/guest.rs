//! One call of a guest that takes messages: a fresh instance, the messages, the limits.

use super::outcome::Outcome;
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

    /// Whether it takes several messages in one call.
    pub(super) fn takes_batches(&self) -> bool {
        match self {
            Self::Draft(_) | Self::Wasmcloud(_) => false,
        }
    }
}

/// A message as a guest is handed it.
pub(super) struct Mail {
    pub(super) topic: String,
    pub(super) message: crate::Message,
}

impl Mail {
    pub(super) fn of(delivery: &Delivery) -> Self {
        Self { topic: delivery.topic.clone(), message: delivery.message.clone() }
    }
}

/// Hands messages to `guest` in one call, within its limits. Says of each what became of it, in
/// their order.
pub(super) async fn call(
    guest: &Arc<Guest>,
    exported: &Exported,
    binding: &str,
    mails: Vec<Mail>,
) -> Vec<Outcome> {
    let count = mails.len();
    let exported = exported.clone();
    let binding = binding.to_owned();
    // A component that has no place now did not fail at the message.
    let permit = loop {
        match guest.admit().await {
            Ok(permit) => break permit,
            Err(_full) => tokio::time::sleep(PAUSE).await,
        }
    };
    let called = engine::once_admitted(guest, permit, move |store| {
        Box::pin(async move {
            let mut said = Vec::new();
            // Those that take one are given one.
            for mail in mails {
                said.push(match &exported {
                    Exported::Draft(pre) => draft(store, pre, mail, binding.clone()).await?.into(),
                    Exported::Wasmcloud(pre) => wasmcloud(store, pre, mail).await?.into(),
                });
            }
            Ok(said)
        })
    });
    match called.await {
        Ok(said) => said,
        Err(trap) => vec![Outcome::failed(describe(&trap)); count],
    }
}

type Instance = wasmtime::Store<Ctx>;

/// What the guest said: that it is done with the message, or why not.
type Said = wasmtime::Result<Result<(), String>>;

async fn draft(
    store: &mut Instance,
    pre: &draft::bindings::MessagingRequestReplyPre<Ctx>,
    Mail { topic, message }: Mail,
    binding: String,
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
    Mail { topic, message }: Mail,
) -> Said {
    use wasmcloud::bindings::wasmcloud::messaging::types::BrokerMessage;
    let (body, reply_to) = (message.data.to_vec(), message.reply_to);
    let message = BrokerMessage { subject: topic, body, reply_to };
    let guest = pre.instantiate_async(&mut *store).await?;
    guest.wasmcloud_messaging_handler().call_handle_message(store, &message).await
}
