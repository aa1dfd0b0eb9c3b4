//! Messages in Redis: all of a binding are in one stream, and groups are rows beside it that
//! scripts keep, each step as a whole.

mod binding;
mod ears;
mod group;
mod letter;
mod out;
mod publisher;
mod pump;
mod scripts;
mod settings;
mod sweep;

use crate::backend::taker::Taker;
use crate::local::asker;
use crate::{
    Broker, Checked, Message, Offer, PublishOptions, Published, RequestOptions, Subscriber,
    Subscription, is_inbox,
};
use async_trait::async_trait;
use base::{Backend, Clock, Error, Place, Result};
use binding::Binding;
use connect::tls::Trust;
use ears::Ears;
use letter::Parcel;
use out::Shared;
use publisher::{BATCH, BATCH_BYTES, Joined, Way};
use pump::Pump;
use redis::cmd;
use scripts::{DESTROY, FORGET};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) use settings::BEST;
pub use settings::Redis;

/// The most time between two notes that a subscriber is there.
const NOTED: Duration = Duration::from_secs(3600);

impl Backend for Redis {
    type Contract = dyn Broker;
    const NAME: &'static str = "redis";
    const SCHEMES: &'static [&'static str] = &["redis", "rediss"];
    const EXAMPLE: &'static str = "redis://127.0.0.1:6379";

    fn check(&self) -> Result<(), String> {
        self.connection(Trust::default()).map(drop).map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Broker>> {
        self.broker(place, Clock::System).await
    }
}

impl Redis {
    /// Opens the binding, with what is put off and kept in the time of `clock`: the server's own
    /// where that is the system's.
    ///
    /// # Errors
    /// Where the server is away, or not what is needed.
    pub async fn broker(&self, place: Place, clock: Clock) -> Result<Arc<dyn Broker>> {
        let (server, offer) = self.probe(&place).await?;
        let binding = Arc::new(Binding::open(server, self.tag(&place), clock).await?);
        let retention = self.retention();
        let ears = Ears::new();
        let (words, said) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        // What is given back when all else is gone is given back yet.
        tasks.spawn(out::speak(Arc::clone(&binding), said));
        tasks.detach_all();
        tasks.spawn(Arc::clone(&ears).run(Arc::clone(&binding)));
        tasks.spawn(sweep::run(Arc::clone(&binding), retention));
        let acks = out::joined(&binding);
        let shared = Arc::new(Shared { binding, ears, acks, words, _tasks: tasks });
        let publisher = Joined::new(&shared.binding, retention);
        let noted = (retention.groups / 16).min(NOTED);
        Ok(Arc::new(Checked::new(Streams { shared, offer, publisher, noted })))
    }
}

/// The broker behind `redis:`.
pub struct Streams {
    shared: Arc<Shared>,
    offer: Offer,
    publisher: Joined,
    /// How often it is noted that a group has a subscriber.
    noted: Duration,
}

impl Streams {
    fn binding(&self) -> &Binding {
        &self.shared.binding
    }

    /// Hands a reply to the broker that waits for it.
    async fn reply(&self, topic: &str, message: &Message) -> Result<Published> {
        let no_inbox = || Error::invalid("this is no topic for replies");
        let (broker, _) = asker(topic).ok_or_else(no_inbox)?;
        let mut tell = cmd("PUBLISH");
        tell.arg(self.binding().replies(&format!("{broker:x}")))
            .arg(letter::pack_reply(topic, message));
        self.binding().server.query::<()>(&tell).await?;
        Ok(Published::default())
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
            return self.reply(topic, &message).await;
        }
        let way = Way { beyond: options.beyond, ..Way::default() };
        self.publisher.one(Parcel::new(topic.to_owned(), message, options.delay), way).await
    }

    async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        options: &PublishOptions,
    ) -> Vec<Result<Published>> {
        let way = Way { beyond: options.beyond, ..Way::default() };
        let mut outcomes = Vec::with_capacity(messages.len());
        let (mut waiting, mut size) = (Vec::new(), 0);
        for (topic, message) in messages {
            let is_reply = is_inbox(&topic);
            if is_reply || waiting.len() >= BATCH || size >= BATCH_BYTES {
                outcomes.extend(self.publisher.many(&waiting, way).await);
                (waiting, size) = (Vec::new(), 0);
            }
            if is_reply {
                outcomes.push(self.reply(&topic, &message).await);
                continue;
            }
            let parcel = Parcel::new(topic, message, options.delay);
            size += parcel.size();
            waiting.push(parcel);
        }
        outcomes.extend(self.publisher.many(&waiting, way).await);
        outcomes
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>> {
        let joined = group::join(self.binding(), subscription).await?;
        let noted = match subscription.group {
            Some(_) => self.noted,
            None => group::INACTIVE / 16,
        };
        let pump = Pump::new(&self.shared, joined, subscription.clone(), noted);
        Ok(Box::new(Taker::new(|asked| pump.run(asked))))
    }

    async fn request(
        &self,
        topic: &str,
        message: Message,
        options: &RequestOptions,
    ) -> Result<Vec<Message>> {
        let ears = &self.shared.ears;
        let end = Instant::now() + binding::bounded(options.timeout);
        let patience = self.binding().server.timeout().min(options.timeout);
        let over = ears.listening(patience).await?;
        let mut inbox = ears.inboxes.open(options.most);
        let message = Message { reply_to: Some(inbox.topic()), ..message };
        let way = Way { heard: true, ..Way::default() };
        self.publisher.one(Parcel::new(topic.to_owned(), message, None), way).await?;
        tokio::select! {
            replies = inbox.collect(end, options) => replies,
            () = over => {
                Err(Error::unavailable("the connection was lost on which replies come"))
            }
        }
    }

    async fn forget(&self, group: &str) -> Result<()> {
        self.binding().call(&FORGET, |call| call.arg(group)).await.map(drop)
    }

    async fn destroy(&self) -> Result<()> {
        self.binding().is_to_go();
        self.binding().call(&DESTROY, |call| call).await.map(drop)
    }
}
