//! The one place where sizes and offers are enforced, in front of every backend.

use crate::{
    Broker, Filter, Message, Offer, PublishOptions, Published, RequestOptions, Start, Subscriber,
    Subscription, check_topic, is_inbox,
};
use async_trait::async_trait;
use base::offer::{Dedup, Delay, Groups, Ordering, Replay, Reply, Wildcards};
use base::{Error, Result};
use std::time::Duration;

/// The most bytes in the name of a header, in a key, an id and the name of a group.
const MAX_NAME: usize = 255;
/// The most headers of a message: each costs more than its bytes.
const MAX_HEADERS: usize = 256;

/// A broker that refuses what its offer denies, and topics and messages beyond their rules.
///
/// Every backend hands out its broker inside one.
pub struct Checked<B>(B);

impl<B: Broker> Checked<B> {
    /// Puts the checks in front of `broker`.
    pub fn new(broker: B) -> Self {
        Self(broker)
    }

    /// The broker without the checks.
    pub fn inner(&self) -> &B {
        &self.0
    }

    fn subscription(&self, subscription: &Subscription) -> Result<()> {
        let levels = &self.offer().levels;
        match subscription.topics.len() {
            0 => return Err(Error::invalid("a subscription has one topic at least")),
            count if count > Subscription::TOPICS => return Err(too_many_topics(count)),
            _ => {}
        }
        if subscription.topics.iter().any(Filter::is_wild) && levels.wildcards == Wildcards::None {
            return Err(Error::unsupported("this broker knows no wildcards: name each topic"));
        }
        if subscription.prefetch == 0 {
            return Err(Error::invalid("a subscriber takes one message at least"));
        }
        if subscription.deadline < Duration::from_millis(1) {
            return Err(Error::invalid("a subscriber has a millisecond at least for a message"));
        }
        if let Some(group) = &subscription.group {
            name("the name of a group", group)?;
            if levels.groups == Groups::None {
                return Err(Error::unsupported("this broker knows no groups"));
            }
        }
        if subscription.start != Start::New && levels.replay == Replay::None {
            return Err(Error::unsupported("this broker keeps nothing for those that come later"));
        }
        if subscription.ordered && levels.ordering < Ordering::Key {
            return Err(Error::unsupported("this broker keeps no order of messages with one key"));
        }
        Ok(())
    }
}

/// Holds a publication to its rules and to the offer.
///
/// # Errors
/// As those of [`Broker::publish`].
pub(crate) fn check(
    offer: &Offer,
    topic: &str,
    message: &Message,
    options: &PublishOptions,
) -> Result<()> {
    check_topic(topic)?;
    if is_inbox(topic) {
        carries_replies(offer)?;
    }
    check_message(offer, message)?;
    let levels = &offer.levels;
    if message.id.is_some() && levels.dedup == Dedup::None {
        return Err(Error::unsupported("this broker does not tell messages by their ids"));
    }
    if options.delay.is_some() && levels.delay == Delay::None {
        return Err(Error::unsupported("this broker publishes at once"));
    }
    Ok(())
}

fn check_message(offer: &Offer, message: &Message) -> Result<()> {
    let (size, most) = (message.size(), offer.max_message);
    if size > most {
        return Err(Error::too_large(format!("a message has {size} bytes, at most {most} fit")));
    }
    if message.headers.len() > MAX_HEADERS {
        let count = message.headers.len();
        return Err(Error::too_large(format!(
            "a message has {count} headers, at most {MAX_HEADERS} fit"
        )));
    }
    for (header, value) in &message.headers {
        name("the name of a header", header)?;
        if value.contains(char::is_control) {
            return Err(Error::invalid(format!(
                "the value of header `{header}` has a control character"
            )));
        }
    }
    let Message { key, id, content_type, reply_to, .. } = message;
    if let Some(topic) = reply_to {
        check_topic(topic).map_err(|error| error.context("where replies go"))?;
    }
    let said = [("a key", key), ("an id", id), ("a content type", content_type)];
    said.into_iter()
        .filter_map(|(what, said)| Some((what, said.as_ref()?)))
        .try_for_each(|(what, said)| name(what, said))
}

fn carries_replies(offer: &Offer) -> Result<()> {
    match offer.levels.request {
        Reply::None => Err(Error::unsupported("this broker carries no replies")),
        Reply::Inbox => Ok(()),
    }
}

/// The outcomes of messages of which some were wrong, and the others `published`.
pub(crate) fn in_place(
    outcomes: Vec<Option<Result<Published>>>,
    published: Vec<Result<Published>>,
) -> Vec<Result<Published>> {
    let mut published = published.into_iter();
    let lost = || Err(Error::internal("a message has no outcome"));
    let each = outcomes.into_iter();
    each.map(|wrong| wrong.or_else(|| published.next()).unwrap_or_else(lost)).collect()
}

/// The error of a subscription with so many topics.
pub(crate) fn too_many_topics(count: usize) -> Error {
    let most = Subscription::TOPICS;
    Error::too_large(format!("a subscription has {count} topics, at most {most} fit"))
}

/// Holds a short text to its rules: 1 to 255 bytes without control characters.
fn name(what: &str, text: &str) -> Result<()> {
    match text.len() {
        0 => Err(Error::invalid(format!("{what} must not be empty"))),
        1..=MAX_NAME if text.contains(char::is_control) => {
            Err(Error::invalid(format!("{what} has a control character")))
        }
        1..=MAX_NAME => Ok(()),
        length => Err(Error::too_large(format!("{what} has {length} bytes, at most 255 fit"))),
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "what is not forwarded loses a backend's own way")]
impl<B: Broker> Broker for Checked<B> {
    fn offer(&self) -> &Offer {
        self.0.offer()
    }

    async fn publish(
        &self,
        topic: &str,
        message: Message,
        options: &PublishOptions,
    ) -> Result<Published> {
        check(self.offer(), topic, &message, options)?;
        self.0.publish(topic, message, options).await
    }

    async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        options: &PublishOptions,
    ) -> Vec<Result<Published>> {
        // What is wrong is left out, and has its own outcome in its place.
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut right = Vec::with_capacity(messages.len());
        for (topic, message) in messages {
            outcomes.push(check(self.offer(), &topic, &message, options).err().map(Err));
            if let Some(None) = outcomes.last() {
                right.push((topic, message));
            }
        }
        in_place(outcomes, self.0.publish_many(right, options).await)
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>> {
        self.subscription(subscription)?;
        self.0.subscribe(subscription).await
    }

    async fn request(
        &self,
        topic: &str,
        message: Message,
        options: &RequestOptions,
    ) -> Result<Vec<Message>> {
        carries_replies(self.offer())?;
        if options.replies == 0 {
            return Err(Error::invalid("a request waits for one reply at least"));
        }
        check(self.offer(), topic, &message, &PublishOptions::default())?;
        self.0.request(topic, message, options).await
    }

    async fn forget(&self, group: &str) -> Result<()> {
        self.0.forget(group).await
    }

    async fn destroy(&self) -> Result<()> {
        self.0.destroy().await
    }
}
