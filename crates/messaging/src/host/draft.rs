//! `wasi:messaging@0.2.0-draft`, the newest text: `producer`, `request-reply`, `incoming-handler`.

use super::letter::{Letter, Received, Waiting};
use super::operations::{Client, Host, Operations, Result};
use super::{Messaging, old, readable};
use crate::RequestOptions;
use base::Kind;
use bindings::wasi::messaging::{producer, request_reply, types};
use engine::{Ended, Failure, Has, View, Wanted};
use wasmtime::component::{Linker, Resource};

pub(crate) mod bindings {
    //! Generated from the interface.
    wasmtime::component::bindgen!({
        path: "wit/draft",
        world: "wasi:messaging/messaging-request-reply",
        imports: {
            "wasi:messaging/producer.send": async | trappable,
            "wasi:messaging/request-reply.request": async | trappable,
            "wasi:messaging/request-reply.reply": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: {
            "wasi:messaging/types.client": crate::host::Client,
            "wasi:messaging/types.message": crate::host::Letter,
            "wasi:messaging/request-reply.request-options": crate::host::Waiting,
        },
        trappable_error_type: { "wasi:messaging/types.error" => engine::Failure },
    });
}

/// Adds the draft to the linker of a host of your own.
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
    wanted.add(linker, "wasi:messaging/types@0.2.0-draft", |instance| {
        types::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })?;
    // The older text has one of the same name.
    if !old::is_meant(wanted) {
        wanted.add(linker, "wasi:messaging/producer@0.2.0-draft", |instance| {
            producer::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
        })?;
    }
    wanted.add(linker, "wasi:messaging/request-reply@0.2.0-draft", |instance| {
        request_reply::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })
}

/// A change of a message that has no way to fail but one: the host keeps no more.
fn kept<T>(outcome: base::Result<T>) -> wasmtime::Result<T> {
    outcome.map_err(|_full| Ended::Limit("hostcall-buffer").into())
}

impl types::Host for Host<'_> {
    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<types::Error> {
        let error = readable(failure)?;
        Ok(match error.kind() {
            Kind::Timeout => types::Error::Timeout,
            Kind::Unavailable => types::Error::Connection(error.words()),
            Kind::Denied => types::Error::PermissionDenied(error.words()),
            _ => types::Error::Other(error.words()),
        })
    }
}

impl types::HostClient for Host<'_> {
    fn connect(&mut self, name: String) -> Result<Resource<Client>> {
        let client = Client::named(self, &name)?;
        Ok(self.table.push(client)?)
    }

    fn disconnect(&mut self, client: Resource<Client>) -> Result<()> {
        Ok(self.table.get_mut(&client)?.disconnect()?)
    }

    fn drop(&mut self, client: Resource<Client>) -> wasmtime::Result<()> {
        self.table.delete(client)?;
        Ok(())
    }
}

impl types::HostMessage for Host<'_> {
    fn new(&mut self, data: Vec<u8>) -> wasmtime::Result<Resource<Letter>> {
        let letter = kept(Letter::new(data, &self.state.held))?;
        Ok(self.table.push(letter)?)
    }

    fn topic(&mut self, message: Resource<Letter>) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&message)?.topic().map(str::to_owned))
    }

    fn content_type(&mut self, message: Resource<Letter>) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&message)?.message().content_type.clone())
    }

    fn set_content_type(
        &mut self,
        message: Resource<Letter>,
        content_type: String,
    ) -> wasmtime::Result<()> {
        kept(self.table.get_mut(&message)?.set_content_type(content_type))
    }

    fn data(&mut self, message: Resource<Letter>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&message)?.message().data.to_vec())
    }

    fn set_data(&mut self, message: Resource<Letter>, data: Vec<u8>) -> wasmtime::Result<()> {
        kept(self.table.get_mut(&message)?.set_data(data))
    }

    fn metadata(
        &mut self,
        message: Resource<Letter>,
    ) -> wasmtime::Result<Option<Vec<(String, String)>>> {
        let headers = &self.table.get(&message)?.message().headers;
        Ok((!headers.is_empty()).then(|| headers.clone()))
    }

    fn add_metadata(
        &mut self,
        message: Resource<Letter>,
        key: String,
        value: String,
    ) -> wasmtime::Result<()> {
        kept(self.table.get_mut(&message)?.add_header(key, value))
    }

    fn set_metadata(
        &mut self,
        message: Resource<Letter>,
        meta: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        kept(self.table.get_mut(&message)?.set_headers(meta))
    }

    fn remove_metadata(&mut self, message: Resource<Letter>, key: String) -> wasmtime::Result<()> {
        self.table.get_mut(&message)?.remove_header(&key);
        Ok(())
    }

    fn drop(&mut self, message: Resource<Letter>) -> wasmtime::Result<()> {
        self.table.delete(message)?;
        Ok(())
    }
}

