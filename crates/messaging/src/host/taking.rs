//! Messages that a guest takes by itself: a subscription of its own, and what it has out.

use super::operations::Operations;
use crate::{Delivery, Message, Position, Settle, Subscriber, Subscription, Verdict, is_late};
use base::{Error, Result, lock};
use engine::{Charge, Held};
use futures::future::join_all;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout_at};

/// What a subscription takes of what the host may keep for an instance: its side of it, and about
/// what it costs the server. It bounds how many an instance has.
const SUBSCRIPTION: usize = 256 << 10;
/// And for each message that may be out.
const OUT: usize = 512;

/// How long a batch waits for one more message.
const LINGER: Duration = Duration::from_millis(5);
/// And for all of them together, so that some that trickle in do not hold up the others.
const GATHER: Duration = Duration::from_millis(50);

/// Gives every message that an instance has out a token of its own. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tokens(Arc<AtomicU64>);

impl Default for Tokens {
    /// They begin anywhere, so that those of another instance are none here.
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(fastrand::u64(1 << 32..1 << 62))))
    }
}

/// A part in a group, or one that is alone, and what it has out.
pub(super) struct Taking {
    subscriber: Box<dyn Subscriber>,
    operations: Operations,
    held: Held,
    tokens: Tokens,
    out: Mutex<HashMap<u64, Out>>,
    _charge: Charge,
}

/// What settles a message, until it does. Locked while the broker is told something of it, so that
/// who settles it waits for who puts its deadline off.
type Out = Arc<tokio::sync::Mutex<Option<Box<dyn Settle>>>>;

/// A message that was taken.
pub(super) struct Taken {
    pub(super) token: u64,
    pub(super) topic: String,
    pub(super) message: Message,
    pub(super) attempt: u32,
    pub(super) position: Option<Position>,
    pub(super) time: Option<SystemTime>,
}

/// Messages that were taken together, and what they take of what the host may keep meanwhile.
pub(super) struct Batch {
    pub(super) taken: Vec<Taken>,
    _charge: Charge,
}

impl Taking {
    /// Subscribes.
    pub(super) async fn open(
        operations: Operations,
        subscription: &Subscription,
        held: &Held,
        tokens: &Tokens,
    ) -> Result<Self> {
        let out = subscription.prefetch.saturating_mul(OUT);
        let charge = held.take(SUBSCRIPTION.saturating_add(out))?;
        let subscriber = operations.subscribe(subscription).await?;
        let (held, tokens, out) = (held.clone(), tokens.clone(), Mutex::default());
        Ok(Self { subscriber, operations, held, tokens, out, _charge: charge })
    }

    /// Takes what there is: `most` messages at the most, and as many bytes as the host may keep for
    /// one answer. Waits for the first one, for `wait` at the most and no longer than a call may
    /// take.
    pub(super) async fn receive(&self, most: usize, wait: Duration) -> Result<Batch> {
        if most == 0 {
            return Err(Error::invalid("a consumer takes one message at least"));
        }
        // The answer has to be there before the call as a whole takes too long.
        let timeout = self.operations.timeout();
        let wait = wait.min(timeout.saturating_sub(timeout / 8 + GATHER));
        self.operations.call("receive", self.gather(most, Instant::now() + wait)).await
    }

    async fn gather(&self, most: usize, mut end: Instant) -> Result<Batch> {
        let (mut charge, mut bytes) = (self.held.take(0)?, 0);
        let mut gathered: Vec<Delivery> = Vec::new();
        let mut last = None;
        // Of what there is room for, a part: the message that ends the batch has to fit as well.
        while gathered.len() < most && bytes <= self.held.limit() / 4 {
            let delivery = match timeout_at(end, self.subscriber.next()).await {
                Ok(Ok(Some(delivery))) => delivery,
                Err(_elapsed) => break,
                // It is said the next time.
                Ok(_) if !gathered.is_empty() => break,
                Ok(Ok(None)) => return Err(ended()),
                Ok(Err(error)) => return Err(error),
            };
            let size = size(&delivery);
            match charge.grow(size) {
                Ok(()) => bytes += size,
                // Other calls have the room now. What is dropped is handed out again.
                Err(_full) if !gathered.is_empty() => break,
                Err(full) => return Err(full.context("a message has no room")),
            }
            gathered.push(delivery);
            let now = Instant::now();
            end = (now + LINGER).min(*last.get_or_insert(now + GATHER));
        }
        Ok(Batch { taken: self.keep(gathered), _charge: charge })
    }

    /// Keeps what settles each message, under a token.
    fn keep(&self, gathered: Vec<Delivery>) -> Vec<Taken> {
        let mut out = lock(&self.out);
        let keep = |delivery| {
            let Delivery { topic, message, attempt, position, time, settle } = delivery;
            let token = self.tokens.0.fetch_add(1, Relaxed);
            out.insert(token, Out::new(Some(settle).into()));
            Taken { token, topic, message, attempt, position, time }
        };
        gathered.into_iter().map(keep).collect()
    }

    /// Says of messages that they are done with, and what became of each.
    pub(super) async fn ack(&self, tokens: &[u64]) -> Vec<Result<()>> {
        join_all(tokens.iter().map(|token| self.settle(*token, Verdict::Ack))).await
    }

    /// Gives messages back, to be handed out again after so long.
    pub(super) async fn nack(&self, tokens: &[u64], delay: Duration) -> Vec<Result<()>> {
        join_all(tokens.iter().map(|token| self.settle(*token, Verdict::Nack(delay)))).await
    }

    /// Puts the deadlines of messages off, to as long from now as they were at first.
    pub(super) async fn extend(&self, tokens: &[u64]) -> Vec<Result<()>> {
        join_all(tokens.iter().map(|token| self.extend_one(*token))).await
    }

    /// Whether a message is out under this token.
    pub(super) fn has(&self, token: u64) -> bool {
        lock(&self.out).contains_key(&token)
    }

    /// Settles a message.
    pub(super) async fn settle(&self, token: u64, verdict: Verdict) -> Result<()> {
        let out = self.find(token)?;
        let settle = out.lock().await.take().ok_or_else(expired)?;
        lock(&self.out).remove(&token);
        self.operations.call("settle", settle.settle(verdict)).await
    }

    async fn extend_one(&self, token: u64) -> Result<()> {
        let out = self.find(token)?;
        let mut out = out.lock().await;
        let settle = out.as_ref().ok_or_else(expired)?;
        let extended = self.operations.call("extend", settle.extend()).await;
        if extended.as_ref().is_err_and(is_late) {
            *out = None;
            lock(&self.out).remove(&token);
        }
        extended
    }

    fn find(&self, token: u64) -> Result<Out> {
        lock(&self.out).get(&token).map(Arc::clone).ok_or_else(expired)
    }
}

/// What a message takes of what the host may keep.
fn size(delivery: &Delivery) -> usize {
    let headers = delivery.message.headers.len() * size_of::<(String, String)>();
    delivery.topic.len() + delivery.message.size() + headers
}

fn ended() -> Error {
    Error::unavailable("the broker ended the subscription").with_hint("open another consumer")
}

/// The error of a token under which nothing is out.
fn expired() -> Error {
    Error::conflict("no message is out under this token")
        .with_hint("it was settled, or handed out again after its deadline")
}
