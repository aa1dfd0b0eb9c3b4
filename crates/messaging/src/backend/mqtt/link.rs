//! The connection of a binding on which messages go out, and on which replies and news of groups
//! come in.

use super::desk::Desk;
use super::letter;
use super::names::Names;
use super::notes::Notes;
use super::replies::Replies;
use crate::local::Inboxes;
use crate::{Filter, INBOX};
use base::{Error, Result, lock};
use bytes::Bytes;
use connect::mqtt::{Arrivals, Connection, Mqtt as Server, Publish, PublishProperties, Session};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What a host publishes to itself, with a number behind it: all that was published before it, and
/// all that the server kept, came before.
const BEGUN: &str = "begun-";

/// How long it takes about until a host hears what it said itself.
const MOMENT: Duration = Duration::from_millis(2);

/// The way to the server.
pub(super) struct Link {
    pub(super) server: Server,
    pub(super) names: Arc<Names>,
    pub(super) replies: Arc<Replies>,
    pub(super) inboxes: Arc<Inboxes>,
    pub(super) notes: Arc<Notes>,
    /// For so long the server keeps a group that nobody has.
    pub(super) expiry: Duration,
    /// Held while a group gets its topics, or is forgotten.
    pub(super) joining: tokio::sync::Mutex<()>,
    /// The groups that this host has, by their sessions.
    desks: Mutex<HashMap<String, Weak<Desk>>>,
    /// The last of them that was heard, and that was published.
    begun: Arc<watch::Sender<u64>>,
    beginnings: AtomicU64,
    /// What listens; each ends with its connection.
    tasks: Mutex<JoinSet<()>>,
}

impl Link {
    pub(super) fn new(
        server: impl FnOnce(Session) -> Result<Server>,
        names: Names,
        expiry: Duration,
    ) -> Result<Self> {
        let inboxes = Inboxes::new();
        let session = Session {
            id: names.session(&format!("\0\0{:x}", inboxes.incarnation)),
            is_clean: true,
            expiry: Duration::ZERO,
            window: u16::MAX,
            clears: None,
        };
        Ok(Self {
            server: server(session)?,
            names: Arc::new(names),
            replies: Arc::default(),
            inboxes,
            notes: Arc::default(),
            expiry,
            joining: tokio::sync::Mutex::default(),
            desks: Mutex::default(),
            begun: Arc::default(),
            beginnings: AtomicU64::new(0),
            tasks: Mutex::default(),
        })
    }

    /// This host, as others know it.
    pub(super) fn host(&self) -> String {
        self.inboxes.name()
    }

    /// Makes an exchange with the server.
    pub(super) async fn call<T, F>(&self, exchange: impl FnOnce(Connection) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let begin = |connection, arrivals| self.begin(connection, arrivals);
        self.server.call(begin, exchange).await
    }

    /// Has a connection, and so hears of groups.
    pub(super) async fn refresh(&self) -> Result<()> {
        self.call(async |_connection: Connection| Ok(())).await
    }

    /// Has the server keep this under a topic; nothing: no more.
    pub(super) async fn retain(
        &self,
        topic: String,
        said: String,
        expiry: Option<Duration>,
    ) -> Result<()> {
        let seconds = |expiry: Duration| u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
        let properties = PublishProperties {
            message_expiry_interval: expiry.map(seconds),
            ..PublishProperties::default()
        };
        let publish = Publish {
            topic: topic.into(),
            payload: said.into(),
            retain: true,
            properties: Some(properties),
            ..Publish::default()
        };
        self.call(async |connection: Connection| connection.publish(publish).await).await.map(drop)
    }

    /// Waits until it is heard that a group covers this, or is no more.
    pub(super) async fn told(&self, session: &str, filters: Option<&[Filter]>) -> Result<()> {
        let heard = async {
            while self.notes.filters(session).as_deref() != filters {
                sleep(MOMENT).await;
            }
            Ok(())
        };
        self.server.within(heard).await
    }

    /// Has the server forget a session, whoever has it.
    pub(super) async fn clear(&self, session: &str) -> Result<()> {
        let session = Session {
            id: session.to_owned(),
            is_clean: true,
            expiry: Duration::ZERO,
            window: 1,
            clears: None,
        };
        let (connection, _) = self.server.session(&session).await?;
        connection.ended(true).await;
        Ok(())
    }

