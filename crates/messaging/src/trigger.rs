//! Hands messages to guests: calls what they export for it, and settles each message by what came
//! of the call.

mod configured;
mod dead;
mod feed;
mod gathering;
mod guest;
mod handing;
mod outcome;
mod rules;

use crate::Broker;
use base::Result;
use engine::{Guest, Stop};
use feed::Feed;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use gathering::Gathering;
use guest::Exported;
use handing::Handing;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

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
/// becomes of its messages, as [`Rules`] say; a message that fails holds up no other. A lost
/// subscription is taken up again, and one of which the guest itself says what it covers is
/// exchanged when it says something else. `binding` is the broker's name in logs.
///
/// Once the broker has subscribed it, or did not at the first try, `begun` is told: what is
/// published from then on reaches it, if it was subscribed.
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
    begun: &Stop,
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
            hand_out(receiver.clone(), Arc::clone(&broker), binding, &rules, begun, until.clone());
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
    begun: &Stop,
    stop: Stop,
) -> Result<()> {
    let feed = Feed::open(Arc::clone(&broker), binding, rules).await;
    begun.now();
    let mut feed = feed?;
    let handing = Handing { receiver, broker, binding, rules };
    let mut gathering = Gathering::default();
    let mut running = FuturesUnordered::new();
    loop {
        // What is gathered has its place: more is taken only while there is room for a call.
        let has_room = running.len() < rules.concurrency;
        tokio::select! {
            () = stop.wait() => break,
            Some(()) = running.next() => {}
            () = gathering.is_over() => running.push(handing.hand(gathering.take())),
            delivery = feed.next(), if has_room => {
                running.extend(gathering.add(delivery, rules).map(|full| handing.hand(full)));
            }
        }
    }
    // Others need not wait for a deadline.
    let back = gathering.take().into_iter().map(|delivery| delivery.nack(Duration::ZERO));
    for given in join_all(back).await {
        if let Err(error) = given {
            tracing::debug!(binding, %error, "giving back a message");
        }
    }
    while running.next().await.is_some() {}
    feed.close().await;
    Ok(())
}
