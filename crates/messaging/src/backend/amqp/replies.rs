//! Requests, and the replies to them, which go past the exchange: to a queue that each host has for
//! as long as its connection lasts.

use super::names::{self, Names};
use super::{Binding, LONGEST, letter};
use crate::local::Inboxes;
use crate::{Message, RequestOptions};
use base::{Error, Result};
use bytes::Bytes;
use connect::amqp::Connection;
use futures::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Confirmation, Consumer};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Where this host waits for replies, once somebody asks for any.
#[derive(Default)]
pub(super) struct Replies(Mutex<Option<Listening>>);

struct Listening {
    connection: Connection,
    inboxes: Arc<Inboxes>,
    /// Hands out what comes.
    _task: JoinSet<()>,
}

/// Hands a reply to whoever waits for it. Returns once the server has it.
pub(super) async fn reply(binding: &Binding, topic: &str, message: &Message) -> Result<()> {
    let no_inbox = || Error::invalid("this is no topic for replies");
    let (host, number) = names::inbox(topic).ok_or_else(no_inbox)?;
    let (properties, payload) = letter::pack(&binding.names, message);
    let properties = properties.with_correlation_id(binding.short(number)?);
    let queue = binding.short(&binding.names.replies(host))?;
    binding.send(ShortString::default(), queue, properties, &payload).await
}

/// Publishes a message and waits for replies to it.
pub(super) async fn request(
    binding: &Binding,
    topic: &str,
    message: Message,
    options: &RequestOptions,
) -> Result<Vec<Message>> {
    let end = Instant::now() + options.timeout.min(LONGEST);
    let (connection, inboxes) = listen(binding).await?;
    let mut inbox = inboxes.open(options.most);
    let message = Message { reply_to: Some(inbox.topic()), ..message };
    if !ask(binding, topic, &message).await? {
        return Err(Error::timeout("nobody listens to the topic"));
    }
    tokio::select! {
        biased;
        replies = inbox.collect(end, options) => replies,
        () = connection.lost() => {
            Err(Error::unavailable("the connection was lost on which replies come"))
        }
    }
}

/// Publishes a message, and tells whether there is a queue that it goes to.
async fn ask(binding: &Binding, topic: &str, message: &Message) -> Result<bool> {
    let (properties, payload) = letter::pack(&binding.names, message);
    let (exchange, key) = (binding.exchange()?, binding.short(&names::key(topic))?);
    let asking = async |connection: Connection| {
        // On the channel of all it would not be known whose message the server gives back.
        let channel = connection.confirming().await?;
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let sent = channel.basic_publish(exchange, key, options, &payload, properties).await;
        let confirmed = match sent {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        confirmed.map_err(|error| binding.gone(connection.refused(error)))
    };
    match binding.server.call(asking).await? {
        Confirmation::Ack(returned) => Ok(returned.is_none()),
        _ => Err(binding.refusal()),
    }
}

/// Where replies come, which is made with the first request on a connection.
async fn listen(binding: &Binding) -> Result<(Connection, Arc<Inboxes>)> {
    let mut listening = binding.replies.0.lock().await;
    if let Some(Listening { connection, inboxes, .. }) = &*listening
        && !connection.is_lost()
    {
        return Ok((connection.clone(), Arc::clone(inboxes)));
    }
    let inboxes = Inboxes::new();
    let host = inboxes.name();
    let opening = async |connection: Connection| {
        let channel = connection.channel().await?;
        let refused = |error| connection.refused(error);
        let name = binding.short(&binding.names.replies(&host))?;
        let options =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
        let declared = channel.queue_declare(name.clone(), options, FieldTable::default()).await;
        declared.map_err(refused)?;
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let tag = ShortString::default();
        let consumed = channel.basic_consume(name, tag, options, FieldTable::default()).await;
        Ok((connection.clone(), consumed.map_err(refused)?))
    };
    let (connection, consumer) = binding.server.listen(opening).await?;
    let mut task = JoinSet::new();
    let names = Arc::clone(&binding.names);
    task.spawn(deliver(names, host, consumer, Arc::clone(&inboxes)));
    let made =
        Listening { connection: connection.clone(), inboxes: Arc::clone(&inboxes), _task: task };
    *listening = Some(made);
    Ok((connection, inboxes))
}

/// Hands replies to those that wait for them.
async fn deliver(names: Arc<Names>, host: String, mut consumer: Consumer, inboxes: Arc<Inboxes>) {
    while let Some(Ok(reply)) = consumer.next().await {
        let properties = &reply.properties;
        let empty = FieldTable::default();
        let table = properties.headers().as_ref().unwrap_or(&empty);
        let number = properties.correlation_id().as_ref().map_or("", |number| number.as_str());
        let message = letter::message(&names, properties, table, Bytes::from(reply.data));
        // An error says that another program replied, and not to what.
        drop(inboxes.deliver(&names::inbox_of(&host, number), message));
    }
}
