//! Brokers of services that have queues and nothing else: no topics, and no copies for groups.
//!
//! A group is a queue. What it covers is written down at the service, in the list of groups, and
//! who publishes sends to every queue whose group covers the topic. A host may know the list as it
//! was a moment ago; so who joins a group waits until no host goes by an older one.

pub(super) mod coded;
mod covers;
mod directory;
mod handed;
mod letter;
mod pump;
mod sending;

use super::taker::Taker;
use crate::{Broker, Message, Offer, PublishOptions, Published, Subscriber, Subscription};
use async_trait::async_trait;
use base::{Error, Kind, Result};
use connect::batcher::Batcher;
use covers::Covers;
use directory::{Directory, Group};
use futures::future::join_all;
use handed::Handed;
use pump::Pump;
use sending::{Call, Sending};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep_until};

pub(super) use letter::{Letter, has_xml, largest, seconds};

/// So many messages that are published together are on their way at once.
const BATCH: usize = 256;
/// How often it is tried to remove a message that was acknowledged.
const TRIES: usize = 3;

/// A service: what it can be asked for. Queues are named by their [`word`](Self::word).
pub(super) trait Service: Send + Sync + 'static {
    /// So many messages it takes and removes at once.
    const TOGETHER: usize;
    /// So many it hands out at once.
    const HANDED: usize;
    /// For how long it hides a message at most.
    const LONGEST_HIDDEN: Duration;
    /// For how long it puts off a publication at most.
    const LONGEST_DELAY: Duration;

    /// What it is, for messages.
    fn server(&self) -> &str;

    /// What the queue of a group is called, and no other.
    fn word(&self, group: &str) -> String;

    /// The most bytes of messages that are sent at once.
    fn most_bytes(&self) -> usize;

    /// Whether a text may have this letter.
    fn takes(letter: char) -> bool;

    /// How long to wait with the next question where so many before it found nothing.
    fn pause(&self, _found_nothing: u32) -> Duration {
        Duration::ZERO
    }

    /// How long a call may take.
    fn timeout(&self) -> Duration;

    /// The list of groups: each queue, and the text that was written down of it.
    fn groups(&self) -> impl Future<Output = Result<Vec<(String, String)>>> + Send;

    /// Makes a queue, if it is not there.
    fn make(&self, queue: &str) -> impl Future<Output = Result<()>> + Send;

    /// Writes down a text of a queue, in place of another.
    fn write(&self, queue: &str, text: &str) -> impl Future<Output = Result<()>> + Send;

    /// Removes a queue and what is written of it; that first.
    fn forget(&self, queue: &str) -> impl Future<Output = Result<()>> + Send;

    /// Sends messages to a queue, and says of each what became of it.
    ///
    /// # Errors
    /// Of all of them; [`Kind::NotFound`] where the queue is not there.
    fn send(
        &self,
        queue: &str,
        letters: &[&Letter],
    ) -> impl Future<Output = Result<Vec<Result<()>>>> + Send;

    /// Takes so many messages from a queue at most, and hides them from others for this time.
    /// Waits for the first of them for as long as is usual with the service.
    fn receive(
        &self,
        queue: &str,
        most: usize,
        hidden: Duration,
    ) -> impl Future<Output = Result<Vec<Received>>> + Send;

    /// Removes messages by their receipts, and says of each what became of it.
    ///
    /// # Errors
    /// Of all of them; [`Kind::NotFound`] where the queue is not there, and of one
    /// [`Kind::Conflict`] where its receipt does not hold any more.
    fn remove(
        &self,
        queue: &str,
        receipts: &[&str],
    ) -> impl Future<Output = Result<Vec<Result<()>>>> + Send;

    /// Hides a message for this time from now on. Returns the receipt that holds then.
    fn hide(
        &self,
        queue: &str,
        receipt: &str,
        time: Duration,
    ) -> impl Future<Output = Result<String>> + Send;

    /// Removes all queues of the binding, and the list.
    fn destroy(&self) -> impl Future<Output = Result<()>> + Send;
}

/// A message that was taken from a queue.
pub(super) struct Received {
    /// What tells it from all others of its queue.
    pub(super) id: String,
    /// By what it is removed and hidden.
    pub(super) receipt: String,
    pub(super) letter: Letter,
    /// How often it was taken.
    pub(super) attempt: u32,
    pub(super) time: Option<SystemTime>,
}

/// How long hosts may go by what they know.
#[derive(Clone, Copy)]
pub(super) struct Ages {
    /// How old the list of groups may be that a host goes by.
    pub(super) refresh: Duration,
    /// How long the service takes to show everybody what was changed.
    pub(super) settle: Duration,
}

/// How old the list of groups may be where the deployment says nothing else.
pub(super) fn usual_refresh() -> Duration {
    Duration::from_secs(2)
}

/// Holds the age of the list of groups to what can be.
pub(super) fn check_refresh(refresh: Duration) -> Result<()> {
    match refresh >= Duration::from_millis(100) {
        true => Ok(()),
        false => Err(Error::invalid("`refresh` is at least 100ms")),
    }
}

/// What a broker and all that it handed out share.
struct Shared<S: Service> {
    service: Arc<S>,
    directory: Directory,
    handed: Handed,
    calls: Batcher<Sending<S>>,
}

