//! What can be asked of a publication, a subscription and a request.

use crate::{Filter, Position};
use base::Error;
use base::units::Size;
use std::time::{Duration, SystemTime};

/// How a message is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// Nobody gets it before so long.
    pub delay: Option<Duration>,
    /// It is taken in although there is no room, where the broker can: for what makes room at once,
    /// as a dead letter does whose message is acknowledged next. It stays as it is, also where a
    /// binding makes CloudEvents of what is published.
    pub beyond: bool,
}

/// Where a group begins that is not there yet, or a subscription without a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With what is published from now on.
    #[default]
    New,
    /// With the oldest message that the broker has.
    Beginning,
    /// With what was published after the message at this position.
    After(Position),
    /// With what was published at this time or later.
    Since(SystemTime),
}

/// What a subscriber asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// What it covers: one topic at least.
    pub topics: Vec<Filter>,
    /// The group whose messages it shares. A group that is there already gets these topics instead
    /// of its former ones. `None`: it gets a copy of everything for as long as it lasts.
    pub group: Option<String>,
    /// Where to begin, unless the group is there.
    pub start: Start,
    /// So many messages may be with this subscriber at once, neither acknowledged nor given back.
    pub prefetch: usize,
    /// After so long a message that is neither acknowledged nor given back is handed out again.
    pub deadline: Duration,
    /// Messages with the same key are handed out one after the other.
    pub ordered: bool,
}

impl Subscription {
    /// The most topics.
    pub const TOPICS: usize = 256;
    /// The usual most messages that are with one subscriber.
    pub const PREFETCH: usize = 64;
    /// The usual time that a subscriber has for a message.
    pub const DEADLINE: Duration = Duration::from_secs(30);

    /// A subscription to these topics, with nothing else asked for.
    pub fn new(topics: Vec<Filter>) -> Self {
        Self {
            topics,
            group: None,
            start: Start::New,
            prefetch: Self::PREFETCH,
            deadline: Self::DEADLINE,
            ordered: false,
        }
    }

    /// The same as a part of this group.
    #[must_use]
    pub fn of_group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self }
    }
}

/// How a request waits for its replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestOptions {
    /// How long.
    pub timeout: Duration,
    /// For how many: one at least.
    pub replies: usize,
    /// The most bytes that the replies may have together.
    pub most: usize,
}

impl Default for RequestOptions {
    /// For one, thirty seconds, and 16 MiB.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), replies: 1, most: 16 << 20 }
    }
}

/// The error of a request whose replies are larger than it takes.
pub(crate) fn too_many(options: &RequestOptions) -> Error {
    let most = Size(options.most as u64);
    Error::exhausted(format!("the replies have more than {most} together"))
}
