//! Hands messages to guests: calls what they export for it, and settles each message by what came
//! of the call.

mod configured;
mod dead;
mod feed;
mod guest;
mod outcome;
mod rules;

use crate::{Broker, Delivery, PublishOptions};
use base::Result;
use engine::{Guest, Stop};
use feed::Feed;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use guest::{Exported, Mail};
use outcome::Outcome;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

pub use dead::{ATTEMPTS, BINDING, GROUP, REASON, TOPIC};
pub use rules::Rules;

/// A component that messages are handed to. Cheap to clone.
#[derive(Clone)]
pub struct Receiver {
    guest: Arc<Guest>,
    exported: Exported,
}

impl Receiver {
    /// A receiver that is `guest`, or `None` if it exports no interface for it.
    ///
    /// Of several, the newest is called.
    ///
    /// # Errors
    /// When the exports do not have the types of their version.
    pub fn new(guest: Arc<Guest>) -> wasmtime::Result<Option<Self>> {
        let exported = Exported::find(&guest)?;
        Ok(exported.map(|exported| Self { guest, exported }))
    }

    /// The interface that is called, e.g. `wasi:messaging/incoming-handler@0.2.0-draft`.
    pub fn interface(&self) -> &'static str {
        self.exported.interface()
    }

    /// Whether it takes several messages in one call.
    pub fn takes_batches(&self) -> bool {
        self.exported.takes_batches()
    }

    /// Whether it says itself what it subscribes to, besides what [`Rules`] say.
    pub fn says_its_topics(&self) -> bool {
        self.exported.configures().is_some()
    }
}

/// Hands every message of a subscription to a guest, until `stop`.
///
/// The guest is the one that is in `receiver` when a message's turn comes, so it can be exchanged
/// without losing one. It gets a fresh instance for each call. What the call came to decides what
/// becomes of the message, as [`Rules`] say; a message that fails holds up no other. A lost
/// subscription is taken up again, and one of which the guest itself says what it covers is
/// exchanged when it says something else. `binding` is the broker's name in logs.
///
/// After `stop` it finishes what it has handed out, and gives back the rest.
///
/// # Errors
/// When the broker cannot be subscribed to like this at all.
pub async fn run(
    mut receiver: watch::Receiver<Receiver>,
    broker: Arc<dyn Broker>,
    binding: &str,
    rules: Rules,
    stop: Stop,
) -> Result<()> {
    loop {
        let current = receiver.borrow_and_update().clone();
        let mut said = configured::said(&current);
        let rules = configured::rules(&current, said.as_mut(), &rules, &stop);
        let Some(rules) = rules.await else { return Ok(()) };
        // Ends with `stop`, or when the rules are others.
        let until = stop.child();
        let handed =
            hand_out(receiver.clone(), Arc::clone(&broker), binding, &rules, until.clone());
        let mut handed = std::pin::pin!(handed);
        let mut changed = std::pin::pin!(configured::changed(&mut receiver, said.as_mut()));
        let ended = tokio::select! {
            ended = &mut handed => ended,
            () = &mut changed => {
                until.now();
                handed.await?;
                continue;
            }
        };
        // What the guest says itself may be something else later.
        let Err(error) = &ended else { return ended };
        if !current.says_its_topics() {
            return ended;
        }
        tracing::error!(binding, %error, "a component cannot subscribe to what it says");
        tokio::select! {
            () = stop.wait() => return Ok(()),
            () = changed => {}
        }
    }
}

/// Hands out messages by these rules, until `stop`.
async fn hand_out(
    receiver: watch::Receiver<Receiver>,
    broker: Arc<dyn Broker>,
    binding: &str,
    rules: &Rules,
    stop: Stop,
) -> Result<()> {
    let mut feed = Feed::open(Arc::clone(&broker), binding, rules).await?;
    let handing = Handing { receiver, broker, binding, rules };
    let mut running = FuturesUnordered::new();
    let mut stopping = false;
    loop {
        if stopping && running.is_empty() {
            feed.close().await;
            return Ok(());
        }
        let has_room = running.len() < rules.concurrency;
        tokio::select! {
            () = stop.wait(), if !stopping => stopping = true,
            Some(()) = running.next() => {}
            delivery = feed.next(), if !stopping && has_room => {
                running.push(handing.hand(delivery));
            }
        }
    }
}

