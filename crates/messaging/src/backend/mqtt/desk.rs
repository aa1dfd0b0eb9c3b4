//! A session of the server as this host has it: its connection, and the rules of delivery for the
//! messages that come on it, which are those of every broker inside this process.

use super::held::{Held, Way};
use super::letter;
use super::link::Link;
use super::names::Note;
use super::notes::{BEAT, written};
use crate::filters::{apart, covering};
use crate::local::{Local, Memory, Retention};
use crate::{Broker as _, Filter, Message, Offer, Position, PublishOptions, Subscription};
use base::{Clock, Error, Result, lock};
use connect::mqtt::{Arrivals, Arrived, Connection, Publish, Session};
use futures::FutureExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// How long after a failure a connection is tried again, at first and at the most.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);
/// How often a host that stands by looks whether the group is free.
const LOOK: Duration = Duration::from_millis(500);
/// So many messages come before the first of them is acknowledged.
const WINDOW: u16 = 4096;
/// How long the server keeps the session of who is alone and has lost its connection.
const ALONE: Duration = Duration::from_secs(3600);

/// How this host stands to the session.
#[derive(Clone)]
pub(super) enum Standing {
    /// It has it.
    Here,
    /// Another host has it.
    By,
    /// It cannot be reached.
    Away(Arc<Error>),
    /// The group was forgotten.
    Forgotten,
}

/// A session that this host has, until the last of its subscribers and of their messages is gone.
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    /// What takes its messages.
    _pump: JoinSet<()>,
}

pub(super) struct Shared {
    link: Arc<Link>,
    session: Session,
    /// `None`: it is that of one subscriber alone.
    name: Option<String>,
    pub(super) engine: Local<Memory>,
    filters: Mutex<Arc<[Filter]>>,
    held: Mutex<Held>,
    standing: watch::Sender<Standing>,
    current: Mutex<Option<Connection>>,
    /// Held by whoever connects.
    connecting: tokio::sync::Mutex<()>,
    /// Hands new connections to the pump.
    made: mpsc::UnboundedSender<Made>,
    /// Tells it to look whether the group is free.
    look: Notify,
    /// Told when the server has sent something, perhaps again.
    again: Notify,
}

/// A new connection, the number of it, and what comes on it.
type Made = (Connection, u64, Arrivals);

impl Desk {
    /// A session that is not connected yet.
    pub(super) fn new(
        link: &Arc<Link>,
        id: String,
        name: Option<String>,
        filters: &[Filter],
    ) -> Self {
        let clears = name.as_ref().map(|_| link.names.note(Note::Holder, &id));
        let expiry = if name.is_some() { link.expiry } else { ALONE };
        let session = Session { id, is_clean: false, expiry, window: WINDOW, clears };
        let (made, connections) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            link: Arc::clone(link),
            session,
            name,
            engine: engine(),
            filters: Mutex::new(filters.into()),
            held: Mutex::default(),
            standing: watch::Sender::new(Standing::By),
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            made,
            look: Notify::new(),
            again: Notify::new(),
        });
        let mut pump = JoinSet::new();
        pump.spawn(Arc::clone(&shared).run(connections));
        Self { shared, _pump: pump }
    }
}

impl Drop for Desk {
    /// The server keeps the session of a group, and forgets that of who was alone.
    fn drop(&mut self) {
        let Some(connection) = lock(&self.shared.current).take() else { return };
        if let Some(topic) = &self.shared.session.clears {
            // As the server should by itself, which Mosquitto does not after another host had it.
            let cleared =
                Publish { topic: topic.clone().into(), retain: true, ..Publish::default() };
            drop(connection.tell(cleared));
        }
        connection.end(self.shared.name.is_none());
    }
}

/// The one group of a session in this host's engine, which covers all that comes.
pub(super) fn group_of(subscription: Subscription) -> Result<Subscription> {
    let topics = vec![Filter::parse(">")?];
    Ok(Subscription { topics, ..subscription.of_group("group") })
}

