//! Messaging: the contract that every broker keeps, and the words it uses.
//!
//! Nothing here knows of WebAssembly; `host.rs` (feature `host`) puts the interfaces in front.

mod best;
mod checked;
mod delivery;
#[cfg(any(feature = "mqtt", feature = "nats"))]
mod filters;
mod local;
mod message;
mod offer;
mod options;

pub mod backend;
#[cfg(feature = "cloudevents")]
pub mod cloudevents;
#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "conformance")]
pub mod promises;
#[cfg(feature = "host")]
pub mod trigger;

pub use backend::BACKENDS;
pub use base::offer::Emulated;
pub use base::topic::{Filter, INBOX, MAX_TOPIC, check_topic, is_inbox};
pub use best::{Best, table, that_offer};
pub use checked::Checked;
pub use delivery::{Delivery, Settle, Subscriber, Verdict, is_late, late};
pub use message::{Message, Position, Published};
pub use offer::{Levels, Offer};
pub use options::{PublishOptions, RequestOptions, Start, Subscription};

use async_trait::async_trait;
use base::{Error, Result};

/// Topics to which messages are published and from which groups of subscribers take them: one
/// binding, shared by all guests that may open it.
///
/// What holds for every broker:
/// - A publication that was acknowledged is handed to every group that was there before it and
///   whose topics cover it, at least once: again and again until somebody acknowledges it. It
///   survives what the offer's `durability` says.
/// - The subscribers of one group share its messages; each goes to one of them at a time. Groups
///   have nothing to do with each other. A group is there from its first subscription until it is
///   forgotten, whether anybody subscribes to it or not.
/// - A message that is neither acknowledged nor given back before its deadline is handed out again,
///   as is one whose subscriber went away.
/// - What the offer denies fails with [`Kind::Unsupported`](base::Kind), never silently.
/// - Content, headers, key and type of a message arrive as they were published.
/// - A call that fails changed nothing, except with [`Kind::Timeout`](base::Kind) and
///   [`Kind::Unavailable`](base::Kind): then nobody knows.
///
/// Backends are handed out inside [`Checked`], which enforces sizes and offer in one place, so a
/// backend may rely on both.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// What this broker can do. Fixed once it is open.
    fn offer(&self) -> &Offer;

    /// Publishes a message; returns once the broker has it.
    ///
    /// # Errors
    /// [`Kind::Invalid`](base::Kind) for a topic or header that cannot be,
    /// [`Kind::TooLarge`](base::Kind) above `offer().max_message`,
    /// [`Kind::Exhausted`](base::Kind) where there is no room for it now.
    async fn publish(
        &self,
        topic: &str,
        message: Message,
        options: &PublishOptions,
    ) -> Result<Published>;

    /// Publishes messages in their order, and says of each what became of it.
    async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        options: &PublishOptions,
    ) -> Vec<Result<Published>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        for (topic, message) in messages {
            outcomes.push(self.publish(&topic, message, options).await);
        }
        outcomes
    }

    /// Takes part in a group, or gets a copy of everything where the subscription names none.
    ///
    /// Everything that is published after this returned reaches the subscription, if its topics
    /// cover it.
    ///
    /// # Errors
    /// [`Kind::Invalid`](base::Kind) for a position that is none of this broker's.
    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>>;

    /// Publishes a message and waits for what is replied to it: until there are as many replies as
    /// asked for or the time is over. Whoever gets it replies by publishing to its
    /// [`Message::reply_to`]; a reply that nobody waits for any more is dropped.
    ///
    /// # Errors
    /// [`Kind::Timeout`](base::Kind) if there was no reply in time; at once where the broker knows
    /// that nobody listens.
    async fn request(
        &self,
        _topic: &str,
        _message: Message,
        _options: &RequestOptions,
    ) -> Result<Vec<Message>> {
        Err(Error::unsupported("this broker carries no replies"))
    }

    /// Forgets a group: what waits for it is nobody's any more. One that is not there is forgotten
    /// already.
    async fn forget(&self, group: &str) -> Result<()>;

    /// Removes everything that the binding keeps: messages and groups.
    ///
    /// For a binding that was made to be thrown away, as `wharf conformance` does.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](base::Kind) where a binding ends with its file or its process.
    async fn destroy(&self) -> Result<()> {
        Err(Error::unsupported("this broker ends with its file or its process"))
    }
}
