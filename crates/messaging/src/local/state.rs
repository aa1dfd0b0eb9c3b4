//! What changes under one lock: the log, the groups, the ids that were seen.

use super::group::{Group, GroupRow, PendingRow, Taken};
use super::log::{Entry, Log};
use crate::delivery::forgotten;
use crate::{Message, Position, PublishOptions, Published, Start, Subscription, late};
use base::units::{Size, milliseconds};
use base::{Clock, Error, Result};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long an id is known.
const WINDOW: Duration = Duration::from_secs(120);
/// So many ids are known at once.
const IDS: usize = 1 << 20;
/// So many messages that are too old go in one call.
const AGED: usize = 64;

/// What is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Room for all messages together, in bytes. What no group needs any more makes room for what
    /// comes; where there is none of it, nothing is taken in.
    pub(crate) size: u64,
    /// For so long a message is kept that no group needs any more.
    pub(crate) age: Duration,
    /// After so long without a subscriber a group is forgotten.
    pub(crate) groups: Duration,
}

pub(crate) struct State<L> {
    pub(crate) log: L,
    clock: Clock,
    retention: Retention,
    pub(super) groups: HashMap<u64, Group>,
    pub(super) names: HashMap<Arc<str>, u64>,
    pub(super) ids: HashMap<String, (u64, u64)>,
    /// The ids in the order in which they came, with the time of each.
    pub(super) ids_by_time: VecDeque<(u64, String)>,
    /// The last number given to a group or to what was handed out.
    pub(super) last: u64,
    /// Positions of another log are refused.
    incarnation: u64,
    /// The number of the oldest message and its time, once it was looked at.
    pub(super) oldest: Option<(u64, u64)>,
    pub(super) changes: Changes,
}

/// What is to be kept that changed: ids of groups, and ids of messages.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) changed: BTreeSet<u64>,
    pub(super) removed: Vec<u64>,
    pub(super) new_ids: Vec<String>,
    pub(super) old_ids: Vec<String>,
}

/// What changed besides messages, to be kept with them.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) groups: Vec<(u64, GroupRow)>,
    pub(crate) removed: Vec<u64>,
    /// By the group and the message's number.
    pub(crate) pending: Vec<((u64, u64), Option<PendingRow>)>,
    /// An id, and the number and the time of its message.
    pub(crate) new_ids: Vec<(String, (u64, u64))>,
    pub(crate) old_ids: Vec<String>,
}

impl Rows {
    /// Whether nothing changed.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { groups, removed, pending, new_ids, old_ids } = self;
        groups.is_empty()
            && removed.is_empty()
            && pending.is_empty()
            && new_ids.is_empty()
            && old_ids.is_empty()
    }
}

