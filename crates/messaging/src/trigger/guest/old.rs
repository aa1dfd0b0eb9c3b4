//! `wasi:messaging/messaging-guest`: says what it wants, and takes messages of which all are done
//! with or none.

use super::{Instance, Mail, Outcome};
use crate::host::Trace;
use crate::host::old::bindings::MessagingPre;
use crate::host::old::bindings::wasi::messaging::messaging_types::GuestConfiguration;
use crate::host::old::{Configuration, handed};
use base::{Error, Result};
use engine::{Ctx, Guest, describe};
use std::sync::Arc;
use wasmtime::component::Resource;

pub(in super::super) type Pre = MessagingPre<Ctx>;

pub(super) async fn call(
    store: &mut Instance,
    pre: &Pre,
    mails: Vec<Mail>,
) -> wasmtime::Result<Vec<Outcome>> {
    let count = mails.len();
    let messages = handed(mails.into_iter().map(|mail| mail.message).collect());
    let guest = pre.instantiate_async(&mut *store).await?;
    let handler = guest.wasi_messaging_messaging_guest();
    let said = match handler.call_handler(&mut *store, &messages).await? {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::failed(words(store, error)?),
    };
    Ok(vec![said; count])
}

/// Asks a guest what it wants to be handed.
///
/// # Errors
/// Its own, or why what it says cannot be.
pub(in super::super) async fn configure(guest: &Arc<Guest>, pre: &Pre) -> Result<Configuration> {
    let pre = pre.clone();
    let asked = engine::once(guest, move |store| {
        Box::pin(async move {
            let guest = pre.instantiate_async(&mut *store).await?;
            let handler = guest.wasi_messaging_messaging_guest();
            match handler.call_configure(&mut *store).await? {
                Ok(configuration) => Ok(Ok(configuration)),
                Err(error) => Ok(Err(words(store, error)?)),
            }
        })
    });
    let context = |error: Error| error.context("what the component's `configure` says");
    let failed = |why: String| context(Error::unavailable(why));
    let asked = asked.await.map_err(|trap| failed(describe(&trap)))?;
    let GuestConfiguration { channels, extensions } = asked.map_err(failed)?;
    let extensions = extensions.unwrap_or_default();
    Configuration::read(&channels, &extensions, guest.name()).map_err(context)
}

/// What an error says that the guest was given by a call of its own.
fn words(store: &mut Instance, error: Resource<Trace>) -> wasmtime::Result<String> {
    let Trace(words) = store.data_mut().table().delete(error)?;
    Ok(words)
}
