//! What every broker must do; run for each backend, and by `wharf conformance` for a server.
//!
//! Promises consult the offer: what it denies has to fail, and to say so.

mod acknowledging;
mod groups;
mod ids;
mod limits;
mod messages;
mod ordering;
mod publishing;
mod replay;
mod requests;
mod retrying;
mod topics;

use crate::{
    Broker, Delivery, Filter, Message, PublishOptions, Published, Subscriber, Subscription,
};
use base::promise::{Broken, Promise};
use std::time::Duration;
use tokio::time::timeout;

/// Every promise, by what it is about.
pub const PROMISES: &[&[Promise<dyn Broker>]] = &[
    messages::PROMISES,
    topics::PROMISES,
    publishing::PROMISES,
    groups::PROMISES,
    acknowledging::PROMISES,
    retrying::PROMISES,
    ordering::PROMISES,
    replay::PROMISES,
    ids::PROMISES,
    requests::PROMISES,
    limits::PROMISES,
];

type Stage = base::promise::Stage<dyn Broker>;

/// A publication that asks for nothing.
const PLAIN: PublishOptions = PublishOptions { delay: None, beyond: false };

/// What has to come comes within this time.
const PATIENCE: Duration = Duration::from_secs(20);
/// What must not come would have come within this time.
const SILENCE: Duration = Duration::from_millis(400);

fn filter(text: &str) -> Result<Filter, Broken> {
    Ok(Filter::parse(text)?)
}

/// A subscription of a group to some topics.
fn of_group(group: &str, topics: &[&str]) -> Result<Subscription, Broken> {
    Ok(alone(topics)?.of_group(group))
}

/// A subscription to some topics that gets a copy of everything.
fn alone(topics: &[&str]) -> Result<Subscription, Broken> {
    let topics: Result<Vec<_>, _> = topics.iter().map(|topic| filter(topic)).collect();
    Ok(Subscription::new(topics?))
}

async fn publish(broker: &dyn Broker, topic: &str, text: &str) -> base::Result<Published> {
    broker.publish(topic, Message::new(text.to_owned()), &PLAIN).await
}

/// The next message, which has to come soon.
async fn next(subscriber: &dyn Subscriber) -> Result<Delivery, Broken> {
    match timeout(PATIENCE, subscriber.next()).await {
        Ok(Ok(Some(delivery))) => Ok(delivery),
        Ok(Ok(None)) => Err(Broken::new("the subscription ended")),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Broken::new(format!("no message came within {PATIENCE:?}"))),
    }
}

/// The content of the next message, which is acknowledged.
async fn text(subscriber: &dyn Subscriber) -> Result<String, Broken> {
    let delivery = next(subscriber).await?;
    let text = content(&delivery);
    delivery.ack().await?;
    Ok(text)
}

/// The contents of the next messages, in any order; they are acknowledged.
async fn texts(subscriber: &dyn Subscriber, count: usize) -> Result<Vec<String>, Broken> {
    let mut texts = Vec::with_capacity(count);
    for _ in 0..count {
        texts.push(text(subscriber).await?);
    }
    texts.sort();
    Ok(texts)
}

fn content(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.message.data).into_owned()
}

/// Holds if no message comes for a while.
async fn nothing(subscriber: &dyn Subscriber) -> Result<(), Broken> {
    match timeout(SILENCE, subscriber.next()).await {
        Err(_) => Ok(()),
        Ok(Ok(Some(delivery))) => {
            let (text, topic) = (content(&delivery), &delivery.topic);
            Err(Broken::new(format!("`{text}` came on `{topic}`, which should not")))
        }
        Ok(other) => Err(Broken::new(format!("the subscription ended: {other:?}"))),
    }
}
