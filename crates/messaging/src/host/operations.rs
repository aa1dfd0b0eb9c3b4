//! What a guest can ask of a broker, once for every draft.

use super::Messaging;
use crate::{Broker, Message, PublishOptions, Published, RequestOptions, Subscriber, Subscription};
use base::{Error, Result as Answer};
use engine::{Calls, Capability as _, Failure, View};
use std::sync::Arc;
use std::time::Duration;

pub(super) type Host<'a> = View<'a, Messaging>;
pub(super) type Result<T> = std::result::Result<T, Failure>;

/// A way to a broker: the resource `client` of the drafts that have one.
pub struct Client {
    broker: Arc<dyn Broker>,
    /// The binding, as errors name it.
    name: Arc<str>,
    is_open: bool,
}

impl Client {
    /// The way to the broker that the host has under this name.
    pub(super) fn named(host: &Host<'_>, name: &str) -> Answer<Self> {
        let broker = Arc::clone(host.state.granted.brokers.open(name)?);
        let name = if name.is_empty() { base::DEFAULT } else { name };
        Ok(Self::to(broker, name))
    }

    /// The way to `broker`, which is called `name` in errors.
    pub(super) fn to(broker: Arc<dyn Broker>, name: &str) -> Self {
        Self { broker, name: name.into(), is_open: true }
    }

    /// The way to the one broker of an interface that knows no names.
    pub(super) fn unnamed(host: &Host<'_>) -> Answer<Self> {
        let none = || Error::denied("this component is granted no broker");
        let name = host.state.granted.unnamed.as_deref().ok_or_else(none)?;
        Self::named(host, name)
    }

    /// Nothing goes this way any more.
    pub(super) fn disconnect(&mut self) -> Answer<()> {
        match std::mem::replace(&mut self.is_open, false) {
            true => Ok(()),
            false => Err(Error::invalid("it was disconnected before")),
        }
    }

    /// What calls go through. It borrows nothing of the instance.
    pub(super) fn operations(&self, calls: &Calls) -> Answer<Operations> {
        if !self.is_open {
            return Err(Error::invalid("the client was disconnected"));
        }
        let (broker, name) = (Arc::clone(&self.broker), Arc::clone(&self.name));
        Ok(Operations { broker, name, calls: calls.clone() })
    }
}

/// The operations of one client.
pub(super) struct Operations {
    broker: Arc<dyn Broker>,
    name: Arc<str>,
    calls: Calls,
}

impl Operations {
    /// The binding.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The most bytes in a message.
    pub(super) fn max_message(&self) -> usize {
        self.broker.offer().max_message
    }

    /// How long one call may take.
    pub(super) fn timeout(&self) -> Duration {
        self.calls.timeout()
    }

    pub(super) async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Answer<T>>,
    ) -> Answer<T> {
        let outcome = self.calls.run(Messaging::NAME, operation, call).await;
        outcome.map_err(|error| error.of_binding(&self.name))
    }

    pub(super) async fn publish(&self, topic: &str, message: Message) -> Answer<()> {
        self.publish_with(topic, message, &PublishOptions::default()).await.map(drop)
    }

    pub(super) async fn publish_with(
        &self,
        topic: &str,
        message: Message,
        options: &PublishOptions,
    ) -> Answer<Published> {
        self.call("publish", self.broker.publish(topic, message, options)).await
    }

    /// Publishes messages in their order. The outer error is of the call as a whole: then nobody
    /// knows which of them the broker has.
    pub(super) async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        options: &PublishOptions,
    ) -> Answer<Vec<Answer<Published>>> {
        let all = async { Ok(self.broker.publish_many(messages, options).await) };
        let outcomes = self.call("publish-many", all).await?;
        let named = |outcome: Answer<_>| outcome.map_err(|error| error.of_binding(&self.name));
        Ok(outcomes.into_iter().map(named).collect())
    }

    pub(super) async fn request(
        &self,
        topic: &str,
        message: Message,
        options: &RequestOptions,
    ) -> Answer<Vec<Message>> {
        self.call("request", self.broker.request(topic, message, options)).await
    }

    pub(super) async fn subscribe(
        &self,
        subscription: &Subscription,
    ) -> Answer<Box<dyn Subscriber>> {
        self.call("subscribe", self.broker.subscribe(subscription)).await
    }

    pub(super) async fn forget(&self, group: &str) -> Answer<()> {
        self.call("forget", self.broker.forget(group)).await
    }
}