impl producer::Host for Host<'_> {
    async fn send(
        &mut self,
        client: Resource<Client>,
        topic: String,
        message: Resource<Letter>,
    ) -> Result<()> {
        let letter = self.table.delete(message)?;
        let operations = operations(self, &client)?;
        Ok(operations.publish(&topic, letter.into_message()).await?)
    }
}

fn operations(host: &Host<'_>, client: &Resource<Client>) -> Result<Operations> {
    Ok(host.table.get(client)?.operations(host.calls())?)
}

impl request_reply::Host for Host<'_> {
    async fn request(
        &mut self,
        client: Resource<Client>,
        topic: String,
        message: Resource<Letter>,
        options: Option<Resource<Waiting>>,
    ) -> Result<Vec<Resource<Letter>>> {
        let message = self.table.get(&message)?.to_send();
        let options = match options {
            Some(options) => self.table.delete(options)?.0,
            None => Waiting::default().0,
        };
        let options = RequestOptions { most: self.state.held.limit(), ..options };
        let operations = operations(self, &client)?;
        let replies = operations.request(&topic, message, &options).await?;
        let mut letters = Vec::with_capacity(replies.len());
        for reply in replies {
            let received = Received { topic: topic.clone(), binding: operations.name().to_owned() };
            letters.push(Letter::received(reply, received, &self.state.held)?);
        }
        // Handed over all or none, for nobody could drop those that were.
        letters.into_iter().map(|letter| Ok(self.table.push(letter)?)).collect()
    }

    async fn reply(&mut self, reply_to: Resource<Letter>, message: Resource<Letter>) -> Result<()> {
        let letter = self.table.delete(message)?;
        let asked = self.table.get(&reply_to)?;
        let asks = || base::Error::invalid("the message asks for no reply");
        let topic = asked.message().reply_to.clone().ok_or_else(asks)?;
        let binding = asked.binding().ok_or_else(asks)?.to_owned();
        let operations = Client::named(self, &binding)?.operations(self.calls())?;
        Ok(operations.publish(&topic, letter.into_message()).await?)
    }
}

impl request_reply::HostRequestOptions for Host<'_> {
    fn new(&mut self) -> wasmtime::Result<Resource<Waiting>> {
        Ok(self.table.push(Waiting::default())?)
    }

    fn set_timeout_ms(
        &mut self,
        options: Resource<Waiting>,
        timeout_ms: u32,
    ) -> wasmtime::Result<()> {
        self.table.get_mut(&options)?.set_timeout(timeout_ms);
        Ok(())
    }

    fn set_expected_replies(
        &mut self,
        options: Resource<Waiting>,
        expected_replies: u32,
    ) -> wasmtime::Result<()> {
        self.table.get_mut(&options)?.set_replies(expected_replies);
        Ok(())
    }

    fn drop(&mut self, options: Resource<Waiting>) -> wasmtime::Result<()> {
        self.table.delete(options)?;
        Ok(())
    }
}
