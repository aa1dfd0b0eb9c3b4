//! Which groups there are, and what each of them covers: what the server does not tell.
//!
//! It stands in one queue, a message for each group. The queue has one consumer at a time, and the
//! others wait for their turn: so whoever has the messages has a lock as well, which ends with its
//! channel. What it leaves unacknowledged is there for the next.
//!
//! There is always a mark among the messages, so that whoever is the one consumer learns of it.
//! Then it leaves a mark of its own at the end, and has read everything when that comes back.

use super::Binding;
use super::letter::{self, short};
use base::{Error, Result};
use connect::amqp::Connection;
use futures::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Consumer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The server remembers everything that happened in a queue since its first message came. One that
/// came back so often is written anew.
const OLD: u64 = 100;

/// What is known of a group.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    /// Its queue.
    pub(super) queue: String,
    /// The keys of its bindings.
    pub(super) keys: BTreeSet<String>,
}

/// The registry, while nobody else has it.
pub(super) struct Registry {
    connection: Connection,
    pub(super) channel: Channel,
    name: ShortString,
    /// With their numbers on the channel.
    entries: Vec<(u64, Entry)>,
    /// Those that came back so often that the server has much to remember behind them.
    old: Vec<u64>,
    /// Marks beside our own.
    marks: Vec<u64>,
    /// Taking no more leaves the turn to others.
    consumer: Consumer,
}

/// The arguments that all our queues have.
pub(super) fn arguments() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    // As good as none: newer servers forget a message after twenty times, unless they are told.
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(2_000_000_000));
    arguments
}

/// How queues are declared.
pub(super) const DURABLE: QueueDeclareOptions = QueueDeclareOptions {
    passive: false,
    durable: true,
    exclusive: false,
    auto_delete: false,
    nowait: false,
};

impl Registry {
    /// Waits for its turn, and reads what there is.
    pub(super) async fn lock(binding: &Binding) -> Result<Self> {
        let name = binding.names.groups();
        let opening = async |connection: Connection| {
            let name = binding.short(&name)?;
            let channel = connection.confirming().await?;
            let refused = |error| connection.refused(error);
            let mut arguments = arguments();
            arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
            let declared = channel.queue_declare(name.clone(), DURABLE, arguments).await;
            let queue = declared.map_err(refused)?;
            // Where somebody has the messages there is a mark among them.
            if queue.message_count() == 0 && queue.consumer_count() == 0 {
                send(&connection, &channel, &name, Vec::new(), "").await?;
            }
            let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
            let consumed = channel.basic_consume(name.clone(), tag, options, FieldTable::default());
            let consumer = consumed.await.map_err(refused)?;
            let mut registry = Self {
                connection: connection.clone(),
                channel,
                name,
                entries: Vec::new(),
                old: Vec::new(),
                marks: Vec::new(),
                consumer,
            };
            registry.read().await?;
            Ok(registry)
        };
        binding.server.call(opening).await.map_err(|error| error.context("reading of the groups"))
    }

    async fn read(&mut self) -> Result<()> {
        let own = format!("{:016x}", fastrand::u64(..));
        let mut is_marked = false;
        loop {
            let next = self.consumer.next().await;
            let gone = || Error::unavailable("the server ended it");
            let delivery =
                next.ok_or_else(gone)?.map_err(|error| self.connection.refused(error))?;
            if !is_marked {
                // Now it is our turn.
                is_marked = true;
                let (connection, channel) = (&self.connection, &self.channel);
                send(connection, channel, &self.name, Vec::new(), &own).await?;
            }
            let number = delivery.delivery_tag;
            let id = delivery.properties.message_id().as_ref();
            if id.is_some_and(|id| id.as_str() == own) {
                return Ok(());
            }
            if letter::returns(&delivery.properties) >= OLD {
                self.old.push(number);
            }
            match serde_json::from_slice(&delivery.data) {
                Ok(entry) => self.entries.push((number, entry)),
                Err(_no_entry) => self.marks.push(number),
            }
        }
    }

    /// What is known of a queue: more than once, where somebody ended in the middle.
    pub(super) fn of<'a>(&'a self, queue: &'a str) -> impl Iterator<Item = &'a (u64, Entry)> {
        self.entries.iter().filter(move |(_, entry)| entry.queue == queue)
    }

    /// All queues of groups.
    pub(super) fn queues(&self) -> BTreeSet<String> {
        self.entries.iter().map(|(_, entry)| entry.queue.clone()).collect()
    }

    /// Writes down what holds for a group from now on, beside what was known before.
    pub(super) async fn add(&self, binding: &Binding, entry: &Entry) -> Result<()> {
        let data = serde_json::to_vec(entry);
        let data = data.map_err(|error| Error::internal("a group").with_source(error))?;
        let (connection, channel) = (&self.connection, &self.channel);
        let adding = async |_| send(connection, channel, &self.name, data, "").await;
        binding.server.call(adding).await
    }

    /// Forgets these, and leaves the turn to others.
    pub(super) async fn leave(self, binding: &Binding, mut done: Vec<u64>) -> Result<()> {
        for (number, entry) in &self.entries {
            if self.old.contains(number) && !done.contains(number) {
                self.add(binding, entry).await?;
                done.push(*number);
            }
        }
        let (connection, channel) = (&self.connection, &self.channel);
        let leaving = async |_| {
            for number in done.iter().chain(&self.marks) {
                let acked = channel.basic_ack(*number, BasicAckOptions::default()).await;
                acked.map_err(|error| connection.refused(error))?;
            }
            let closed = channel.close(200, "done".into()).await;
            closed.map_err(|error| connection.refused(error))
        };
        binding.server.call(leaving).await
    }
}

/// Puts a message into the queue.
async fn send(
    connection: &Connection,
    channel: &Channel,
    to: &ShortString,
    data: Vec<u8>,
    id: &str,
) -> Result<()> {
    let id = short(id).unwrap_or_default();
    let properties = BasicProperties::default().with_delivery_mode(2).with_message_id(id);
    let (exchange, options) = (ShortString::default(), BasicPublishOptions::default());
    let sent = channel.basic_publish(exchange, to.clone(), options, &data, properties).await;
    let confirmed = match sent {
        Ok(confirm) => confirm.await,
        Err(error) => Err(error),
    };
    match confirmed.map_err(|error| connection.refused(error))? {
        Confirmation::Ack(_) => Ok(()),
        _ => Err(Error::unavailable("the server did not take what is known of the groups")),
    }
}