/// The rules of delivery, for the messages of one session.
fn engine() -> Local<Memory> {
    let offer = Offer {
        backend: "mqtt 5".into(),
        levels: super::BEST.levels,
        max_message: usize::MAX,
        emulated: Vec::new(),
    };
    // What its one group is done with is nobody's any more.
    let retention = Retention { size: u64::MAX, age: Duration::ZERO, groups: Duration::MAX };
    let engine = Local::new(offer, Memory::default(), Clock::System, retention);
    // The group is there before the first message, and goes on without a subscriber.
    let group = group_of(Subscription::new(Vec::new()));
    drop(group.map(|group| engine.subscribe(&group).now_or_never()));
    engine
}

impl Shared {
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// What the session covers.
    pub(super) fn filters(&self) -> Arc<[Filter]> {
        if self.name.is_some()
            && let Some(told) = self.link.notes.filters(&self.session.id)
        {
            *lock(&self.filters) = told;
        }
        Arc::clone(&lock(&self.filters))
    }

    /// Takes the session, in place of the connection that there may be, and has it cover these
    /// topics and no longer those that it covered before.
    pub(super) async fn take(
        &self,
        filters: &[Filter],
        before: &[Filter],
        is_new: bool,
    ) -> Result<()> {
        let _connecting = self.connecting.lock().await;
        *lock(&self.filters) = filters.into();
        let connection = match self.usable() {
            Some(connection) => connection,
            None => self.connect(is_new).await?,
        };
        self.cover(&connection, before, filters).await
    }

    /// Leaves the session to the host that has it, until that is gone.
    pub(super) fn stand_by(&self) {
        self.look.notify_one();
    }

    /// Takes the session again, unless somebody did meanwhile.
    async fn take_again(&self) -> Result<()> {
        let _connecting = self.connecting.lock().await;
        if self.usable().is_some() {
            return Ok(());
        }
        let connection = self.connect(false).await?;
        // A server that lost the session has lost what it covered too.
        let filters = self.filters();
        self.cover(&connection, &[], &filters).await
    }

    fn usable(&self) -> Option<Connection> {
        lock(&self.current).clone().filter(|connection| !connection.is_lost())
    }

    /// Connects to the session, which is a new one if `is_new`.
    async fn connect(&self, is_new: bool) -> Result<Connection> {
        let id = &self.session.id;
        let is_mine = || self.link.notes.user(id) == Some(self.link.host());
        if self.name.is_some() && !is_mine() {
            // Said before the session is taken, so that whoever had it finds out.
            let topic = self.link.names.note(Note::User, id);
            self.link.retain(topic, self.link.host(), None).await?;
        }
        if is_new && self.name.is_some() {
            // By a connection of its own: Mosquitto keeps no session over its restart that began
            // with a clean one.
            self.link.clear(id).await?;
        }
        let (connection, arrivals) = self.link.server.session(&self.session).await?;
        let is_known = connection.terms().is_known;
        if !is_known && !is_new {
            let server = self.link.server.server();
            let group = self.name.as_deref().unwrap_or("(alone)");
            tracing::warn!(server, group, "the server has lost the session, and what waited in it");
        }
        // Another host may have had it meanwhile, and the server's numbers be those of others.
        let is_same = is_known && self.has_nobody_else_had_it(is_mine).await?;
        let epoch = lock(&self.held).connected(is_same);
        self.again.notify_waiters();
        *lock(&self.current) = Some(connection.clone());
        // It is gone only with this.
        drop(self.made.send((connection.clone(), epoch, arrivals)));
        Ok(connection)
    }

    async fn has_nobody_else_had_it(&self, is_mine: impl Fn() -> bool) -> Result<bool> {
        if self.name.is_none() || lock(&self.held).is_empty() {
            return Ok(true);
        }
        self.link.caught_up().await?;
        Ok(is_mine())
    }

