//! A subscriber inside this process.

use super::broker::Shared;
use super::log::Log;
use super::state::system_time;
use crate::{Delivery, Settle, Subscriber, Subscription, Verdict};
use async_trait::async_trait;
use base::{Error, Result, lock};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A part in a group.
pub(super) struct Taker<L: Log> {
    shared: Arc<Shared<L>>,
    group: u64,
    wake: Arc<Notify>,
    /// One for each message that may be with this subscriber.
    permits: Arc<Semaphore>,
    deadline: Duration,
}

impl<L: Log> Taker<L> {
    pub(super) fn new(shared: &Arc<Shared<L>>, subscription: &Subscription) -> Result<Self> {
        let (group, wake) = {
            let mut state = lock(&shared.state);
            let (id, group) = state.join(subscription)?;
            (id, Arc::clone(&group.wake))
        };
        let permits = Arc::new(Semaphore::new(subscription.prefetch.min(Semaphore::MAX_PERMITS)));
        let shared = Arc::clone(shared);
        Ok(Self { shared, group, wake, permits, deadline: subscription.deadline })
    }
}

#[async_trait]
impl<L: Log> Subscriber for Taker<L> {
    async fn next(&self) -> Result<Option<Delivery>> {
        // Only closing it closes the semaphore.
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return Ok(None) };
        loop {
            // Listening before it looks, so that nothing comes in between.
            let mut woken = std::pin::pin!(self.wake.notified());
            woken.as_mut().enable();
            if self.permits.is_closed() {
                // What it was woken for is somebody else's.
                self.wake.notify_one();
                return Ok(None);
            }
            let (taken, wait) = {
                let mut state = lock(&self.shared.state);
                let (taken, wait) = state.take(self.group, self.deadline)?;
                let position = taken.as_ref().map(|(taken, _)| state.position(taken.number));
                (taken.zip(position), wait)
            };
            if let Some(((taken, token), position)) = taken {
                let out = Out {
                    shared: Arc::clone(&self.shared),
                    group: self.group,
                    number: taken.number,
                    token,
                    deadline: self.deadline,
                    is_settled: false,
                    _permit: permit,
                };
                return Ok(Some(Delivery {
                    topic: taken.entry.topic.as_ref().to_owned(),
                    message: taken.entry.message.clone(),
                    attempt: taken.attempt,
                    position: Some(position),
                    time: Some(system_time(taken.entry.time)),
                    settle: Box::new(out),
                }));
            }
            match wait {
                // A timer may ring a little early by the clock of the log.
                Some(wait) => {
                    drop(timeout(wait.max(Duration::from_millis(1)), woken).await);
                }
                None => woken.await,
            }
        }
    }

    async fn close(&self) {
        self.permits.close();
        self.wake.notify_waiters();
    }
}

impl<L: Log> Drop for Taker<L> {
    fn drop(&mut self) {
        lock(&self.shared.state).leave(self.group);
    }
}

/// A message that is with a subscriber.
struct Out<L: Log> {
    shared: Arc<Shared<L>>,
    group: u64,
    number: u64,
    token: u64,
    deadline: Duration,
    is_settled: bool,
    _permit: OwnedSemaphorePermit,
}

#[async_trait]
impl<L: Log> Settle for Out<L> {
    async fn settle(mut self: Box<Self>, verdict: Verdict) -> Result<()> {
        self.is_settled = true;
        let mut state = lock(&self.shared.state);
        match verdict {
            Verdict::Ack => state.ack(self.group, self.number, self.token),
            Verdict::Nack(delay) => state.nack(self.group, self.number, self.token, delay),
        }
    }

    async fn extend(&self) -> Result<()> {
        lock(&self.shared.state).extend(self.group, self.number, self.token, self.deadline)
    }
}

impl<L: Log> Drop for Out<L> {
    /// Who says nothing gives it back.
    fn drop(&mut self) {
        if !self.is_settled {
            let given =
                lock(&self.shared.state).nack(self.group, self.number, self.token, Duration::ZERO);
            // It was handed out again already.
            drop::<Result<(), Error>>(given);
        }
    }
}
