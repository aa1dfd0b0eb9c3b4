//! A broker in memory that says when so many messages were settled.

use async_trait::async_trait;
use base::Result;
use messaging::{
    Broker, Delivery, Message, Offer, PublishOptions, Published, Settle, Subscriber, Subscription,
    Verdict,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use tokio::sync::Notify;

/// What is still to be settled.
#[derive(Default)]
pub(crate) struct Left {
    count: AtomicU32,
    none: Notify,
}

impl Left {
    /// So many are to be settled from now on.
    pub(crate) fn set(&self, count: u32) {
        self.count.store(count, SeqCst);
    }

    /// Waits until nothing is left.
    pub(crate) async fn wait(&self) {
        self.none.notified().await;
    }

    fn one_less(&self) {
        if self.count.fetch_sub(1, SeqCst) == 1 {
            self.none.notify_one();
        }
    }
}

/// Counts what its subscribers settle.
pub(crate) struct Counting {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) left: Arc<Left>,
}

#[async_trait]
impl Broker for Counting {
    fn offer(&self) -> &Offer {
        self.broker.offer()
    }

    async fn publish(
        &self,
        topic: &str,
        message: Message,
        options: &PublishOptions,
    ) -> Result<Published> {
        self.broker.publish(topic, message, options).await
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>> {
        let subscriber = self.broker.subscribe(subscription).await?;
        Ok(Box::new(Part { subscriber, left: Arc::clone(&self.left) }))
    }

    async fn forget(&self, group: &str) -> Result<()> {
        self.broker.forget(group).await
    }
}

struct Part {
    subscriber: Box<dyn Subscriber>,
    left: Arc<Left>,
}

#[async_trait]
impl Subscriber for Part {
    async fn next(&self) -> Result<Option<Delivery>> {
        let Some(delivery) = self.subscriber.next().await? else { return Ok(None) };
        let (inner, left) = (delivery.settle, Arc::clone(&self.left));
        Ok(Some(Delivery { settle: Box::new(Counted { inner, left }), ..delivery }))
    }

    async fn close(&self) {
        self.subscriber.close().await;
    }
}

struct Counted {
    inner: Box<dyn Settle>,
    left: Arc<Left>,
}

#[async_trait]
impl Settle for Counted {
    async fn settle(self: Box<Self>, verdict: Verdict) -> Result<()> {
        let settled = self.inner.settle(verdict).await;
        self.left.one_less();
        settled
    }

    async fn extend(&self) -> Result<()> {
        self.inner.extend().await
    }
}