/// The broker behind a service of queues.
pub(super) struct Queues<S: Service> {
    shared: Arc<Shared<S>>,
    offer: Offer,
}

impl<S: Service> Queues<S> {
    /// A broker that can do what `offer` says.
    pub(super) fn new(service: S, offer: Offer, ages: Ages) -> Self {
        let service = Arc::new(service);
        let calls = sending::batcher(&service);
        let (directory, handed) = (Directory::new(ages), Handed::default());
        Self { shared: Arc::new(Shared { service, directory, handed, calls }), offer }
    }

    /// Sends to every group that covers the topic. Returns once all have it.
    async fn send(&self, topic: &str, letter: Letter) -> Result<()> {
        let groups = self.shared.directory.groups(&*self.shared.service).await?;
        let covering: Vec<&Group> =
            groups.iter().filter(|group| group.covers.covers(topic)).collect();
        let sending = covering.iter().map(|group| self.shared.send(group, &letter));
        let mut failed: Vec<Error> =
            join_all(sending).await.into_iter().filter_map(Result::err).collect();
        let is_none = failed.len() == covering.len();
        let Some(first) = failed.pop() else { return Ok(()) };
        // What some groups have and others have not is known to nobody but those.
        match is_none && failed.iter().chain([&first]).all(|it| !it.kind().leaves_open()) {
            true => Err(first),
            false if first.kind().leaves_open() => Err(first),
            false => Err(Error::unavailable(format!(
                "{}: not every group has the message",
                self.shared.service.server()
            ))
            .with_source(first)),
        }
    }
}

impl<S: Service> Shared<S> {
    async fn send(&self, group: &Group, letter: &Letter) -> Result<()> {
        let call = || Call::Send(Arc::clone(&group.queue), letter.clone());
        let sent = self.calls.call(call, || sending::one(&*self.service, call())).await;
        match sent {
            Err(gone) if gone.kind() == Kind::NotFound => {
                let groups = self.directory.read(&*self.service).await?;
                match groups.iter().any(|other| other.queue == group.queue) {
                    // It was forgotten meanwhile.
                    false => Ok(()),
                    true => Err(Error::unavailable(format!(
                        "{}: the queue `{}` of a group is not there",
                        self.service.server(),
                        group.queue
                    ))
                    .with_source(gone)
                    .with_hint("subscribe again, which makes it, or forget the group")),
                }
            }
            sent => sent,
        }
    }

    /// Removes a message that was acknowledged.
    async fn remove(&self, queue: &Arc<str>, receipt: &str) -> Result<()> {
        let call = || Call::Remove(Arc::clone(queue), receipt.to_owned());
        let mut tries = 0;
        loop {
            tries += 1;
            match self.calls.call(call, || sending::one(&*self.service, call())).await {
                Err(error) if error.kind().is_temporary() && tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                removed => return removed,
            }
        }
    }

    /// Makes the queue of a subscription and writes down what it covers. Returns once every host
    /// goes by that.
    async fn join(&self, queue: &str, covers: &Covers) -> Result<()> {
        let groups = self.directory.read(&*self.service).await?;
        for gone in groups.iter().filter(|group| group.covers.is_over()) {
            self.service.forget(&gone.queue).await?;
        }
        self.service.make(queue).await?;
        let since = match directory::since(&groups, queue, covers) {
            Some(since) => since,
            None => {
                self.service.write(queue, &covers.text()).await?;
                // So that this host knows of it, and who joins again need not wait.
                let groups = self.directory.read(&*self.service).await?;
                directory::since(&groups, queue, covers).unwrap_or_else(Instant::now)
            }
        };
        sleep_until(since + self.directory.age()).await;
        Ok(())
    }
}

#[async_trait]
impl<S: Service> Broker for Queues<S> {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn publish(
        &self,
        topic: &str,
        message: Message,
        options: &PublishOptions,
    ) -> Result<Published> {
        let delay = options.delay.unwrap_or_default();
        if delay > S::LONGEST_DELAY {
            let most = base::units::show_duration(S::LONGEST_DELAY);
            return Err(Error::unsupported(format!(
                "this broker puts a publication off for {most} at most"
            )));
        }
        self.send(topic, Letter::pack(topic, &message, delay, S::takes)).await?;
        Ok(Published::default())
    }

    async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        options: &PublishOptions,
    ) -> Vec<Result<Published>> {
        use futures::stream::{StreamExt as _, iter};
        let publishing = messages
            .into_iter()
            .map(async |(topic, message)| self.publish(&topic, message, options).await);
        iter(publishing).buffered(BATCH).collect().await
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>> {
        let service = &self.shared.service;
        let (queue, covers) = match &subscription.group {
            Some(group) => (service.word(group), Covers::of_group(&subscription.topics)),
            None => {
                // No group has a `\0`.
                let queue = service.word(&format!("\0{:016x}", fastrand::u64(..)));
                (queue, Covers::for_a_while(&subscription.topics))
            }
        };
        self.shared.join(&queue, &covers).await?;
        let pump = Pump::new(Arc::clone(&self.shared), queue.into(), subscription.clone());
        Ok(Box::new(Taker::new(|asked| pump.run(asked))))
    }

    async fn forget(&self, group: &str) -> Result<()> {
        let service = &self.shared.service;
        service.forget(&service.word(group)).await
    }

    async fn destroy(&self) -> Result<()> {
        self.shared.service.destroy().await
    }
}
