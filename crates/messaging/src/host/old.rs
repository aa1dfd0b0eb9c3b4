//! `wasi:messaging@0.2.0-draft` before its interfaces were renamed: `producer` with lists,
//! `consumer`, `messaging-guest`. Messages are records, and errors are handles.

mod configuration;
mod record;

use super::operations::{Client, Host, Operations, Result};
use super::taking::{Batch, Taken, Taking};
use super::{Messaging, State};
use crate::{Filter, PublishOptions, Subscription, Verdict};
use base::Error;
use bindings::wasi::messaging::{consumer, messaging_types as types, producer};
use engine::{Failure, Has, View, Wanted};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use types::{GuestConfiguration, Message};
use wasmtime::component::{Linker, Resource};

pub(crate) use configuration::Configuration;

pub(crate) mod bindings {
    //! Generated from the interface.
    wasmtime::component::bindgen!({
        path: "wit/draft-old",
        world: "wasi:messaging/messaging",
        imports: {
            "wasi:messaging/messaging-types": trappable,
            default: async | trappable,
        },
        exports: { default: async },
        with: {
            "wasi:messaging/messaging-types.client": crate::host::Client,
            "wasi:messaging/messaging-types.error": crate::host::Trace,
        },
    });
}

/// The interface that tells this text from the newest one, which has the same name and version.
const TYPES: &str = "wasi:messaging/messaging-types@0.2.0-draft";

/// So many messages are taken at once. Of those that were taken, what is not completed goes back
/// with the instance.
const MOST: usize = 16;

/// An error in words: the resource `error`.
pub struct Trace(pub(crate) String);

/// What an instance keeps for this draft.
#[derive(Default)]
pub(super) struct Kept {
    /// What it takes from, by binding and channel: calls name both anew each time.
    taking: HashMap<(String, String), Arc<Taking>>,
    /// What the last error was.
    last: String,
}

/// Whether a component was built with this text.
pub(super) fn is_meant(wanted: Wanted<'_>) -> bool {
    matches!(wanted, Wanted::By(imports) if imports.wants(TYPES))
}

/// Adds the draft to the linker of a host of your own, instead of the newest text: its `producer`
/// has the same name.
///
/// # Errors
/// If the linker has one of the interfaces already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Messaging>,
) -> wasmtime::Result<()> {
    link_all(linker, view, Wanted::All)
}

/// Adds it for a component that was built with it.
pub(super) fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Messaging>,
    wanted: Wanted<'_>,
) -> wasmtime::Result<()> {
    if is_meant(wanted) {
        link_all(linker, view, wanted)
    } else {
        link_consumer(linker, view, wanted)
    }
}

fn link_all<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Messaging>,
    wanted: Wanted<'_>,
) -> wasmtime::Result<()> {
    wanted.add(linker, TYPES, |instance| {
        types::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })?;
    wanted.add(linker, "wasi:messaging/producer@0.2.0-draft", |instance| {
        producer::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })?;
    link_consumer(linker, view, wanted)
}

fn link_consumer<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_, Messaging>,
    wanted: Wanted<'_>,
) -> wasmtime::Result<()> {
    wanted.add(linker, "wasi:messaging/consumer@0.2.0-draft", |instance| {
        consumer::add_to_linker_instance::<_, Has<Messaging>>(instance, view)
    })
}

/// What the generated functions return.
type Answer<T> = wasmtime::Result<std::result::Result<T, Resource<Trace>>>;

fn answer<T>(host: &mut Host<'_>, outcome: Result<T>) -> Answer<T> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(Failure::Trap(trap)) => Err(trap),
        Err(Failure::Error(error)) => {
            host.state.old.last = error.words();
            let trace = Trace(host.state.old.last.clone());
            Ok(Err(host.table.push(trace)?))
        }
    }
}

impl types::Host for Host<'_> {}

impl types::HostClient for Host<'_> {
    fn connect(&mut self, name: String) -> Answer<Resource<Client>> {
        let client = Client::named(self, &name).map_err(Failure::from);
        let client = client.and_then(|client| Ok(self.table.push(client)?));
        answer(self, client)
    }

    fn drop(&mut self, client: Resource<Client>) -> wasmtime::Result<()> {
        self.table.delete(client)?;
        Ok(())
    }
}

impl types::HostError for Host<'_> {
    fn trace(&mut self) -> wasmtime::Result<String> {
        Ok(self.state.old.last.clone())
    }

    fn drop(&mut self, error: Resource<Trace>) -> wasmtime::Result<()> {
        self.table.delete(error)?;
        Ok(())
    }
}

/// What a client leads to, which is given away with each call.
fn operations(host: &mut Host<'_>, client: Resource<Client>) -> Result<Operations> {
    let client = host.table.delete(client)?;
    Ok(client.operations(host.calls())?)
}

