//! `wasmcloud:messaging/handler`: one message, and since 0.3.0 whether it is to come again.

use super::{Instance, Mail, Outcome};
use crate::host::{Content, Messaging, wasmcloud, wasmcloud3};
use base::Error;
use engine::{Ctx, View};
use wasmtime::component::Accessor;

pub(super) type Pre = wasmcloud::bindings::MessagingPre<Ctx>;
pub(super) type Pre3 = wasmcloud3::bindings::HandlerServicePre<Ctx>;

pub(super) async fn call(
    store: &mut Instance,
    pre: &Pre,
    Mail { topic, message, .. }: Mail,
) -> wasmtime::Result<Outcome> {
    use wasmcloud::bindings::wasmcloud::messaging::types::BrokerMessage;
    let (body, reply_to) = (message.data.to_vec(), message.reply_to);
    let message = BrokerMessage { subject: topic, body, reply_to };
    let guest = pre.instantiate_async(&mut *store).await?;
    let said = guest.wasmcloud_messaging_handler().call_handle_message(store, &message).await?;
    Ok(said.into())
}

pub(super) async fn call3(
    store: &mut Instance,
    pre: &Pre3,
    Mail { topic, message, .. }: Mail,
) -> wasmtime::Result<Outcome> {
    use wasmcloud3::bindings::wasmcloud::messaging::types::{BrokerMessage, HandleMessageError};
    let held = {
        let view: View<'_, Messaging> = store.data_mut().view();
        view.state.held().clone()
    };
    let body = Content::stream(&mut *store, message.data, &held)?;
    let body = body.map_err(|error: Error| wasmtime::Error::new(error))?;
    let message = BrokerMessage { subject: topic, body, reply_to: message.reply_to };
    let guest = pre.instantiate_async(&mut *store).await?;
    let handled = async |accessor: &Accessor<Ctx>| {
        let handler = guest.wasmcloud_messaging_handler();
        let said = handler.call_handle_message(accessor, message).await?;
        engine::rest(accessor).await;
        wasmtime::error::Ok(said)
    };
    let said = store.run_concurrent(handled).await??;
    Ok(match said {
        Ok(()) => Outcome::Done,
        Err(HandleMessageError::Retry) => Outcome::failed("the handler asked for it once more"),
        Err(HandleMessageError::Reject) => Outcome::Refused("the handler rejected it".to_owned()),
        Err(HandleMessageError::Other(why)) => Outcome::Refused(why),
    })
}