impl<L: Log> State<L> {
    pub(super) fn new(log: L, clock: Clock, retention: Retention, incarnation: u64) -> Self {
        Self {
            log,
            clock,
            retention,
            groups: HashMap::new(),
            names: HashMap::new(),
            ids: HashMap::new(),
            ids_by_time: VecDeque::new(),
            last: 0,
            incarnation,
            oldest: None,
            changes: Changes::default(),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Takes note that a group changed.
    fn change(&mut self, id: u64) {
        if self.log.is_kept() && self.groups.get(&id).is_some_and(|group| group.name.is_some()) {
            self.changes.changed.insert(id);
            self.log.stir();
        }
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn publish(
        &mut self,
        topic: &str,
        message: Message,
        options: &PublishOptions,
    ) -> Result<Published> {
        self.log.admit()?;
        let now = self.clock.now();
        self.forget_old(now);
        if let Some(id) = &message.id
            && let Some((number, _)) = self.ids.get(id)
        {
            let position = Some(self.position(*number));
            return Ok(Published { position, duplicate: true });
        }
        let not_before = options.delay.map_or(0, |delay| self.clock.deadline(delay));
        let id = message.id.clone();
        let entry = Entry { topic: topic.into(), message, time: now, not_before };
        if !options.beyond {
            self.make_room(entry.size())?;
        }
        if id.is_some() && self.ids.len() >= IDS {
            return Err(Error::exhausted("too many messages with ids came within two minutes"));
        }
        let number = self.log.append(entry);
        if let Some(id) = id {
            if self.log.is_kept() {
                self.changes.new_ids.push(id.clone());
            }
            self.ids_by_time.push_back((now, id.clone()));
            self.ids.insert(id, (number, now));
        }
        Ok(Published { position: Some(self.position(number)), duplicate: false })
    }

    /// Tells the groups that there is something for them.
    pub(super) fn wake(&self, topic: &str) {
        for group in self.groups.values() {
            if group.subscribers > 0 && group.covers(topic) {
                group.wake.notify_waiters();
            }
        }
    }

    /// Whether anybody listens to a topic.
    pub(super) fn is_heard(&self, topic: &str) -> bool {
        self.groups.values().any(|group| group.subscribers > 0 && group.covers(topic))
    }

    /// Makes room for a message, of what nobody needs any more.
    fn make_room(&mut self, size: u64) -> Result<()> {
        while self.log.size() + size > self.retention.size {
            let needed = self.needed();
            if self.log.first() >= needed.min(self.log.next()) {
                return Err(self.full());
            }
            self.log.remove_first()?;
        }
        Ok(())
    }

    fn full(&self) -> Error {
        let room = Size(self.retention.size);
        let slow = self.groups.values().filter(|group| group.name.is_some());
        let slow = slow.min_by_key(|group| group.needs()).and_then(|group| group.name.clone());
        let error = Error::exhausted(format!("the messages that wait take {room}"));
        match slow {
            Some(name) => error.with_hint(format!(
                "group `{name}` is the one behind: subscribe to it, or forget it"
            )),
            None => error.with_hint("give the binding a larger `max-size`"),
        }
    }

    /// The number of the oldest message that a group needs.
    fn needed(&self) -> u64 {
        let lasting = self.groups.values().filter(|group| group.name.is_some());
        lasting.map(Group::needs).min().unwrap_or(u64::MAX)
    }

    /// Forgets what was kept long enough: messages, ids, groups.
    fn forget_old(&mut self, now: u64) {
        let before = |age: Duration| now.saturating_sub(milliseconds(age));
        while let Some((time, _)) = self.ids_by_time.front()
            && *time < before(WINDOW)
        {
            if let Some((_, id)) = self.ids_by_time.pop_front() {
                self.ids.remove(&id);
                if self.log.is_kept() {
                    self.changes.old_ids.push(id);
                }
            }
        }
        let gone = before(self.retention.groups);
        let is_gone = |group: &Group| group.subscribers == 0 && group.left < gone;
        let ids: Vec<u64> =
            self.groups.iter().filter(|(_, group)| is_gone(group)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.remove(id));
        for _ in 0..AGED {
            let is_old = self.oldest().is_some_and(|time| time < before(self.retention.age));
            if !is_old || self.log.first() >= self.needed() || self.log.remove_first().is_err() {
                break;
            }
        }
    }

    /// When the oldest message was published.
    fn oldest(&mut self) -> Option<u64> {
        let first = self.log.first();
        if let Some((_, time)) = self.oldest.filter(|(number, _)| *number == first) {
            return Some(time);
        }
        let time = match self.log.find(first).ok()? {
            Some(entry) => entry.time,
            // Somebody removed it.
            None if first < self.log.next() => 0,
            None => return None,
        };
        self.oldest = Some((first, time));
        Some(time)
    }

    /// The group that a subscription is for, which is made if it is not there.
    pub(super) fn join(&mut self, subscription: &Subscription) -> Result<(u64, &mut Group)> {
        let now = self.clock.now();
        let known = subscription.group.as_deref().and_then(|name| self.names.get(name)).copied();
        let id = match known {
            Some(id) => id,
            None => {
                let cursor = self.start(&subscription.start)?;
                let id = self.number();
                let name: Option<Arc<str>> = subscription.group.as_deref().map(Arc::from);
                if let Some(name) = &name {
                    self.names.insert(Arc::clone(name), id);
                }
                let group = Group::new(name, cursor, now, self.log.is_kept());
                self.groups.insert(id, group);
                id
            }
        };
        self.change(id);
        let group = self.groups.get_mut(&id).ok_or_else(|| Error::internal("a group is gone"))?;
        group.cover(&subscription.topics, subscription.ordered);
        group.subscribers += 1;
        Ok((id, group))
    }

    fn start(&self, start: &Start) -> Result<u64> {
        Ok(match start {
            Start::New => self.log.next(),
            Start::Beginning => self.log.first(),
            Start::After(position) => self.read(position)? + 1,
            Start::Since(time) => {
                let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                self.first_since(milliseconds(time))?
            }
        })
    }

    /// The number of the first message that was published at this time or later.
    fn first_since(&self, time: u64) -> Result<u64> {
        let (mut from, mut to) = (self.log.first(), self.log.next());
        while from < to {
            let middle = from + (to - from) / 2;
            // One that is gone is as old as the next that is there.
            let next = match self.log.find(middle)? {
                Some(entry) => Some((middle, entry)),
                None => self.log.read(middle, 1)?.pop(),
            };
            match next.filter(|(_, entry)| entry.time < time) {
                Some((number, _)) => from = number + 1,
                None => to = middle,
            }
        }
        Ok(from)
    }

    /// A subscriber is gone.
    pub(super) fn leave(&mut self, id: u64) {
        let now = self.clock.now();
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.subscribers = group.subscribers.saturating_sub(1);
        group.left = now;
        if group.name.is_none() {
            self.remove(id);
        }
        self.change(id);
    }

    pub(super) fn forget(&mut self, name: &str) {
        if let Some(id) = self.names.get(name).copied() {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u64) {
        if let Some(group) = self.groups.remove(&id) {
            if let Some(name) = &group.name {
                self.names.remove(name);
                if self.log.is_kept() {
                    self.changes.changed.remove(&id);
                    self.changes.removed.push(id);
                    self.log.stir();
                }
            }
            group.wake.notify_waiters();
        }
    }

    /// The next message for a group, and the token under which it is out. The second is how long
    /// until there may be another, where that is known.
    pub(super) fn take(
        &mut self,
        id: u64,
        deadline: Duration,
    ) -> Result<(Option<Out>, Option<Duration>)> {
        let (now, until) = (self.clock.now(), self.clock.deadline(deadline));
        let token = self.number();
        let Self { groups, log, .. } = self;
        let Some(group) = groups.get_mut(&id) else { return Err(forgotten()) };
        let before = group.cursor();
        let taken = group.take(log, now, (token, until))?;
        let is_changed = taken.is_some() || group.cursor() != before;
        let next = group.next_time().map(|time| Duration::from_millis(time.saturating_sub(now)));
        // Also where it only went on past messages of others; who found nothing changed nothing.
        if is_changed {
            self.change(id);
        }
        Ok((taken.map(|taken| (taken, token)), next))
    }

    pub(super) fn ack(&mut self, id: u64, number: u64, token: u64) -> Result<()> {
        self.with(id, |group, _| group.ack(number, token))
    }

    pub(super) fn nack(&mut self, id: u64, number: u64, token: u64, delay: Duration) -> Result<()> {
        // At once is now, and not with the next millisecond.
        let time = if delay.is_zero() { self.clock.now() } else { self.clock.deadline(delay) };
        self.with(id, |group, now| group.nack(number, token, now, time))
    }

    pub(super) fn extend(&mut self, id: u64, number: u64, token: u64, by: Duration) -> Result<()> {
        let until = self.clock.deadline(by);
        self.with(id, |group, _| group.extend(number, token, until))
    }

    fn with(&mut self, id: u64, change: impl FnOnce(&mut Group, u64) -> bool) -> Result<()> {
        let now = self.clock.now();
        let group = self.groups.get_mut(&id);
        // What a group that is forgotten was handed out is nobody's any more.
        let taken = group.is_none_or(|group| change(group, now));
        self.change(id);
        match taken {
            true => Ok(()),
            false => Err(late()),
        }
    }

    pub(super) fn position(&self, number: u64) -> Position {
        Position(format!("{:x}-{number}", self.incarnation))
    }

    fn read(&self, Position(text): &Position) -> Result<u64> {
        let wrong = || Error::invalid("this is no position of this broker");
        let (incarnation, number) = text.split_once('-').ok_or_else(wrong)?;
        match u64::from_str_radix(incarnation, 16) {
            Ok(incarnation) if incarnation == self.incarnation => {}
            _ => return Err(wrong()),
        }
        let number: u64 = number.parse().ok().ok_or_else(wrong)?;
        if number < self.log.next() { Ok(number) } else { Err(wrong()) }
    }
}

/// A message that is handed out, and the token under which it is out.
pub(super) type Out = (Taken, u64);

/// A time of the log's as the system's.
pub(crate) fn system_time(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds)).unwrap_or(UNIX_EPOCH)
}
