//! A broker in front of another: what is published through it are CloudEvents.

use super::{CONTENT_TYPE, Event, ID, Mode, SOURCE, SPECVERSION, Style, TIME, TYPE, VERSION};
use crate::{
    Broker, Message, Offer, PublishOptions, Published, RequestOptions, Subscriber, Subscription,
    is_inbox,
};
use async_trait::async_trait;
use base::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// Publishes events in one form. What is an event already, in whichever form, is held to the rules
/// and put into it; what is none becomes one. Replies and dead letters stay as they are.
pub struct Events {
    broker: Arc<dyn Broker>,
    mode: Mode,
    style: Style,
    /// The `source` of what becomes an event here.
    source: String,
}

impl Events {
    /// Puts it in front of `broker`. `source` is a URI reference.
    pub fn new(broker: Arc<dyn Broker>, mode: Mode, style: Style, source: String) -> Self {
        Self { broker, mode, style, source }
    }

    /// The event that is published instead of a message.
    fn event(&self, topic: &str, message: Message, options: &PublishOptions) -> Result<Message> {
        if is_inbox(topic) || options.beyond {
            return Ok(message);
        }
        if Event::find(&message)?.is_some() {
            return super::convert(message, self.mode, self.style);
        }
        let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let id = message.id.clone().unwrap_or_else(|| format!("{:032x}", fastrand::u128(..)));
        let said = [
            (SPECVERSION, VERSION.to_owned()),
            (ID, id),
            (SOURCE, self.source.clone()),
            (TYPE, topic.to_owned()),
            (TIME, now),
        ];
        let kind = message.content_type.clone().map(|kind| (CONTENT_TYPE, kind));
        let attributes = said.into_iter().chain(kind);
        let attributes: BTreeMap<_, _> =
            attributes.map(|(name, value)| (name.to_owned(), value)).collect();
        let data = (!message.data.is_empty()).then(|| message.data.clone());
        Event::new(attributes, data)?.into_message(message, self.mode, self.style)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "what is not forwarded loses a backend's own way")]
impl Broker for Events {
    fn offer(&self) -> &Offer {
        self.broker.offer()
    }

    async fn publish(
        &self,
        topic: &str,
        message: Message,
        options: &PublishOptions,
    ) -> Result<Published> {
        let event = self.event(topic, message, options)?;
        self.broker.publish(topic, event, options).await
    }

    async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        options: &PublishOptions,
    ) -> Vec<Result<Published>> {
        // What is wrong is left out, and has its own outcome in its place.
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut right = Vec::with_capacity(messages.len());
        for (topic, message) in messages {
            match self.event(&topic, message, options) {
                Ok(event) => {
                    outcomes.push(None);
                    right.push((topic, event));
                }
                Err(error) => outcomes.push(Some(Err(error))),
            }
        }
        let published = self.broker.publish_many(right, options).await;
        crate::checked::in_place(outcomes, published)
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>> {
        self.broker.subscribe(subscription).await
    }

    async fn request(
        &self,
        topic: &str,
        message: Message,
        options: &RequestOptions,
    ) -> Result<Vec<Message>> {
        let event = self.event(topic, message, &PublishOptions::default())?;
        self.broker.request(topic, event, options).await
    }

    async fn forget(&self, group: &str) -> Result<()> {
        self.broker.forget(group).await
    }

    async fn destroy(&self) -> Result<()> {
        self.broker.destroy().await
    }
}