    /// The filters of the session, of which no two cover the same: the server would send a message
    /// for each of them.
    fn named(&self, filters: &[Filter]) -> Vec<String> {
        let names = &self.link.names;
        match apart(filters) {
            Some(filters) => filters.into_iter().map(|filter| names.filter(filter)).collect(),
            None => {
                let covering = Filter::parse(&covering(filters));
                covering.iter().map(|filter| names.filter(filter)).collect()
            }
        }
    }

    async fn cover(
        &self,
        connection: &Connection,
        before: &[Filter],
        filters: &[Filter],
    ) -> Result<()> {
        let wanted = self.named(filters);
        let mut old = self.named(before);
        old.retain(|filter| !wanted.contains(filter));
        let covered = self
            .link
            .server
            .within(async {
                connection.subscribe(&wanted, false).await?;
                if !old.is_empty() {
                    connection.unsubscribe(&old).await?;
                }
                Ok(())
            })
            .await;
        match covered {
            Ok(()) => {
                self.hold().await;
                self.change(|standing| *standing = Standing::Here);
                Ok(())
            }
            Err(error) => {
                connection.give_up("its topics cannot be subscribed to");
                Err(error)
            }
        }
    }

    /// Says that this host has the group.
    async fn hold(&self) {
        if self.name.is_some() {
            let topic = self.link.names.note(Note::Holder, &self.session.id);
            let host = self.link.host();
            // Whoever does not hear it takes the group over, and this host hears of that.
            drop(self.link.retain(topic, host, Some(BEAT * 3)).await);
        }
    }

    /// The group is there no more.
    pub(super) fn forget(&self) {
        self.standing.send_replace(Standing::Forgotten);
        if let Some(connection) = lock(&self.current).take() {
            connection.give_up("the group was forgotten");
        }
    }

    fn is_forgotten(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Forgotten)
    }

    /// How a message can be acknowledged, which is waited for while the server sends again what it
    /// sent before. `None`: not at all, as the server keeps it no more.
    ///
    /// # Errors
    /// `Unavailable` where the connection is lost.
    pub(super) async fn way(&self, place: &Position) -> Result<Option<(Connection, u16)>> {
        let away = || {
            Error::unavailable(format!("{}: the session is not here", self.link.server.server()))
        };
        let until = Instant::now() + self.link.server.timeout();
        loop {
            let again = self.again.notified();
            let mut again = std::pin::pin!(again);
            again.as_mut().enable();
            let way = lock(&self.held).way(place);
            if way == Way::Gone || self.is_forgotten() {
                return Ok(None);
            }
            let connection = lock(&self.current).clone().ok_or_else(away)?;
            if connection.is_lost() {
                return Err(connection.is_gone());
            }
            if let Way::Number(number) = way {
                return Ok(Some((connection, number)));
            }
            tokio::select! {
                () = again => {}
                () = connection.lost() => {}
                () = sleep_until(until) => return Err(away()),
            }
        }
    }

    /// A message is done with.
    pub(super) fn done(&self, place: &Position) {
        lock(&self.held).remove(place);
    }
}

impl Shared {
    /// Takes the messages of one connection after the other.
    async fn run(self: Arc<Self>, mut connections: mpsc::UnboundedReceiver<Made>) {
        loop {
            tokio::select! {
                made = connections.recv() => {
                    let Some((connection, epoch, arrivals)) = made else { return };
                    tokio::select! {
                        () = self.pump(&connection, epoch, arrivals) => {}
                        () = self.beat() => {}
                    }
                    self.away(connection.is_gone());
                }
                () = self.look.notified() => {}
            }
            self.come_back(&mut connections).await;
            if self.is_forgotten() {
                return;
            }
        }
    }

