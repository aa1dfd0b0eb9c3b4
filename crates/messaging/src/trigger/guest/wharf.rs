//! `wharf:messaging/handler`: messages with all that is known of them, and a verdict for each.

use super::{Instance, Mail, Outcome};
use crate::host::wharf::bindings::wharf::messaging::types::{Delivery, Verdict};
use crate::host::wharf::{bindings, milliseconds, sync_bindings};
use engine::Ctx;
use std::time::Duration;
use wasmtime::component::Accessor;

pub(super) type Pre = bindings::ServicePre<Ctx>;
/// That of WASI 0.2.
pub(super) type SyncPre = sync_bindings::ServicePre<Ctx>;

pub(super) async fn call(
    store: &mut Instance,
    pre: &Pre,
    binding: String,
    mails: Vec<Mail>,
) -> wasmtime::Result<Vec<Outcome>> {
    let deliveries = mails.into_iter().map(Delivery::from).collect();
    let guest = pre.instantiate_async(&mut *store).await?;
    let handled = async |accessor: &Accessor<Ctx>| {
        let handler = guest.wharf_messaging_handler();
        let verdicts = handler.call_handle(accessor, binding, deliveries).await?;
        engine::rest(accessor).await;
        wasmtime::error::Ok(verdicts)
    };
    let verdicts = store.run_concurrent(handled).await??;
    Ok(verdicts.into_iter().map(Into::into).collect())
}

pub(super) async fn call_sync(
    store: &mut Instance,
    pre: &SyncPre,
    binding: String,
    mails: Vec<Mail>,
) -> wasmtime::Result<Vec<Outcome>> {
    let deliveries: Vec<Delivery> = mails.into_iter().map(Delivery::from).collect();
    let guest = pre.instantiate_async(&mut *store).await?;
    let handler = guest.wharf_messaging_handler();
    let verdicts = handler.call_handle(store, &binding, &deliveries).await?;
    Ok(verdicts.into_iter().map(Into::into).collect())
}

impl From<Mail> for Delivery {
    fn from(Mail { topic, message, attempt, position, time }: Mail) -> Self {
        Self { topic, message: message.into(), attempt, position, time: time.map(milliseconds) }
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ack => Self::Done,
            Verdict::Nack(delay) => Self::Failed {
                why: "the handler gave it back".to_owned(),
                after: delay.map(Duration::from_millis),
            },
            Verdict::DeadLetter(why) => Self::Refused(why),
        }
    }
}
