//! A subscription without end: one that is taken up again when it is lost.

use super::rules::Rules;
use crate::{Broker, Delivery, Subscriber, Subscription};
use base::{Error, Kind, Result};
use engine::retry;
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};

/// The messages of a subscription.
pub(super) struct Feed {
    broker: Arc<dyn Broker>,
    binding: Arc<str>,
    subscription: Subscription,
    subscriber: Option<Box<dyn Subscriber>>,
    failures: u32,
    /// Nothing is asked of the broker before.
    pause: Option<Instant>,
}

impl Feed {
    /// Subscribes.
    ///
    /// # Errors
    /// When the broker cannot do this at all. One that is away, or that refuses something which
    /// somebody may allow later, is asked again by [`next`](Self::next).
    pub(super) async fn open(
        broker: Arc<dyn Broker>,
        binding: &str,
        rules: &Rules,
    ) -> Result<Self> {
        let (binding, subscription) = (Arc::from(binding), rules.subscription.clone());
        let (subscriber, failures, pause) = (None, 0, None);
        let mut feed = Self { broker, binding, subscription, subscriber, failures, pause };
        match feed.broker.subscribe(&feed.subscription).await {
            Ok(subscriber) => feed.subscriber = Some(subscriber),
            Err(error) if matches!(error.kind(), Kind::Unsupported | Kind::Invalid) => {
                return Err(error.context(format!("binding `{}`", feed.binding)));
            }
            Err(error) => feed.failed(&error),
        }
        Ok(feed)
    }

    /// Waits for the next message. May be dropped and called again; nothing is lost.
    pub(super) async fn next(&mut self) -> Delivery {
        loop {
            if let Some(until) = self.pause {
                sleep_until(until).await;
                self.pause = None;
            }
            let Some(subscriber) = &self.subscriber else {
                match self.broker.subscribe(&self.subscription).await {
                    Ok(subscriber) => {
                        self.subscriber = Some(subscriber);
                        tracing::info!(binding = %self.binding, "subscribed to the broker again");
                    }
                    Err(error) => self.failed(&error),
                }
                continue;
            };
            match subscriber.next().await {
                Ok(Some(delivery)) => {
                    self.failures = 0;
                    return delivery;
                }
                Ok(None) => {
                    self.subscriber = None;
                    self.failed(&Error::unavailable("the broker ended the subscription"));
                }
                Err(error) => {
                    if !error.kind().is_temporary() {
                        self.subscriber = None;
                    }
                    self.failed(&error);
                }
            }
        }
    }

    /// Takes no more messages.
    pub(super) async fn close(&self) {
        if let Some(subscriber) = &self.subscriber {
            subscriber.close().await;
        }
    }

    fn failed(&mut self, error: &Error) {
        self.failures = self.failures.saturating_add(1);
        self.pause = Some(Instant::now() + retry::pause(self.failures));
        tracing::warn!(binding = %self.binding, %error, "the subscription failed");
    }
}
