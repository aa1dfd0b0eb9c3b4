//! A subscriber, and the messages that it was handed.

use super::desk::{Desk, Standing, group_of};
use crate::{Broker as _, Delivery, Position, Settle, Subscriber, Subscription, Verdict};
use async_trait::async_trait;
use base::{Error, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A part in a group.
pub(super) struct Taker {
    /// Before the desk, which ends with the last of them.
    inner: Box<dyn Subscriber>,
    desk: Arc<Desk>,
    closed: watch::Sender<bool>,
}

impl Taker {
    pub(super) async fn new(desk: Arc<Desk>, subscription: &Subscription) -> Result<Self> {
        // What comes was found to be for it.
        let subscription = group_of(subscription.clone())?;
        let inner = desk.shared.engine.subscribe(&subscription).await?;
        Ok(Self { inner, desk, closed: watch::Sender::new(false) })
    }
}

#[async_trait]
impl Subscriber for Taker {
    async fn next(&self) -> Result<Option<Delivery>> {
        let mut standing = self.desk.shared.standing();
        let mut closed = self.closed.subscribe();
        loop {
            if *closed.borrow_and_update() {
                return Ok(None);
            }
            let now = standing.borrow_and_update().clone();
            let next = async {
                match now {
                    Standing::Here => self.inner.next().await,
                    // What is here is with the other host too.
                    Standing::By => std::future::pending().await,
                    Standing::Away(why) => Err(why.again()),
                    Standing::Forgotten => Err(Error::not_found("the group was forgotten")
                        .with_hint("subscribe again, if that was not meant")),
                }
            };
            tokio::select! {
                biased;
                _ = standing.changed() => {}
                _ = closed.changed() => {}
                next = next => return Ok(next?.map(|delivery| self.handed(delivery))),
            }
        }
    }

    async fn close(&self) {
        self.closed.send_replace(true);
        self.inner.close().await;
    }
}

impl Taker {
    fn handed(&self, mut delivery: Delivery) -> Delivery {
        // Where it is in this host, and when it came, mean nothing to others.
        delivery.time = None;
        if let Some(place) = delivery.position.take() {
            let desk = Arc::clone(&self.desk);
            delivery.settle = Box::new(Out { inner: delivery.settle, desk, place });
        }
        delivery
    }
}

/// A message that is with a subscriber.
struct Out {
    inner: Box<dyn Settle>,
    desk: Arc<Desk>,
    place: Position,
}

#[async_trait]
impl Settle for Out {
    async fn settle(self: Box<Self>, verdict: Verdict) -> Result<()> {
        let Self { inner, desk, place } = *self;
        let shared = &desk.shared;
        if verdict != Verdict::Ack {
            return inner.settle(verdict).await;
        }
        match shared.way(&place).await {
            Ok(Some((connection, number))) => {
                // Only whoever had it last is heard by the server.
                inner.settle(verdict).await?;
                shared.done(&place);
                connection.acknowledge(number)
            }
            Ok(None) => {
                inner.settle(verdict).await?;
                shared.done(&place);
                Ok(())
            }
            Err(error) => {
                inner.settle(Verdict::Nack(Duration::ZERO)).await?;
                Err(error)
            }
        }
    }

    async fn extend(&self) -> Result<()> {
        self.inner.extend().await
    }
}