    /// A group that this host has.
    pub(super) fn desk(&self, session: &str) -> Option<Arc<Desk>> {
        lock(&self.desks).get(session)?.upgrade()
    }

    pub(super) fn add_desk(&self, session: &str, desk: &Arc<Desk>) {
        let mut desks = lock(&self.desks);
        desks.retain(|_, desk| desk.strong_count() > 0);
        desks.insert(session.to_owned(), Arc::downgrade(desk));
    }

    pub(super) fn take_desk(&self, session: &str) -> Option<Arc<Desk>> {
        lock(&self.desks).remove(session)?.upgrade()
    }

    /// What is done first on a new connection: it has all replies from now on, and all that is
    /// known of groups.
    async fn begin(&self, connection: Connection, arrivals: Arrivals) -> Result<()> {
        let number = self.beginnings.fetch_add(1, Relaxed) + 1;
        self.notes.begin();
        let host = self.inboxes.incarnation;
        let listening = Listening {
            connection: connection.clone(),
            host,
            names: Arc::clone(&self.names),
            notes: Arc::clone(&self.notes),
            inboxes: Arc::clone(&self.inboxes),
            begun: Arc::clone(&self.begun),
        };
        {
            let mut tasks = lock(&self.tasks);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(listening.run(arrivals));
        }
        let topics = [self.names.replies(host), self.names.notes()];
        connection.subscribe(&topics, true).await?;
        // What the server kept comes before what is published now.
        self.mark(&connection, number).await
    }

    /// Waits until all was heard that the server was told until now.
    pub(super) async fn caught_up(&self) -> Result<()> {
        let number = self.beginnings.fetch_add(1, Relaxed) + 1;
        self.call(async |connection: Connection| self.mark(&connection, number).await).await
    }

    async fn mark(&self, connection: &Connection, number: u64) -> Result<()> {
        let properties = PublishProperties {
            correlation_data: Some(format!("{BEGUN}{number}").into()),
            ..PublishProperties::default()
        };
        let topic = self.names.replies(self.inboxes.incarnation).into();
        let mark = Publish { topic, properties: Some(properties), ..Publish::default() };
        connection.publish(mark).await?;
        let mut begun = self.begun.subscribe();
        tokio::select! {
            heard = begun.wait_for(|heard| *heard >= number) => {
                heard.map(drop).map_err(|_closed| Error::unavailable("the broker was closed"))
            }
            () = connection.lost() => Err(connection.is_gone()),
        }
    }
}

/// What listens on one connection.
struct Listening {
    connection: Connection,
    host: u64,
    names: Arc<Names>,
    notes: Arc<Notes>,
    inboxes: Arc<Inboxes>,
    begun: Arc<watch::Sender<u64>>,
}

impl Listening {
    async fn run(self, mut arrivals: Arrivals) {
        while let Some(arrived) = arrivals.next().await {
            let publish = arrived.publish;
            if publish.pkid > 0 && self.connection.acknowledge(publish.pkid).is_err() {
                return;
            }
            let Ok(topic) = str::from_utf8(&publish.topic) else { continue };
            if self.names.host(topic) == Some(self.host) {
                self.reply(publish.properties.unwrap_or_default(), publish.payload);
            } else if let Some((note, session)) = self.names.noted(topic) {
                self.notes.hear(note, session, &publish.payload);
            }
        }
    }

    fn reply(&self, properties: PublishProperties, payload: Bytes) {
        let number = properties.correlation_data.clone().unwrap_or_default();
        let Ok(number) = str::from_utf8(&number) else { return };
        if let Some(begun) = number.strip_prefix(BEGUN) {
            if let Ok(begun) = begun.parse::<u64>() {
                self.notes.begun();
                self.begun.send_if_modified(|last| {
                    let is_later = begun > *last;
                    *last = begun.max(*last);
                    is_later
                });
            }
            return;
        }
        let topic = format!("{INBOX}.{:x}-{number}", self.host);
        // A reply to what nobody asked is dropped.
        drop(self.inboxes.deliver(&topic, letter::unpack(properties, payload)));
    }
}
