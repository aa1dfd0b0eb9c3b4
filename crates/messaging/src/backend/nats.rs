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

use super::taker::Taker;
use crate::{
    Broker, Checked, Message, Offer, PublishOptions, Published, RequestOptions, Subscriber,
    Subscription, is_inbox,
};
use async_trait::async_trait;
use base::{Backend, Error, Kind, Place, Result};
use connect::nats::{Answer, Connection, Parcel, Stored, is_unheard};
use connect::tls::Trust;
use pump::Pump;
use std::sync::Arc;
use stream::{DUPLICATE, LONGEST, PAUSE, Stream};
use sweep::Room;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub(super) use settings::BEST;
pub use settings::Nats;

/// So many messages of a batch are on their way at once.
const BATCH: usize = 64;

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
    async fn publish_now(&self, topic: &str, message: Message) -> Result<Published> {
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
        let stored = match stream.server.call(exchange).await {
            Err(full) if full.kind() == Kind::Exhausted => {
                let behind = self.make_room().await?;
                stream.server.call(exchange).await.map_err(|full| hinted(full, behind))
            }
            stored => stored,
        };
        stored.map(|stored| self.published(stored))
    }
}

impl Streams {
    /// Publishes to the stream in this order. As long as none behind it was stored, what took no
    /// effect is sent again.
    async fn publish_together(&self, parcels: Vec<Parcel>) -> Vec<Result<Published>> {
        let stream = &self.stream;
        let end = Instant::now() + stream.server.timeout() * 3 / 4;
        let (mut rest, mut outcomes) = (parcels.as_slice(), Vec::with_capacity(parcels.len()));
        let mut has_made_room = self.room.is_none();
        while !rest.is_empty() {
            let parcels = rest.to_vec();
            let exchange = async |connection: Connection| {
                let answers = connection.publish_each(parcels).await?;
                let refused = |refusal| stream.refused(&connection, refusal);
                let stored = |answer: Result<Answer<Stored>>| answer?.map_err(refused);
                Ok(answers.into_iter().map(stored).collect::<Vec<Result<Stored>>>())
            };
            let mut said = match stream.server.call(exchange).await {
                Ok(said) => said,
                Err(error) => rest.iter().map(|_| Err(error.again())).collect(),
            };
            let is_full = |error: &Error| error.kind() == Kind::Exhausted;
            let may_wait = stream.is_replicated && Instant::now() < end;
            let is_again = |outcome: &Result<Stored>| match outcome {
                Err(error) if is_full(error) => !has_made_room,
                Err(error) => may_wait && is_unheard(error),
                Ok(_) => false,
            };
            let again = said.iter().rev().take_while(|outcome| is_again(outcome)).count();
            let done = said.len() - again;
            if said.iter().skip(done).any(|outcome| outcome.as_ref().is_err_and(is_full)) {
                has_made_room = true;
                // What keeps it from that is told by the next try.
                drop(self.make_room().await);
            } else if again > 0 {
                sleep(PAUSE).await;
            }
            said.truncate(done);
            outcomes.extend(said.into_iter().map(|stored| stored.map(|it| self.published(it))));
            rest = rest.get(done..).unwrap_or_default();
        }
        outcomes
    }

    fn published(&self, Stored { sequence, duplicate }: Stored) -> Published {
        Published { position: Some(self.stream.position(sequence)), duplicate }
    }

    /// Removes what every group is done with. Returns the consumer that is behind all others.
    async fn make_room(&self) -> Result<Option<String>> {
        match &self.room {
            Some(room) => room.make(&self.stream).await,
            None => Ok(None),
        }
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
        _options: &PublishOptions,
    ) -> Result<Published> {
        if is_inbox(topic) {
            replies::reply(&self.stream, topic, message).await?;
            return Ok(Published::default());
        }
        self.publish_now(topic, message).await
    }

    async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        options: &PublishOptions,
    ) -> Vec<Result<Published>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut waiting = Vec::new();
        for (topic, message) in messages {
            if is_inbox(&topic) || waiting.len() >= BATCH {
                outcomes.extend(self.publish_together(std::mem::take(&mut waiting)).await);
            }
            if is_inbox(&topic) {
                outcomes.push(self.publish(&topic, message, options).await);
            } else {
                let (headers, payload) = replies::sealed(&self.stream, message);
                waiting.push((self.stream.subject(&topic), headers, payload));
            }
        }
        outcomes.extend(self.publish_together(waiting).await);
        outcomes
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>> {
        let deadline = subscription.deadline.min(LONGEST);
        let subscription = Subscription { deadline, ..subscription.clone() };
        let joined = group::join(&self.stream, &subscription).await?;
        let pump = Pump::new(Arc::clone(&self.stream), joined, subscription);
        Ok(Box::new(Taker::new(|asked| pump.run(asked))))
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
