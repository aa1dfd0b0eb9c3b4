//! Messages in tables of PostgreSQL: a log in the order of publication, and for each group a cursor
//! into it and a row for each message before that which it is not done with.

mod bells;
mod publishing;
mod pump;
mod replies;
mod rows;
mod settings;
mod statements;
mod sweep;
mod tables;
mod topics;
mod verdicts;

use super::taker::Taker;
use crate::{
    Broker, Checked, Message, Offer, PublishOptions, Published, RequestOptions, Subscriber,
    Subscription, is_inbox,
};
use async_trait::async_trait;
use base::units::Size;
use base::{Backend, Error, Place, Result};
use bells::Bells;
use connect::batcher::{Batch as _, Batcher};
use publishing::{Outcome, Parcel, Publishing};
use pump::Pump;
use std::sync::Arc;
use std::time::Duration;
use sweep::Room;
use tables::Tables;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use verdicts::{Said, Verdicts};

pub(super) use settings::BEST;
pub use settings::Postgres;

/// So many messages of a batch are published at once.
const BATCH: usize = 256;

impl Backend for Postgres {
    type Contract = dyn Broker;
    const NAME: &'static str = "postgres";
    const SCHEMES: &'static [&'static str] = &["postgres", "postgresql"];
    const EXAMPLE: &'static str = "postgres://user@127.0.0.1:5432/database";

    fn check(&self) -> Result<(), String> {
        self.verify().map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Broker>> {
        self.open_by(place, statements::NOW).await
    }
}

impl Postgres {
    /// Opens the binding with another clock than the database's own: `now` is an expression of SQL
    /// for the time, e.g. `(SELECT now FROM clock)`.
    ///
    /// # Errors
    /// What keeps it from opening.
    pub async fn open_by(self, place: Place, now: &str) -> Result<Arc<dyn Broker>> {
        let (tables, offer) = self.open_tables(&place, now).await?;
        let tables = Arc::new(tables);
        let mut tasks = JoinSet::new();
        tasks.spawn(sweep::run(Arc::clone(&tables), self.retention()));
        let host = Host::new(tables, self.timeout);
        let publishing = Publishing(Arc::clone(&host.tables));
        let limits = publishing::limits(self.timeout);
        let publishing = Batcher::new(host.tables.server.server(), publishing, limits);
        let room = Room::default();
        Ok(Arc::new(Checked::new(Queue { host, offer, publishing, room, _tasks: tasks })))
    }
}

/// The broker behind `postgres:`.
pub struct Queue {
    host: Arc<Host>,
    offer: Offer,
    publishing: Batcher<Publishing>,
    room: Room,
    /// Ends with the broker.
    _tasks: JoinSet<()>,
}

/// What the subscribers of this host share.
struct Host {
    tables: Arc<Tables>,
    verdicts: Batcher<Verdicts>,
    /// What is said of messages that were dropped.
    given: mpsc::Sender<Said>,
    bells: Arc<Bells>,
    /// Told when a reply was published here.
    replied: Notify,
}

