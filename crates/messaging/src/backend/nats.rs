//! Messages in NATS: all of a binding are in one stream of JetStream, and a group is a durable
//! consumer of it.

mod group;
mod handed;
mod letter;
mod names;
mod pump;
mod replies;
mod settings;
mod stream;
mod sweep;
mod taker;

use crate::{
    Broker, Checked, Message, Offer, PublishOptions, Published, RequestOptions, Subscriber,
    Subscription, is_inbox,
};
use async_nats::jetstream::ErrorCode;
use async_trait::async_trait;
use base::{Backend, Error, Kind, Place, Result};
use connect::nats::{Connection, Stored, is_unheard};
use connect::tls::Trust;
use futures::StreamExt as _;
use std::sync::Arc;
use stream::{PAUSE, Stream};
use sweep::Room;
use taker::Taker;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub(super) use settings::BEST;
pub use settings::Nats;

/// So many messages of a batch are on their way at once.
const BATCH: usize = 64;
/// What a server of 2.10 or newer says of a message whose duplicate is on its way.
const DUPLICATE: ErrorCode = ErrorCode(10158);

impl Backend for Nats {
    type Contract = dyn Broker;
    const NAME: &'static str = "nats";
    const SCHEMES: &'static [&'static str] = &["nats", "tls"];
    const EXAMPLE: &'static str = "nats://127.0.0.1:4222";

    fn check(&self) -> Result<(), String> {
        self.connection(Trust::default(), None).map(drop).map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Broker>> {
        let (stream, offer) = self.open_stream(&place).await?;
        let stream = Arc::new(stream);
        let mut tasks = JoinSet::new();
        let room = self.age().map(|age| {
            tasks.spawn(sweep::run(Arc::clone(&stream), age));
            Room::default()
        });
        Ok(Arc::new(Checked::new(Streams { stream, offer, room, _tasks: tasks })))
    }
}

/// The broker behind `nats:`.
pub struct Streams {
    stream: Arc<Stream>,
    offer: Offer,
    /// None: what others keep there is not removed.
    room: Option<Room>,
    /// Ends with the broker.
    _tasks: JoinSet<()>,
}

impl Streams {
    /// Publishes to the stream.
    async fn publish_now(
        &self,
        topic: &str,
        message: Message,
        _options: &PublishOptions,
    ) -> Result<Published> {
        let stream = &self.stream;
        let subject = stream.subject(topic);
        let (headers, payload) = replies::sealed(stream, message);
        let end = Instant::now() + stream.server.timeout() * 3 / 4;
        let exchange = async |connection: Connection| loop {
            let (subject, headers) = (subject.clone(), headers.clone());
            match connection.publish(subject, headers, payload.clone()).await {
                Ok(Ok(stored)) => return Ok(stored),
                // What became of the other will be known soon.
                Ok(Err(refusal)) if refusal.error_code() == DUPLICATE && Instant::now() < end => {}
                Ok(Err(refusal)) => return Err(stream.refused(&connection, refusal)),
                // Between two leaders nobody hears it, so it is not sent twice.
                Err(error)
                    if is_unheard(&error) && stream.is_replicated && Instant::now() < end => {}
                Err(error) => return Err(error),
            }
            sleep(PAUSE).await;
        };
        let stored = match (stream.server.call(exchange).await, &self.room) {
            (Err(full), Some(room)) if full.kind() == Kind::Exhausted => {
                let behind = room.make(stream).await?;
                stream.server.call(exchange).await.map_err(|full| hinted(full, behind))?
            }
            (stored, _) => stored?,
        };
        let Stored { sequence, duplicate } = stored;
        Ok(Published { position: Some(stream.position(sequence)), duplicate })
    }
}

fn hinted(error: Error, behind: Option<String>) -> Error {
    match behind {
        Some(group) if error.kind() == Kind::Exhausted => error.with_hint(format!(
            "group `{group}` is the one behind: subscribe to it or forget it, or give more room"
        )),
        _ => error,
    }
}

#[async_trait]
impl Broker for Streams {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn publish(
        &self,
        topic: &str,
        message: Message,
        options: &PublishOptions,
    ) -> Result<Published> {
        if is_inbox(topic) {
            replies::reply(&self.stream, topic, message).await?;
            return Ok(Published::default());
        }
        self.publish_now(topic, message, options).await
    }

    async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        options: &PublishOptions,
    ) -> Vec<Result<Published>> {
        // They are sent in their order, and answered in any.
        let publishing = messages.into_iter().map(async |(topic, message)| {
            self.publish(&topic, message, options).await
        });
        futures::stream::iter(publishing).buffered(BATCH).collect().await
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>> {
        let joined = group::join(&self.stream, subscription).await?;
        Ok(Box::new(Taker::new(&self.stream, joined, subscription)))
    }

    async fn request(
        &self,
        topic: &str,
        message: Message,
        options: &RequestOptions,
    ) -> Result<Vec<Message>> {
        replies::request(self, topic, message, options).await
    }

    async fn forget(&self, group: &str) -> Result<()> {
        let consumer = names::consumer(group);
        self.stream.remove_consumer(&consumer).await?;
        self.stream.handed.forget(&consumer);
        Ok(())
    }

    async fn destroy(&self) -> Result<()> {
        self.stream.destroy().await
    }
}
