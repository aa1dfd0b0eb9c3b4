//! `wasi:messaging/incoming-handler`: one message, which is done with or failed.

use super::{Instance, Mail, Outcome};
use crate::host::draft::bindings::{MessagingRequestReplyPre, wasi::messaging::types::Error};
use crate::host::{Letter, Messaging};
use engine::Ctx;

pub(super) type Pre = MessagingRequestReplyPre<Ctx>;

pub(super) async fn call(
    store: &mut Instance,
    pre: &Pre,
    binding: String,
    Mail { topic, message, .. }: Mail,
) -> wasmtime::Result<Outcome> {
    let letter = {
        let view = store.data_mut().view::<Messaging>();
        let letter = Letter::handed(message, topic, binding, &view)?;
        view.table.push(letter)?
    };
    let guest = pre.instantiate_async(&mut *store).await?;
    let said = guest.wasi_messaging_incoming_handler().call_handle(store, letter).await?;
    let why = |error| match error {
        Error::Timeout => "a call of its own took too long".to_owned(),
        Error::Connection(why) | Error::PermissionDenied(why) | Error::Other(why) => why,
    };
    Ok(said.map_err(why).into())
}