impl Host {
    fn new(tables: Arc<Tables>, timeout: Duration) -> Arc<Self> {
        let (given, dropped) = mpsc::channel(verdicts::GIVEN);
        let bells = Arc::<Bells>::default();
        let verdicts = Verdicts(Arc::clone(&tables));
        let ring = {
            let bells = Arc::clone(&bells);
            move |group| bells.ring(group)
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(verdicts::give_back(verdicts.clone(), dropped, ring));
        // Ends once nobody is left who could drop a message.
        tasks.detach_all();
        let limits = verdicts::limits(timeout);
        let verdicts = Batcher::new(tables.server.server(), verdicts, limits);
        Arc::new(Self { tables, verdicts, given, bells, replied: Notify::new() })
    }
}

impl Queue {
    /// Publishes messages in this order. Where there is no room it is made once.
    async fn publish_together(&self, parcels: Arc<[Parcel]>) -> Result<Vec<Result<Published>>> {
        let outcomes = self.publish_once(&parcels).await?;
        if !outcomes.contains(&Outcome::Full) {
            return Ok(outcomes.into_iter().map(|outcome| self.published(outcome, None)).collect());
        }
        let behind = self.room.make(&self.host.tables).await?;
        let mut again = Vec::new();
        for (parcel, outcome) in parcels.iter().zip(&outcomes) {
            if *outcome == Outcome::Full {
                let (topic, message) = (parcel.topic.clone(), parcel.message.clone());
                let (delay, beyond) = (parcel.delay, parcel.beyond);
                again.push(Parcel { topic, message, delay, beyond });
            }
        }
        let mut second = self.publish_once(&again.into()).await?.into_iter();
        let outcomes = outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Full => second.next().unwrap_or(Outcome::Full),
            outcome => outcome,
        });
        let behind = behind.as_deref();
        Ok(outcomes.map(|outcome| self.published(outcome, behind)).collect())
    }

    async fn publish_once(&self, parcels: &Arc<[Parcel]>) -> Result<Vec<Outcome>> {
        let publishing = Publishing(Arc::clone(&self.host.tables));
        let call = || Arc::clone(parcels);
        let published = self.publishing.call(call, async || publishing.one(parcels).await).await?;
        self.host.bells.published(parcels.iter().map(|parcel| parcel.topic.as_str()));
        Ok(published)
    }

    fn published(&self, outcome: Outcome, behind: Option<&str>) -> Result<Published> {
        let at = |seq| Some(self.host.tables.position(seq));
        match outcome {
            Outcome::Published(seq) => Ok(Published { position: at(seq), duplicate: false }),
            Outcome::Known(seq) => Ok(Published { position: at(seq), duplicate: true }),
            Outcome::Full => {
                let room = Size(self.host.tables.room.unwrap_or_default().unsigned_abs());
                let full = Error::exhausted(format!("the messages that wait take {room}"));
                Err(match behind {
                    Some(group) => full.with_hint(format!(
                        "group `{group}` is the one behind: subscribe to it, or forget it"
                    )),
                    None => full.with_hint("give the binding a larger `max-size`"),
                })
            }
        }
    }
}

#[async_trait]
impl Broker for Queue {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn publish(
        &self,
        topic: &str,
        message: Message,
        options: &PublishOptions,
    ) -> Result<Published> {
        if is_inbox(topic) {
            replies::reply(&self.host, topic, message).await?;
            self.host.replied.notify_waiters();
            return Ok(Published::default());
        }
        let parcel = parcel(topic.to_owned(), message, options);
        let published = self.publish_together(Arc::new([parcel])).await?.pop();
        published.unwrap_or_else(|| Err(Error::internal("a message has no outcome")))
    }

    async fn publish_many(
        &self,
        messages: Vec<(String, Message)>,
        options: &PublishOptions,
    ) -> Vec<Result<Published>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        let (mut waiting, mut size) = (Vec::new(), 0);
        for (topic, message) in messages {
            let is_full = waiting.len() >= BATCH || size + message.size() > publishing::BYTES;
            if is_full || is_inbox(&topic) {
                outcomes.extend(self.publish_each(std::mem::take(&mut waiting)).await);
                size = 0;
            }
            if is_inbox(&topic) {
                outcomes.push(self.publish(&topic, message, options).await);
            } else {
                size += message.size();
                waiting.push(parcel(topic, message, options));
            }
        }
        outcomes.extend(self.publish_each(waiting).await);
        outcomes
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Subscriber>> {
        let group = self.host.tables.join(subscription).await?;
        let pump = Pump::new(&self.host, group, subscription.clone());
        Ok(Box::new(Taker::new(|asked| pump.run(asked))))
    }

    async fn request(
        &self,
        topic: &str,
        message: Message,
        options: &RequestOptions,
    ) -> Result<Vec<Message>> {
        replies::request(self, topic, message, options).await
    }

    async fn forget(&self, group: &str) -> Result<()> {
        self.host.tables.forget_named(group).await
    }

    async fn destroy(&self) -> Result<()> {
        self.host.tables.destroy().await
    }
}

impl Queue {
    /// As [`publish_together`](Self::publish_together), with an outcome for each in any case.
    async fn publish_each(&self, parcels: Vec<Parcel>) -> Vec<Result<Published>> {
        let count = parcels.len();
        if count == 0 {
            return Vec::new();
        }
        match self.publish_together(parcels.into()).await {
            Ok(outcomes) => outcomes,
            Err(error) => (0..count).map(|_| Err(error.again())).collect(),
        }
    }
}

fn parcel(topic: String, message: Message, options: &PublishOptions) -> Parcel {
    Parcel { topic, message, delay: options.delay, beyond: options.beyond }
}
