//! A subscriber of a group, and the messages that are with it.

use super::member::{Member, Next, Token};
use super::topic::position;
use crate::local::{Taken, system_time};
use crate::{Delivery, Settle, Subscriber, Subscription, Verdict, late};
use async_trait::async_trait;
use base::Result;
use connect::kafka::Stored;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

/// A group stays so long without a subscriber: joining again takes others along.
const LINGER: Duration = Duration::from_secs(1);
/// So often who waits looks whether the servers are there.
const LOOK: Duration = Duration::from_secs(1);

/// A part in a group.
pub(super) struct Taker {
    member: Option<Arc<Member>>,
    /// One for each message that may be with this subscriber.
    permits: Arc<Semaphore>,
    deadline: Duration,
}

impl Taker {
    pub(super) fn new(member: Arc<Member>, subscription: &Subscription) -> Self {
        let permits = Arc::new(Semaphore::new(subscription.prefetch.min(Semaphore::MAX_PERMITS)));
        Self { member: Some(member), permits, deadline: subscription.deadline }
    }

    fn delivery(
        &self,
        member: &Arc<Member>,
        (token, taken): (Token, Taken),
        permit: OwnedSemaphorePermit,
    ) -> Delivery {
        let out = Out {
            member: Arc::downgrade(member),
            token,
            deadline: self.deadline,
            is_settled: false,
            _permit: permit,
        };
        let stored = Stored {
            partition: token.partition,
            offset: i64::try_from(token.number).unwrap_or_default(),
            time: i64::try_from(taken.entry.time).ok(),
        };
        Delivery {
            topic: taken.entry.topic.as_ref().to_owned(),
            message: taken.entry.message.clone(),
            attempt: taken.attempt,
            position: Some(position(stored)),
            time: Some(system_time(taken.entry.time)),
            settle: Box::new(out),
        }
    }
}

#[async_trait]
impl Subscriber for Taker {
    async fn next(&self) -> Result<Option<Delivery>> {
        // It is there until this is dropped.
        let Some(member) = &self.member else { return Ok(None) };
        // Only closing it closes the semaphore.
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return Ok(None) };
        loop {
            // Listening before it looks, so that nothing comes in between.
            let mut woken = std::pin::pin!(member.shared.wake.notified());
            woken.as_mut().enable();
            if self.permits.is_closed() {
                // What it was woken for is somebody else's.
                member.shared.wake.notify_one();
                return Ok(None);
            }
            // What is handed out while nobody hears the verdict comes again.
            if member.is_in_trouble() {
                member.look_again().await?;
            }
            let wait = match member.take(self.deadline)? {
                Next::Message(token, taken) => {
                    return Ok(Some(self.delivery(member, (token, taken), permit)));
                }
                Next::Later(wait) => wait,
            };
            // A timer may ring a little early by the clock of the log.
            let wait = wait.map_or(LOOK, |wait| wait.clamp(Duration::from_millis(1), LOOK));
            drop(timeout(wait, woken).await);
        }
    }

    async fn close(&self) {
        self.permits.close();
        if let Some(member) = &self.member {
            member.shared.wake.notify_waiters();
        }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        let Some(member) = self.member.take() else { return };
        // What it was woken for is somebody else's.
        member.shared.wake.notify_one();
        // One that is alone ends with its subscriber; without a runtime all do.
        if member.shared.name.is_some()
            && member.is_there()
            && let Ok(runtime) = Handle::try_current()
        {
            // It ends by itself.
            drop(runtime.spawn(async move {
                sleep(LINGER).await;
                drop(member);
            }));
        }
    }
}

/// A message that is with a subscriber.
struct Out {
    /// Gone with the last subscriber.
    member: Weak<Member>,
    token: Token,
    deadline: Duration,
    is_settled: bool,
    _permit: OwnedSemaphorePermit,
}

#[async_trait]
impl Settle for Out {
    async fn settle(mut self: Box<Self>, verdict: Verdict) -> Result<()> {
        self.is_settled = true;
        let member = self.member.upgrade().ok_or_else(late)?;
        match verdict {
            Verdict::Ack => member.ack(self.token).await,
            Verdict::Nack(delay) => member.nack(self.token, delay).await,
        }
    }

    async fn extend(&self) -> Result<()> {
        self.member.upgrade().ok_or_else(late)?.extend(self.token, self.deadline)
    }
}

impl Drop for Out {
    /// Who says nothing gives it back.
    fn drop(&mut self) {
        if !self.is_settled
            && let Some(member) = self.member.upgrade()
        {
            // It was handed out again already, if it is not taken back.
            let _is_back = member.give_back(self.token, Duration::ZERO);
        }
    }
}