/// What handing out messages needs.
struct Handing<'a> {
    receiver: watch::Receiver<Receiver>,
    broker: Arc<dyn Broker>,
    binding: &'a str,
    rules: &'a Rules,
}

impl Handing<'_> {
    /// Hands one message to the guest and settles it.
    async fn hand(&self, delivery: Delivery) {
        let receiver = self.receiver.borrow().clone();
        let mails = vec![Mail::of(&delivery)];
        let called = async {
            let call = guest::call(&receiver.guest, &receiver.exported, self.binding, mails);
            let silent = || Outcome::failed("the component did not say what became of it");
            call.await.pop().unwrap_or_else(silent)
        };
        let outcome = self.while_it_takes(&delivery, called).await;
        let component = receiver.guest.name();
        let (binding, topic) = (self.binding, delivery.topic.clone());
        let attempt = delivery.attempt;
        let settled = match outcome {
            Outcome::Done => delivery.ack().await,
            Outcome::Failed { why, after } if attempt < self.rules.attempts => {
                tracing::warn!(%component, binding, topic, attempt, "a message failed: {why}");
                delivery.nack(after.unwrap_or_else(|| self.rules.pause(attempt))).await
            }
            Outcome::Failed { why, .. } | Outcome::Refused(why) => {
                self.give_up(delivery, &why).await
            }
        };
        if let Err(error) = settled {
            tracing::warn!(
                %component, binding, topic, attempt, %error,
                "the broker does not know what became of a message: it may come again"
            );
        }
    }

    /// Puts the message's deadline off for as long as its call goes on.
    async fn while_it_takes(
        &self,
        delivery: &Delivery,
        called: impl Future<Output = Outcome>,
    ) -> Outcome {
        let mut called = std::pin::pin!(called);
        // Early enough that one answer of the broker may be lost.
        let pause = self.rules.subscription.deadline / 3;
        loop {
            // Beside the call, which goes on while the broker takes its time.
            let extended = async {
                sleep(pause).await;
                delivery.extend().await
            };
            tokio::select! {
                biased;
                outcome = &mut called => return outcome,
                extended = extended => {
                    if let Err(error) = extended {
                        let (binding, topic) = (self.binding, delivery.topic.as_str());
                        tracing::debug!(binding, topic, %error, "putting a deadline off");
                    }
                }
            }
        }
    }

    /// Publishes the message to where those go that nobody could handle, and is done with it. If
    /// that fails it is tried again later, with the message.
    async fn give_up(&self, delivery: Delivery, why: &str) -> Result<()> {
        let component = Arc::clone(self.receiver.borrow().guest.name());
        let (binding, topic, attempt) = (self.binding, delivery.topic.as_str(), delivery.attempt);
        let Some(dead_letters) = &self.rules.dead_letters else {
            tracing::error!(
                %component, binding, topic, attempt,
                "a message was left out, for there is no `dead-letters`: {why}"
            );
            return delivery.ack().await;
        };
        let group = self.rules.subscription.group.as_deref();
        let letter = dead::letter(&delivery, why, binding, group, self.broker.offer().max_message);
        let options = PublishOptions { beyond: true, ..PublishOptions::default() };
        match self.broker.publish(dead_letters, letter, &options).await {
            Ok(_) => {
                tracing::error!(
                    %component, binding, topic, attempt,
                    "a message went to `{dead_letters}`: {why}"
                );
                delivery.ack().await
            }
            Err(error) => {
                tracing::warn!(
                    %component, binding, topic, %error,
                    "publishing to `{dead_letters}` failed; the message is kept"
                );
                delivery.nack(self.rules.pause(attempt).max(Duration::from_secs(1))).await
            }
        }
    }
}
