//! The contract in front of the rules.

use super::inbox::Inboxes;
use super::log::Log;
use super::state::{Retention, State};
use super::taker::Taker;
use crate::{
    Broker, Message, Offer, PublishOptions, Published, RequestOptions, Subscriber, Subscription,
    is_inbox,
};
use async_trait::async_trait;
use base::{Clock, Error, Result, incarnation, lock};
use std::sync::{Arc, Mutex};
use tokio::time::{Instant, timeout_at};

/// A broker inside this process.
pub(crate) struct Local<L: Log> {
    offer: Offer,
    shared: Arc<Shared<L>>,
    inboxes: Arc<Inboxes>,
}

/// What the broker and its subscribers share.
pub(super) struct Shared<L> {
    pub(super) state: Mutex<State<L>>,
}

impl<L: Log> Local<L> {
    pub(crate) fn new(offer: Offer, log: L, clock: Clock, retention: Retention) -> Self {
        let state = Mutex::new(State::new(log, clock, retention, incarnation()));
        Self { offer, shared: Arc::new(Shared { state }), inboxes: Inboxes::new() }
    }
}

#[async_trait]
impl<L: Log> Broker for Local<L> {
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
            self.inboxes.deliver(topic, message)?;
            return Ok(Published::default());
        }
        let mut state = lock(&self.shared.state);
        let published = state.publish(topic, message, options)?;
        state.wake(topic);
        Ok(published)
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>> {
        Ok(Box::new(Taker::new(&self.shared, subscription)?))
    }

    async fn request(
        &self,
        topic: &str,
        message: Message,
        options: &RequestOptions,
    ) -> Result<Vec<Message>> {
        let end = Instant::now() + options.timeout;
        let silence = |why: &'static str| Err(Error::timeout(why));
        if !lock(&self.shared.state).is_heard(topic) {
            return silence("nobody listens to the topic");
        }
        let mut inbox = self.inboxes.open();
        let message = Message { reply_to: Some(inbox.topic()), ..message };
        self.publish(topic, message, &PublishOptions::default()).await?;
        let mut replies = Vec::new();
        while replies.len() < options.replies
            && let Ok(Some(reply)) = timeout_at(end, inbox.replies.recv()).await
        {
            replies.push(reply);
        }
        if replies.is_empty() { silence("nobody replied in time") } else { Ok(replies) }
    }

    async fn forget(&self, group: &str) -> Result<()> {
        lock(&self.shared.state).forget(group);
        Ok(())
    }
}
