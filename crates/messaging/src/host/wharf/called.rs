//! What the functions of `wharf:messaging` do, whether they overlap or not.

use super::super::operations::{Client, Host, Operations, Result};
use super::super::taking::{Batch, Taken, Taking, Tokens};
use super::{Consumer, types};
use crate::checked::too_many_topics;
use crate::{
    Filter, Message, Position, PublishOptions, Published, RequestOptions, Start, Subscription,
};
use base::{Error, Kind, units};
use engine::{Charge, Held};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A call, which borrows nothing of its instance.
pub(super) struct Called {
    operations: Operations,
    held: Held,
    tokens: Tokens,
    /// What its arguments take of what the host may keep for the instance.
    charge: Charge,
}

impl Called {
    /// A call of this binding, with arguments of so many bytes.
    pub(super) fn new(host: &Host<'_>, binding: &str, bytes: usize) -> Result<Self> {
        let operations = Client::named(host, binding)?.operations(host.calls())?;
        let (held, tokens) = (host.state.held.clone(), host.state.tokens.clone());
        let charge = held.take(bytes)?;
        Ok(Self { operations, held, tokens, charge })
    }

    pub(super) async fn publish(
        self,
        topic: &str,
        message: types::Message,
        delay: Option<u64>,
    ) -> Result<types::Published> {
        let options = publishing(delay);
        let outcome = self.operations.publish_with(topic, message.into(), &options).await;
        Ok(outcome?.into())
    }

    pub(super) async fn publish_many(
        self,
        messages: Vec<(String, types::Message)>,
        delay: Option<u64>,
    ) -> Result<Vec<std::result::Result<types::Published, types::Error>>> {
        let messages = messages.into_iter().map(|(topic, message)| (topic, message.into()));
        let outcomes = self.operations.publish_many(messages.collect(), &publishing(delay)).await?;
        Ok(each(outcomes))
    }

    pub(super) async fn request(
        mut self,
        topic: &str,
        message: types::Message,
        timeout: u32,
        replies: u32,
    ) -> Result<Vec<types::Message>> {
        let options = RequestOptions {
            timeout: Duration::from_millis(timeout.into()),
            replies: usize::try_from(replies).unwrap_or(usize::MAX),
            most: self.held.limit(),
        };
        let replies = self.operations.request(topic, message.into(), &options).await?;
        self.charge.grow(replies.iter().map(Message::size).sum())?;
        Ok(replies.into_iter().map(Into::into).collect())
    }

    pub(super) async fn forget(self, group: &str) -> Result<()> {
        Ok(self.operations.forget(group).await?)
    }

    pub(super) async fn open(self, options: types::Options) -> Result<Consumer> {
        let subscription = Subscription::try_from(options)?;
        let Self { operations, held, tokens, charge: _charge } = self;
        let taking = Taking::open(operations, &subscription, &held, &tokens).await?;
        Ok(Consumer(Arc::new(taking)))
    }
}

/// Takes what there is.
pub(super) async fn received(
    taking: &Taking,
    most: u32,
    wait: u32,
) -> Result<Vec<types::Received>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let Batch { taken, .. } = taking.receive(most, Duration::from_millis(wait.into())).await?;
    Ok(taken.into_iter().map(Into::into).collect())
}

/// What became of each of several.
pub(super) fn each<T, U: From<T>>(
    outcomes: Vec<base::Result<T>>,
) -> Vec<std::result::Result<U, types::Error>> {
    let said = |outcome: base::Result<T>| outcome.map(U::from).map_err(|error| said(&error));
    outcomes.into_iter().map(said).collect()
}

/// How many bytes a message to a topic has.
pub(super) fn size(topic: &str, message: &types::Message) -> usize {
    let types::Message { data, content_type, headers, key, id, reply_to } = message;
    let header =
        |(name, value): &(String, String)| name.len() + value.len() + size_of::<[String; 2]>();
    let headers: usize = headers.iter().map(header).sum();
    let said = [content_type, key, id, reply_to];
    let said: usize = said.into_iter().flatten().map(String::len).sum();
    topic.len() + data.len() + headers + said
}

/// An error as the guest reads it.
pub(super) fn said(error: &Error) -> types::Error {
    let code = match error.kind() {
        Kind::NotFound => types::ErrorCode::NotFound,
        Kind::Denied => types::ErrorCode::Denied,
        Kind::Invalid => types::ErrorCode::Invalid,
        // Nothing else here has something that is to hold before it.
        Kind::Conflict => types::ErrorCode::Expired,
        Kind::TooLarge => types::ErrorCode::TooLarge,
        Kind::Exhausted => types::ErrorCode::Exhausted,
        Kind::Timeout => types::ErrorCode::Timeout,
        Kind::Unavailable => types::ErrorCode::Unavailable,
        Kind::Unsupported => types::ErrorCode::Unsupported,
        _ => types::ErrorCode::Other,
    };
    types::Error { code, message: error.words() }
}

/// A time as the interface has it.
pub(crate) fn milliseconds(time: SystemTime) -> u64 {
    units::milliseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn publishing(delay: Option<u64>) -> PublishOptions {
    PublishOptions { delay: delay.map(Duration::from_millis), ..PublishOptions::default() }
}

impl From<types::Message> for Message {
    fn from(message: types::Message) -> Self {
        let types::Message { data, content_type, headers, key, id, reply_to } = message;
        Self { data: data.into(), content_type, headers, key, id, reply_to }
    }
}

impl From<Message> for types::Message {
    fn from(message: Message) -> Self {
        let Message { data, content_type, headers, key, id, reply_to } = message;
        Self { data: data.into(), content_type, headers, key, id, reply_to }
    }
}

impl From<Published> for types::Published {
    fn from(Published { position, duplicate }: Published) -> Self {
        Self { position: position.map(|Position(text)| text), duplicate }
    }
}

impl From<Taken> for types::Received {
    fn from(taken: Taken) -> Self {
        let Taken { token, topic, message, attempt, position, time } = taken;
        let delivery = types::Delivery {
            topic,
            message: message.into(),
            attempt,
            position: position.map(|Position(text)| text),
            time: time.map(milliseconds),
        };
        Self { token, delivery }
    }
}

impl TryFrom<types::Options> for Subscription {
    type Error = Error;

    fn try_from(options: types::Options) -> base::Result<Self> {
        let types::Options { topics, group, start, prefetch, deadline, ordered } = options;
        if topics.len() > Self::TOPICS {
            return Err(too_many_topics(topics.len()));
        }
        let topics = topics.iter().map(|topic| Filter::parse(topic));
        let start = match start {
            types::Start::New => Start::New,
            types::Start::Beginning => Start::Beginning,
            types::Start::After(position) => Start::After(Position(position)),
            types::Start::Since(time) => {
                let time = UNIX_EPOCH.checked_add(Duration::from_millis(time));
                Start::Since(time.ok_or_else(|| Error::invalid("there is no such time"))?)
            }
        };
        let prefetch = prefetch.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        let deadline = deadline.map(|milliseconds| Duration::from_millis(milliseconds.into()));
        Ok(Self {
            topics: topics.collect::<base::Result<_>>()?,
            group,
            start,
            prefetch: prefetch.unwrap_or(Self::PREFETCH),
            deadline: deadline.unwrap_or(Self::DEADLINE),
            ordered,
        })
    }
}