    /// Changes how this host stands to the session, unless that is no more.
    fn change(&self, change: impl FnOnce(&mut Standing)) {
        self.standing.send_if_modified(|standing| {
            let is_left = !matches!(standing, Standing::Forgotten);
            if is_left {
                change(standing);
            }
            is_left
        });
    }

    fn away(&self, error: Error) {
        self.change(|standing| *standing = Standing::Away(Arc::new(error)));
    }

    /// Takes messages until the connection is lost.
    async fn pump(&self, connection: &Connection, epoch: u64, mut arrivals: Arrivals) {
        while let Some(arrived) = arrivals.next().await {
            self.arrived(connection, epoch, arrived);
        }
    }

    /// Says again and again that this host has the group.
    async fn beat(&self) {
        loop {
            sleep(BEAT).await;
            self.hold().await;
        }
    }

    /// Waits until there is a connection again, that somebody made or this.
    async fn come_back(&self, connections: &mut mpsc::UnboundedReceiver<Made>) {
        let mut pause = PAUSE;
        while connections.is_empty() && !self.is_forgotten() {
            match self.may_take().await {
                Ok(true) => match self.take_again().await {
                    Ok(()) => return,
                    Err(error) => self.away(error),
                },
                Ok(false) => {
                    self.change(|standing| *standing = Standing::By);
                    pause = LOOK;
                }
                Err(error) => self.away(error),
            }
            // Not every host at the same moment.
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Whether the session is free, as far as is known.
    async fn may_take(&self) -> Result<bool> {
        let (notes, id) = (&self.link.notes, &self.session.id);
        let Some(name) = &self.name else { return Ok(true) };
        // Whoever has taken it has said so first, and been heard by now.
        self.link.caught_up().await?;
        if notes.is_forgotten(id) {
            self.forget();
            return Ok(false);
        }
        let (host, holder) = (self.link.host(), notes.holder(id));
        let is_mine = notes.user(id).is_none_or(|user| user == host);
        let is_free = holder.is_none_or(|holder| is_mine && holder == host);
        if is_free && notes.filters(id).is_none() {
            // The server has lost what it kept.
            let filters = self.filters();
            let said = written(name, &filters);
            self.link.retain(self.link.names.note(Note::Group, id), said, None).await?;
            self.link.told(id, Some(&filters)).await?;
        }
        Ok(is_free)
    }

    /// A message came.
    fn arrived(&self, connection: &Connection, epoch: u64, Arrived { publish, room }: Arrived) {
        let number = publish.pkid;
        let topic = str::from_utf8(&publish.topic).ok();
        let topic = topic.and_then(|topic| self.link.names.read(topic));
        let is_ours = |topic: &String| self.filters().iter().any(|filter| filter.covers(topic));
        let Some(topic) = topic.filter(is_ours) else {
            // The session covered it before, or an older host's did.
            if number > 0 {
                drop(connection.acknowledge(number));
            }
            return;
        };
        let properties = publish.properties.unwrap_or_default();
        let reply_to = self.link.replies.read(&self.link.names, &properties);
        let message = Message { reply_to, ..letter::unpack(properties, publish.payload) };
        let mut held = lock(&self.held);
        if held.epoch != epoch {
            // It comes again on the connection that there is now.
            return;
        }
        self.again.notify_waiters();
        let room = match number {
            // The server has sent it for the first time and the last.
            0 => None,
            number => match held.is_here(number, publish.dup, room) {
                Ok(()) => return,
                Err(room) => Some(room),
            },
        };
        let options = PublishOptions { delay: None, beyond: true };
        // It is in memory, and done at once. Nobody settles it before it is held.
        let published = self.engine.publish(&topic, message, &options).now_or_never();
        match published {
            Some(Ok(published)) => {
                if let (Some(place), Some(room)) = (published.position, room) {
                    held.add(place, number, room);
                }
            }
            _ => tracing::error!(topic, "a message was not taken in, and comes again later"),
        }
    }
}
