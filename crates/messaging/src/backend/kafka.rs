//! Messages in Kafka: all of a binding are in one topic of Kafka, and a group is a consumer group.
//!
//! Kafka knows how far a group has come in each part of a topic, and nothing of single messages.
//! What is said of these, a host that has the part knows: `member` is the group in this host,
//! `part` a part that it was given, `notes` what it writes beside the group's offset, so that the
//! next host knows as much.

mod buffer;
mod group;
mod letter;
mod member;
mod names;
mod notes;
mod part;
mod reader;
mod settings;
mod sweep;
mod taker;
mod topic;

use crate::{Broker, Checked, Message, Offer, PublishOptions, Published, Subscriber, Subscription};
use async_trait::async_trait;
use base::{Backend, Place, Result, lock};
use letter::Control;
use member::{Member, Shared};
use notes::Notes;
use part::Part;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use taker::Taker;
use tokio::sync::Mutex as Turn;
use tokio::task::JoinSet;
use topic::Topic;

pub(super) use settings::BEST;
pub use settings::Kafka;

/// Hosts that hear that a group is forgotten have left it after so long.
const LEAVING: Duration = Duration::from_secs(12);

impl Backend for Kafka {
    type Contract = dyn Broker;
    const NAME: &'static str = "kafka";
    const SCHEMES: &'static [&'static str] = &["kafka"];
    const EXAMPLE: &'static str = "kafka://127.0.0.1:9092";

    fn check(&self) -> Result<(), String> {
        self.connection().map(drop).map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Broker>> {
        let (topic, offer) = self.open_topic(&place).await?;
        let topic = Arc::new(topic);
        let mut tasks = JoinSet::new();
        if let Some(age) = self.age() {
            tasks.spawn(sweep::run(Arc::clone(&topic), age));
        }
        let groups = Groups { by_name: Turn::default(), all: Mutex::default() };
        Ok(Arc::new(Checked::new(Topics { topic, offer, groups, _tasks: tasks })))
    }
}

/// The broker behind `kafka:`.
pub struct Topics {
    topic: Arc<Topic>,
    offer: Offer,
    groups: Groups,
    /// Ends with the broker.
    _tasks: JoinSet<()>,
}

/// Who takes part here.
struct Groups {
    /// Held while a group is joined or forgotten.
    by_name: Turn<HashMap<String, Weak<Member>>>,
    /// Those that are alone, too.
    all: Mutex<Vec<Weak<Member>>>,
}

impl Groups {
    fn start(&self, shared: Shared) -> Result<Arc<Member>> {
        let member = Member::start(shared)?;
        let mut all = lock(&self.all);
        all.retain(|member| member.strong_count() > 0);
        all.push(Arc::downgrade(&member));
        Ok(member)
    }
}

impl Topics {
    async fn alone(&self, subscription: &Subscription) -> Result<Arc<Member>> {
        let topics = group::topics(subscription)?;
        let kafka_group = names::alone(&self.topic.name);
        let starts = group::starts(&self.topic, &kafka_group, subscription).await?;
        let shared =
            Shared::new(&self.topic, None, kafka_group, (0, topics.clone()), subscription.ordered);
        for (partition, start) in starts {
            let notes = Notes { topics: topics.clone(), cursor: start, ..Notes::default() };
            let part = Part::new(notes, start, (subscription.ordered, &shared.wake));
            lock(&shared.state).give(partition, part);
        }
        self.groups.start(shared)
    }

    async fn of_group(&self, group: &str, subscription: &Subscription) -> Result<Arc<Member>> {
        let topics = group::topics(subscription)?;
        let mut by_name = self.groups.by_name.lock().await;
        let joined = group::join(&self.topic, group, subscription, &topics).await?;
        let incarnation = joined.incarnation;
        if joined.is_changed {
            let said = Control::Covers { incarnation, topics: topics.clone() };
            self.topic.tell(&joined.partitions, group, &said).await?;
        }
        let member = by_name.get(group).and_then(Weak::upgrade).filter(|member| member.is_there());
        if let Some(member) = member {
            if member.shared.covers.0 == incarnation {
                member.joined_by(subscription);
                return Ok(member);
            }
            member.end(reader::forgotten(group)).await;
        }
        let name = Some(group.to_owned());
        let kafka_group = names::group(&self.topic.name, group);
        let covers = (incarnation, topics);
        let shared = Shared::new(&self.topic, name, kafka_group, covers, subscription.ordered);
        let member = self.groups.start(shared)?;
        by_name.retain(|_, member| member.strong_count() > 0);
        by_name.insert(group.to_owned(), Arc::downgrade(&member));
        Ok(member)
    }
}

#[async_trait]
impl Broker for Topics {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn publish(
        &self,
        topic: &str,
        message: Message,
        _options: &PublishOptions,
    ) -> Result<Published> {
        self.topic.publish(topic, &message).await
    }

    async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        _options: &PublishOptions,
    ) -> Vec<Result<Published>> {
        self.topic.publish_many(&messages).await
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>> {
        self.topic.check()?;
        let member = match &subscription.group {
            Some(group) => self.of_group(group, subscription).await?,
            None => self.alone(subscription).await?,
        };
        Ok(Box::new(Taker::new(member, subscription)))
    }

    async fn forget(&self, group: &str) -> Result<()> {
        let mut by_name = self.groups.by_name.lock().await;
        if let Some(member) = by_name.remove(group).and_then(|member| member.upgrade()) {
            member.end(reader::forgotten(group)).await;
        }
        group::forget(&self.topic, group).await
    }

    async fn destroy(&self) -> Result<()> {
        self.topic.is_gone.store(true, Relaxed);
        let all: Vec<_> = lock(&self.groups.all).iter().filter_map(Weak::upgrade).collect();
        let ending = all.iter().map(|member| member.end(self.topic.gone()));
        futures::future::join_all(ending).await;
        self.topic.destroy().await
    }
}
