//! Messages over MQTT 5: topics are those of the server, and a group is a session that it keeps.

mod desk;
mod group;
mod held;
mod letter;
mod link;
mod names;
mod notes;
mod replies;
mod settings;
mod taker;

use crate::{
    Broker, Checked, Message, Offer, PublishOptions, Published, RequestOptions, Subscriber,
    Subscription, is_inbox,
};
use async_trait::async_trait;
use base::{Backend, Error, Place, Result};
use connect::mqtt::{Connection, Publish};
use connect::tls::Trust;
use link::Link;
use std::sync::Arc;
use tokio::time::Instant;

pub(super) use settings::BEST;
pub use settings::Mqtt;

/// So many messages of a batch are on their way under one timeout.
const BATCH: usize = 64;

impl Backend for Mqtt {
    type Contract = dyn Broker;
    const NAME: &'static str = "mqtt";
    const SCHEMES: &'static [&'static str] = &["mqtt", "mqtts"];
    const EXAMPLE: &'static str = "mqtt://127.0.0.1:1883";

    fn check(&self) -> Result<(), String> {
        self.link(Trust::default(), None).map(drop).map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Broker>> {
        let (link, offer) = self.open_link(&place).await?;
        Ok(Arc::new(Checked::new(Topics { link: Arc::new(link), offer })))
    }
}

/// The broker behind `mqtt:`.
pub struct Topics {
    link: Arc<Link>,
    offer: Offer,
}

impl Topics {
    /// A message as it is sent. `None`: it is a reply that nobody waits for.
    fn packed(&self, topic: &str, message: Message) -> Result<Option<Publish>> {
        let Link { names, replies, .. } = &*self.link;
        if !is_inbox(topic) {
            return Ok(Some(letter::pack(names, replies, names.topic(topic), message)));
        }
        let Some((to, correlation)) = replies.place(names, topic)? else { return Ok(None) };
        let reply = letter::pack(names, replies, String::new(), message);
        Ok(Some(replies::addressed(reply, to, correlation)))
    }

    /// Publishes these in their order, as far as they are messages.
    async fn publish_together(&self, packed: &[Result<Option<Publish>>]) -> Vec<Result<Published>> {
        let exchange = async |connection: Connection| {
            let each = packed.iter().map(|packed| {
                let publish = packed.as_ref().ok().cloned().flatten();
                let connection = &connection;
                async move {
                    match publish {
                        Some(publish) => connection.publish(publish).await.map(drop),
                        None => Ok(()),
                    }
                }
            });
            Ok(futures::future::join_all(each).await)
        };
        let outcomes = match self.link.call(exchange).await {
            Ok(outcomes) => outcomes,
            Err(error) => packed.iter().map(|_| Err(error.again())).collect(),
        };
        let of_each = |(packed, outcome): (&Result<_>, Result<()>)| match packed {
            Ok(_) => outcome.map(|()| Published::default()),
            Err(error) => Err(error.again()),
        };
        packed.iter().zip(outcomes).map(of_each).collect()
    }
}

#[async_trait]
impl Broker for Topics {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn publish(
        &self,
        topic: &str,
        message: Message,
        _options: &PublishOptions,
    ) -> Result<Published> {
        if let Some(publish) = self.packed(topic, message)? {
            self.link
                .call(async |connection: Connection| connection.publish(publish).await)
                .await?;
        }
        Ok(Published::default())
    }

    async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        _options: &PublishOptions,
    ) -> Vec<Result<Published>> {
        let packed = |(topic, message): (String, Message)| self.packed(&topic, message);
        let packed: Vec<_> = messages.into_iter().map(packed).collect();
        let mut outcomes = Vec::with_capacity(packed.len());
        for batch in packed.chunks(BATCH) {
            outcomes.extend(self.publish_together(batch).await);
        }
        outcomes
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>> {
        let desk = match &subscription.group {
            Some(name) => group::join(&self.link, name, &subscription.topics).await?,
            None => group::alone(&self.link, &subscription.topics).await?,
        };
        Ok(Box::new(taker::Taker::new(desk, subscription).await?))
    }

    async fn request(
        &self,
        topic: &str,
        message: Message,
        options: &RequestOptions,
    ) -> Result<Vec<Message>> {
        let end = Instant::now() + options.timeout;
        let mut inbox = self.link.inboxes.open(options.most);
        let message = Message { reply_to: Some(inbox.topic()), ..message };
        let Some(publish) = self.packed(topic, message)? else { return Ok(Vec::new()) };
        let publish = async |connection: Connection| connection.publish(publish).await;
        if !self.link.call(publish).await? {
            return Err(Error::timeout("nobody listens to the topic"));
        }
        inbox.collect(end, options).await
    }

    async fn forget(&self, name: &str) -> Result<()> {
        group::forget(&self.link, &self.link.names.session(name)).await
    }

    async fn destroy(&self) -> Result<()> {
        self.link.caught_up().await?;
        for session in self.link.notes.sessions() {
            group::forget(&self.link, &session).await?;
        }
        Ok(())
    }
}
