//! The contract in front of the rules.

use super::inbox::Inboxes;
use super::kept::Kept;
use super::log::{Confirmed, Log};
use super::state::{Retention, State};
use super::taker::Taker;
use crate::{
    Broker, Message, Offer, PublishOptions, Published, RequestOptions, Subscriber, Subscription,
    is_inbox,
};
use async_trait::async_trait;
use base::{Clock, Error, Result, incarnation, lock};
use std::any::Any;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// A broker inside this process.
pub(crate) struct Local<L: Log> {
    offer: Offer,
    shared: Arc<Shared<L>>,
    inboxes: Arc<Inboxes>,
    /// What ends with the broker.
    keeper: Option<Box<dyn Any + Send + Sync>>,
}

/// What the broker and its subscribers share.
pub(crate) struct Shared<L> {
    pub(crate) state: Mutex<State<L>>,
}

impl<L: Log> Local<L> {
    pub(crate) fn new(offer: Offer, log: L, clock: Clock, retention: Retention) -> Self {
        let state = Mutex::new(State::new(log, clock, retention, incarnation()));
        let shared = Arc::new(Shared { state });
        Self { offer, shared, inboxes: Inboxes::new(), keeper: None }
    }

    /// A broker whose log is kept, with what was kept besides. `keep` makes what keeps it.
    ///
    /// # Errors
    /// Where a message cannot be read, and those of `keep`.
    pub(crate) fn restored(
        offer: Offer,
        log: L,
        (clock, retention, incarnation): (Clock, Retention, u64),
        kept: Kept,
        keep: impl FnOnce(&Arc<Shared<L>>) -> Result<Box<dyn Any + Send + Sync>>,
    ) -> Result<Self> {
        let mut state = State::new(log, clock, retention, incarnation);
        state.restore(kept)?;
        let shared = Arc::new(Shared { state: Mutex::new(state) });
        let keeper = Some(keep(&shared)?);
        Ok(Self { offer, shared, inboxes: Inboxes::new(), keeper })
    }

    /// What keeps it, where something does.
    pub(crate) fn keeper<T: 'static>(&self) -> Option<&T> {
        self.keeper.as_ref()?.downcast_ref()
    }

    /// Takes a message in, under the lock.
    fn take_in(
        &self,
        state: &mut State<L>,
        topic: &str,
        message: Message,
        options: &PublishOptions,
    ) -> Result<Published> {
        if is_inbox(topic) {
            self.inboxes.deliver(topic, message)?;
            return Ok(Published::default());
        }
        state.take_in(topic, message, options)
    }
}

impl<L: Log> Shared<L> {
    /// Publishes what came by another way than the contract and was found right. What is returned
    /// hears when it is as safe as it is promised.
    pub(crate) fn take_in(
        &self,
        topic: &str,
        message: Message,
        options: &PublishOptions,
    ) -> Result<Option<Confirmed>> {
        let mut state = lock(&self.state);
        state.take_in(topic, message, options)?;
        Ok(state.log.confirm())
    }
}

impl<L: Log> State<L> {
    fn take_in(
        &mut self,
        topic: &str,
        message: Message,
        options: &PublishOptions,
    ) -> Result<Published> {
        let published = self.publish(topic, message, options)?;
        // Where it has to be kept first, nobody sees it yet.
        self.wake(topic);
        Ok(published)
    }
}

/// Waits until what was taken in is as safe as it is promised.
async fn kept(confirmed: Option<Confirmed>) -> Result<()> {
    let Some(confirmed) = confirmed else { return Ok(()) };
    let ended = |_| Err(Error::unavailable("the broker was closed"));
    confirmed.await.unwrap_or_else(ended)
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
        let (published, confirmed) = {
            let mut state = lock(&self.shared.state);
            (self.take_in(&mut state, topic, message, options)?, state.log.confirm())
        };
        kept(confirmed).await.map(|()| published)
    }

    async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        options: &PublishOptions,
    ) -> Vec<Result<Published>> {
        let (outcomes, confirmed) = {
            let mut state = lock(&self.shared.state);
            let take_in = |(topic, message)| {
                self.take_in(&mut state, String::as_str(&topic), message, options)
            };
            let outcomes: Vec<_> = messages.into_iter().map(take_in).collect();
            (outcomes, state.log.confirm())
        };
        match kept(confirmed).await {
            Ok(()) => outcomes,
            Err(error) => outcomes
                .into_iter()
                .map(|outcome| outcome.and_then(|_| Err(error.again())))
                .collect(),
        }
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
        if !lock(&self.shared.state).is_heard(topic) {
            return Err(Error::timeout("nobody listens to the topic"));
        }
        let mut inbox = self.inboxes.open(options.most);
        let message = Message { reply_to: Some(inbox.topic()), ..message };
        self.publish(topic, message, &PublishOptions::default()).await?;
        inbox.collect(end, options).await
    }

    async fn forget(&self, group: &str) -> Result<()> {
        lock(&self.shared.state).forget(group);
        Ok(())
    }
}
