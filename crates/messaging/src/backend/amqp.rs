//! Messages in RabbitMQ, by AMQP 0-9-1: a binding is an exchange for topics, and a group a quorum
//! queue that is bound to it.

mod group;
mod handed;
mod letter;
mod names;
mod pump;
mod registry;
mod replies;
mod settings;
mod wait;

use super::taker::Taker;
use crate::{
    Broker, Checked, Message, Offer, PublishOptions, Published, RequestOptions, Subscriber,
    Subscription, is_inbox,
};
use async_trait::async_trait;
use base::{Backend, Error, Kind, Place, Result};
use connect::amqp::{Amqp as Server, Connection};
use connect::tls::Trust;
use futures::future::join_all;
use lapin::BasicProperties;
use lapin::types::{FieldTable, ShortString};
use names::Names;
use pump::Pump;
use replies::Replies;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use settings::Amqp;
pub(super) use settings::BEST;

/// So many messages of a batch are on their way at once.
const BATCH: usize = 64;
/// Longer than anybody waits for anything, and short enough to be added to every time.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);

impl Backend for Amqp {
    type Contract = dyn Broker;
    const NAME: &'static str = "amqp";
    const SCHEMES: &'static [&'static str] = &["amqp", "amqps"];
    const EXAMPLE: &'static str = "amqp://127.0.0.1:5672";

    fn check(&self) -> Result<(), String> {
        self.connection(Trust::default()).map(drop).map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Broker>> {
        let (binding, offer) = self.open_exchange(&place).await?;
        Ok(Arc::new(Checked::new(Exchange { binding: Arc::new(binding), offer })))
    }
}

/// The broker behind `amqp:`.
pub struct Exchange {
    binding: Arc<Binding>,
    offer: Offer,
}

/// A binding that is there.
struct Binding {
    server: Server,
    names: Arc<Names>,
    /// The arguments of the queues of groups.
    limits: FieldTable,
    /// Whether a queue may be full.
    has_limits: bool,
    /// The largest content that the server is known to take.
    largest: AtomicUsize,
    replies: Replies,
    /// The queues of subscriptions without a group, of this host.
    alone: Mutex<BTreeSet<String>>,
}

impl Binding {
    /// A name or a key as it is sent.
    fn short(&self, text: &str) -> Result<ShortString> {
        letter::short(text).ok_or_else(|| {
            let server = self.server.server();
            Error::invalid(format!("a topic has more than 255 bytes as {server} needs it"))
        })
    }

    fn exchange(&self) -> Result<ShortString> {
        self.short(&self.names.exchange)
    }

    fn group_arguments(&self) -> FieldTable {
        self.limits.clone()
    }

    /// Publishes, and waits until the server has it.
    async fn send(
        &self,
        exchange: ShortString,
        key: ShortString,
        properties: BasicProperties,
        payload: &[u8],
    ) -> Result<()> {
        self.fits(payload)?;
        let sending = async |connection: Connection| {
            connection.publish(exchange, key, properties, payload).await
        };
        match self.server.call(sending).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.refusal()),
            Err(error) if error.kind() == Kind::Invalid => {
                // The server ends the channel of all because of one.
                self.learn(&error.to_string());
                self.fits(payload)?;
                Err(Error::unavailable("another message ended the channel").with_source(error))
            }
            Err(error) => Err(self.gone(error)),
        }
    }

    /// Refuses what the server would refuse, once it has said what that is.
    fn fits(&self, payload: &[u8]) -> Result<()> {
        let most = self.largest.load(Relaxed);
        match payload.len() > most {
            true => Err(Error::too_large(format!("the server takes at most {most} bytes"))
                .with_hint("give it a larger `max_message_size`")),
            false => Ok(()),
        }
    }

    /// Takes the limit from `message size 5 is larger than configured max size 4`.
    fn learn(&self, said: &str) {
        let limit = said.rsplit_once("max size ").map(|(_, limit)| limit);
        let digits = limit.and_then(|limit| limit.split(|it: char| !it.is_ascii_digit()).next());
        if let Some(limit) = digits.and_then(|digits| digits.parse().ok()) {
            self.largest.fetch_min(limit, Relaxed);
        }
    }

    /// The error of a message that a queue did not take. The server does not say which, nor why.
    fn refusal(&self) -> Error {
        match self.has_limits {
            true => Error::exhausted("a group has no room for the message")
                .with_hint("subscribe to it or forget it, or give more room"),
            false => Error::unavailable("a group's queue did not take the message"),
        }
    }

    /// What it means that there is no exchange.
    fn gone(&self, error: Error) -> Error {
        match error.kind() {
            Kind::NotFound => {
                let exchange = &self.names.exchange;
                Error::unavailable(format!("the exchange `{exchange}` is gone"))
                    .with_source(error)
                    .with_hint("restart what uses it, if that was not meant")
            }
            _ => error,
        }
    }

    async fn publish(&self, topic: &str, message: &Message) -> Result<Published> {
        if is_inbox(topic) {
            replies::reply(self, topic, message).await?;
        } else {
            let (properties, payload) = letter::pack(&self.names, message);
            let (exchange, key) = (self.exchange()?, self.short(&names::key(topic))?);
            self.send(exchange, key, properties, &payload).await?;
        }
        Ok(Published::default())
    }
}

#[async_trait]
impl Broker for Exchange {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn publish(
        &self,
        topic: &str,
        message: Message,
        _options: &PublishOptions,
    ) -> Result<Published> {
        self.binding.publish(topic, &message).await
    }

    async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        _options: &PublishOptions,
    ) -> Vec<Result<Published>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        for batch in messages.chunks(BATCH) {
            // Each is on its way when it was polled, so they go in their order.
            let sending = batch.iter().map(|(topic, message)| self.binding.publish(topic, message));
            outcomes.extend(join_all(sending).await);
        }
        outcomes
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>> {
        let queue = group::join(&self.binding, subscription).await?;
        let deadline = subscription.deadline.min(LONGEST);
        let subscription = Subscription { deadline, ..subscription.clone() };
        let pump = Pump::new(Arc::clone(&self.binding), queue, subscription);
        Ok(Box::new(Taker::new(|asked| pump.run(asked))))
    }

    async fn request(
        &self,
        topic: &str,
        message: Message,
        options: &RequestOptions,
    ) -> Result<Vec<Message>> {
        replies::request(&self.binding, topic, message, options).await
    }

    async fn forget(&self, group: &str) -> Result<()> {
        group::forget(&self.binding, group).await
    }

    async fn destroy(&self) -> Result<()> {
        group::destroy(&self.binding).await
    }
}