impl producer::Host for Host<'_> {
    async fn send(
        &mut self,
        client: Resource<Client>,
        channel: String,
        messages: Vec<Message>,
    ) -> Answer<()> {
        let sent = send(self, client, &channel, messages).await;
        answer(self, sent)
    }
}

async fn send(
    host: &mut Host<'_>,
    client: Resource<Client>,
    channel: &str,
    messages: Vec<Message>,
) -> Result<()> {
    let operations = operations(host, client)?;
    let messages = messages.into_iter().map(|message| (channel.to_owned(), record::read(message)));
    let outcomes = operations.publish_many(messages.collect(), &PublishOptions::default()).await?;
    let count = outcomes.len();
    for (nth, outcome) in outcomes.into_iter().enumerate() {
        outcome.map_err(|error| match count {
            1 => error,
            _ => error.context(format!("message {} of {count}", nth + 1)),
        })?;
    }
    Ok(())
}

impl consumer::Host for Host<'_> {
    async fn subscribe_try_receive(
        &mut self,
        client: Resource<Client>,
        channel: String,
        milliseconds: u32,
    ) -> Answer<Option<Vec<Message>>> {
        let wait = Duration::from_millis(milliseconds.into());
        let received = receive(self, client, channel, wait).await;
        let some = received.map(|messages| (!messages.is_empty()).then_some(messages));
        answer(self, some)
    }

    async fn subscribe_receive(
        &mut self,
        client: Resource<Client>,
        channel: String,
    ) -> Answer<Vec<Message>> {
        // As long as a call may take.
        let received = receive(self, client, channel, Duration::MAX).await;
        let none = || Error::timeout("no message came in time").into();
        let some = received.and_then(|messages| match messages.is_empty() {
            true => Err(none()),
            false => Ok(messages),
        });
        answer(self, some)
    }

    async fn update_guest_configuration(&mut self, gc: GuestConfiguration) -> Answer<()> {
        let GuestConfiguration { channels, extensions } = gc;
        let extensions = extensions.unwrap_or_default();
        let component = self.calls().component();
        let configuration = Configuration::read(&channels, &extensions, component);
        let done =
            configuration.and_then(|configuration| self.state.granted.configure(configuration));
        answer(self, done.map_err(Failure::from))
    }

    async fn complete_message(&mut self, message: Message) -> Answer<()> {
        let done = settle(self, &message, Verdict::Ack).await;
        answer(self, done)
    }

    async fn abandon_message(&mut self, message: Message) -> Answer<()> {
        let done = settle(self, &message, Verdict::Nack(Duration::ZERO)).await;
        answer(self, done)
    }
}

async fn receive(
    host: &mut Host<'_>,
    client: Resource<Client>,
    channel: String,
    wait: Duration,
) -> Result<Vec<Message>> {
    let taking = taking(host, client, channel).await?;
    let Batch { taken, .. } = taking.receive(MOST, wait).await?;
    let record = |Taken { token, message, .. }| record::write(message, Some(token));
    Ok(taken.into_iter().map(record).collect())
}

/// What the instance takes from a channel by.
async fn taking(
    host: &mut Host<'_>,
    client: Resource<Client>,
    channel: String,
) -> Result<Arc<Taking>> {
    let operations = operations(host, client)?;
    let key = (operations.name().to_owned(), channel);
    if let Some(taking) = host.state.old.taking.get(&key) {
        return Ok(Arc::clone(taking));
    }
    let plain = Subscription::new(vec![Filter::parse(&key.1)?]);
    let configuration = host.state.granted.configuration().unwrap_or_default();
    let configured = configuration.apply(&plain);
    // The group of a trigger covers other topics, so each channel has one of its own.
    let group = configured.group.as_deref().unwrap_or(host.calls().component());
    let group = format!("{group}/{}", key.1);
    let subscription = Subscription { topics: plain.topics, ..configured }.of_group(group);
    let State { held, tokens, .. } = &*host.state;
    let (held, tokens) = (held.clone(), tokens.clone());
    let taking = Arc::new(Taking::open(operations, &subscription, &held, &tokens).await?);
    host.state.old.taking.insert(key, Arc::clone(&taking));
    Ok(taking)
}

async fn settle(host: &mut Host<'_>, message: &Message, verdict: Verdict) -> Result<()> {
    let token = record::token(message)?;
    let taking = host.state.old.taking.values().find(|taking| taking.has(token)).map(Arc::clone);
    let taking = taking.ok_or_else(|| {
        Error::conflict("this message is not out")
            .with_hint("it was settled, or handed out again after its deadline")
    })?;
    Ok(taking.settle(token, verdict).await?)
}

/// Messages as the component's handler takes them.
pub(crate) fn handed(messages: Vec<crate::Message>) -> Vec<Message> {
    messages.into_iter().map(|message| record::write(message, None)).collect()
}
