//! One call of a guest that takes messages: a fresh instance, the messages, the limits.

mod draft;
mod old;
mod spin;
mod wasmcloud;
mod wharf;

pub(super) use old::configure;

use super::outcome::Outcome;
use crate::Delivery;
use engine::{Ctx, Guest, describe};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use wasmtime::component::InstancePre;

/// How long a message waits before it asks again for a place in a component that is full.
const PAUSE: Duration = Duration::from_millis(100);

/// The interface that a guest exports.
#[derive(Clone)]
pub(super) enum Exported {
    Wharf(wharf::Pre),
    WharfSync(wharf::SyncPre),
    Wasmcloud3(wasmcloud::Pre3),
    Draft(draft::Pre),
    Wasmcloud(wasmcloud::Pre),
    Spin3(spin::Pre3),
    Spin2(spin::Pre2),
    Old(old::Pre),
}

const WHARF: &str = "wharf:messaging/handler@0.1.0";
const WASMCLOUD3: &str = "wasmcloud:messaging/handler@0.3.0";
const DRAFT: &str = "wasi:messaging/incoming-handler@0.2.0-draft";
const WASMCLOUD: &str = "wasmcloud:messaging/handler@0.2.0";
const SPIN3: &str = "spin:redis/inbound-redis@3.0.0";
const SPIN2: &str = "fermyon:spin/inbound-redis";
const OLD: &str = "wasi:messaging/messaging-guest@0.2.0-draft";

impl Exported {
    /// The first of these interfaces that `guest` exports.
    pub(super) fn find(guest: &Guest) -> wasmtime::Result<Option<Self>> {
        let all = guest.exports();
        let exports = |id: &str| all.iter().any(|export| export.name == id);
        let overlaps = |id: &str| all.iter().any(|export| export.name == id && export.overlaps);
        let pre: InstancePre<Ctx> = guest.pre().clone();
        Ok(Some(if overlaps(WHARF) {
            Self::Wharf(wharf::Pre::new(pre)?)
        } else if exports(WHARF) {
            Self::WharfSync(wharf::SyncPre::new(pre)?)
        } else if exports(WASMCLOUD3) {
            Self::Wasmcloud3(wasmcloud::Pre3::new(pre)?)
        } else if exports(DRAFT) {
            Self::Draft(draft::Pre::new(pre)?)
        } else if exports(WASMCLOUD) {
            Self::Wasmcloud(wasmcloud::Pre::new(pre)?)
        } else if exports(SPIN3) {
            Self::Spin3(spin::Pre3::new(pre)?)
        } else if exports(SPIN2) {
            Self::Spin2(spin::Pre2::new(pre)?)
        } else if exports(OLD) {
            Self::Old(old::Pre::new(pre)?)
        } else {
            return Ok(None);
        }))
    }

    pub(super) fn interface(&self) -> &'static str {
        match self {
            Self::Wharf(_) | Self::WharfSync(_) => WHARF,
            Self::Wasmcloud3(_) => WASMCLOUD3,
            Self::Draft(_) => DRAFT,
            Self::Wasmcloud(_) => WASMCLOUD,
            Self::Spin3(_) => SPIN3,
            Self::Spin2(_) => SPIN2,
            Self::Old(_) => OLD,
        }
    }

    /// Whether it takes several messages in one call.
    pub(super) fn takes_batches(&self) -> bool {
        match self {
            Self::Wharf(_) | Self::WharfSync(_) | Self::Old(_) => true,
            Self::Wasmcloud3(_)
            | Self::Draft(_)
            | Self::Wasmcloud(_)
            | Self::Spin3(_)
            | Self::Spin2(_) => false,
        }
    }

    /// What says which topics it wants, where the interface has that.
    pub(super) fn configures(&self) -> Option<&old::Pre> {
        if let Self::Old(pre) = self { Some(pre) } else { None }
    }
}

/// A message as a guest is handed it.
pub(super) struct Mail {
    pub(super) topic: String,
    pub(super) message: crate::Message,
    pub(super) attempt: u32,
    pub(super) position: Option<String>,
    pub(super) time: Option<SystemTime>,
}

impl Mail {
    pub(super) fn of(delivery: &Delivery) -> Self {
        Self {
            topic: delivery.topic.clone(),
            message: delivery.message.clone(),
            attempt: delivery.attempt,
            position: delivery.position.as_ref().map(ToString::to_string),
            time: delivery.time,
        }
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
    let (binding, exported) = (binding.to_owned(), exported.clone());
    // A component that has no place now did not fail at the message.
    let permit = loop {
        match guest.admit().await {
            Ok(permit) => break permit,
            Err(_full) => tokio::time::sleep(PAUSE).await,
        }
    };
    let called = engine::once_admitted(guest, permit, move |store| {
        Box::pin(hand(store, exported, binding, mails))
    });
    let failed = |why: String| vec![Outcome::failed(why); count];
    match called.await {
        Ok(said) if said.len() == count => said,
        Ok(said) => {
            let given = said.len();
            failed(format!("the component said what became of {given} of {count} messages"))
        }
        Err(trap) => failed(describe(&trap)),
    }
}

type Instance = wasmtime::Store<Ctx>;

async fn hand(
    store: &mut Instance,
    exported: Exported,
    binding: String,
    mails: Vec<Mail>,
) -> wasmtime::Result<Vec<Outcome>> {
    match exported {
        Exported::Wharf(pre) => wharf::call(store, &pre, binding, mails).await,
        Exported::WharfSync(pre) => wharf::call_sync(store, &pre, binding, mails).await,
        Exported::Old(pre) => old::call(store, &pre, mails).await,
        one => {
            let mut said = Vec::with_capacity(mails.len());
            // Those that take one are given one.
            for mail in mails {
                said.push(hand_one(store, &one, binding.clone(), mail).await?);
            }
            Ok(said)
        }
    }
}

async fn hand_one(
    store: &mut Instance,
    exported: &Exported,
    binding: String,
    mail: Mail,
) -> wasmtime::Result<Outcome> {
    match exported {
        Exported::Wasmcloud3(pre) => wasmcloud::call3(store, pre, mail).await,
        Exported::Draft(pre) => draft::call(store, pre, binding, mail).await,
        Exported::Wasmcloud(pre) => wasmcloud::call(store, pre, mail).await,
        Exported::Spin3(pre) => spin::call3(store, pre, mail).await,
        Exported::Spin2(pre) => spin::call2(store, pre, mail).await,
        Exported::Wharf(_) | Exported::WharfSync(_) | Exported::Old(_) => {
            Ok(Outcome::failed("it takes several at once"))
        }
    }
}
