//! Messages that were handed out, and what their receivers say of them.

use crate::{Message, Position};
use async_trait::async_trait;
use base::{Error, Kind, Result};
use std::fmt;
use std::time::{Duration, SystemTime};

/// A part in a group. Whatever it was handed and has not settled goes to others when it is dropped.
#[async_trait]
pub trait Subscriber: Send + Sync {
    /// The next message, which is waited for. `None`: there will be none, because it was closed.
    ///
    /// May be dropped while it waits; no message is lost by that.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](base::Kind) while the broker is away: ask again, after a pause.
    async fn next(&self) -> Result<Option<Delivery>>;

    /// Takes no more messages. Those that were handed out can still be settled.
    async fn close(&self);
}

/// What a receiver says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done with.
    Ack,
    /// It is to be handed out again, after so long.
    Nack(Duration),
}

/// How a backend hears of the verdict.
#[async_trait]
pub trait Settle: Send + Sync {
    /// Takes the verdict, which is the last word.
    async fn settle(self: Box<Self>, verdict: Verdict) -> Result<()>;

    /// Puts the deadline off, to as long from now as it was at first.
    async fn extend(&self) -> Result<()>;
}

/// A message that was handed out. Dropping it says nothing: it is handed out again, at its deadline
/// at the latest.
pub struct Delivery {
    /// To which topic it was published.
    pub topic: String,
    /// The message.
    pub message: Message,
    /// How often it was handed out to this group, this time included: at least 1.
    pub attempt: u32,
    /// Where it is, on a broker that keeps messages.
    pub position: Option<Position>,
    /// When it was published, by the broker's clock, where it says so.
    pub time: Option<SystemTime>,
    /// How the broker hears of it.
    pub settle: Box<dyn Settle>,
}

impl Delivery {
    /// Says that it is done with: it will not be handed out again.
    ///
    /// # Errors
    /// [`Kind::Conflict`](base::Kind) ([`is_late`]) if it was handed out again meanwhile, where the
    /// broker knows.
    pub async fn ack(self) -> Result<()> {
        self.settle.settle(Verdict::Ack).await
    }

    /// Gives it back, to be handed out again after so long.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn nack(self, delay: Duration) -> Result<()> {
        self.settle.settle(Verdict::Nack(delay)).await
    }

    /// Puts the deadline off, to as long from now as it was at first.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn extend(&self) -> Result<()> {
        self.settle.extend().await
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("topic", &self.topic)
            .field("message", &self.message)
            .field("attempt", &self.attempt)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// The message was handed out again before its receiver said anything.
#[derive(Debug)]
struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its deadline has passed")
    }
}

impl std::error::Error for Late {}

/// The error of a verdict that comes after the message was handed out again.
pub fn late() -> Error {
    Error::conflict("the message is with another receiver").with_source(Late)
}

/// The error of those who wait for messages of a group that is not there any more.
#[cfg(any(feature = "azure-queue", feature = "nats", feature = "redis", feature = "sqs"))]
pub(crate) fn forgotten() -> Error {
    Error::not_found("the group was forgotten").with_hint("subscribe again, if that was not meant")
}

/// Whether an error says that a verdict came too late.
pub fn is_late(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    error.kind() == Kind::Conflict && source.is_some_and(|source| source.is::<Late>())
}
