//! One group: how far it has come, and the messages behind that which it is not done with.

use super::log::{Entry, Log};
use crate::Filter;
use base::Result;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;

/// So many messages a group may have that it is not done with, where nothing else is said. It goes
/// no further then.
const PENDING: usize = 1 << 17;
/// So many messages are read from the log at once.
const AHEAD: usize = 64;
/// So many messages are passed by in one go that are not for this group.
const PASSED: usize = 4096;
/// And so many bytes of them.
const PASSED_BYTES: u64 = 8 << 20;

/// A group of subscribers, or one that is alone.
pub(crate) struct Group {
    /// `None`: it ends with its one subscriber.
    pub(super) name: Option<Arc<str>>,
    filters: Vec<Filter>,
    /// Messages with the same key go one after the other.
    ordered: bool,
    /// The number of the first message that was not looked at.
    cursor: u64,
    /// What was read from the log and not looked at.
    ahead: VecDeque<(u64, Arc<Entry>)>,
    pending: BTreeMap<u64, Pending>,
    /// When something is to be done about which of them.
    times: BTreeSet<(u64, u64)>,
    /// Which of them can be handed out again.
    ready: BTreeSet<u64>,
    /// The keys of messages that are not done with: the one whose turn it is, and those behind it.
    keys: HashMap<Key, VecDeque<u64>>,
    /// What changed of the pending ones since it was last kept. `None`: it is not kept.
    touched: Option<BTreeSet<u64>>,
    pub(super) subscribers: usize,
    /// When the last of them went, in milliseconds since 1970.
    pub(super) left: u64,
    /// So many messages it may have that it is not done with.
    pub(crate) most: usize,
    /// Told when there may be something to hand out.
    pub(crate) wake: Arc<Notify>,
}

/// Messages with the same key of different topics have nothing to do with each other.
type Key = (Arc<str>, String);

/// A message that was looked at and is not done with.
struct Pending {
    /// How often it was handed out.
    attempts: u32,
    standing: Standing,
    key: Option<Key>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// With a subscriber, until then.
    Out { token: u64, until: u64 },
    /// Nobody gets it before then.
    Waits { until: u64 },
    /// It can be handed out. Until it is, the verdict of whoever had it under this token counts.
    Ready { token: Option<u64> },
    /// One with the same key is before it.
    Behind,
}

/// A message that is handed out.
pub(crate) struct Taken {
    pub(crate) number: u64,
    pub(crate) entry: Arc<Entry>,
    pub(crate) attempt: u32,
}

impl Group {
    pub(crate) fn new(name: Option<Arc<str>>, cursor: u64, now: u64, is_kept: bool) -> Self {
        Self {
            touched: (is_kept && name.is_some()).then(BTreeSet::new),
            name,
            filters: Vec::new(),
            ordered: false,
            cursor,
            ahead: VecDeque::new(),
            pending: BTreeMap::new(),
            times: BTreeSet::new(),
            ready: BTreeSet::new(),
            keys: HashMap::new(),
            subscribers: 0,
            left: now,
            most: PENDING,
            wake: Arc::default(),
        }
    }

    /// Covers these topics from now on.
    pub(crate) fn cover(&mut self, filters: &[Filter], ordered: bool) {
        self.filters = filters.to_vec();
        self.ordered = ordered;
    }

    pub(super) fn covers(&self, topic: &str) -> bool {
        self.filters.iter().any(|filter| filter.covers(topic))
    }

    /// The number of the oldest message that it still needs.
    pub(super) fn needs(&self) -> u64 {
        let pending = self.pending.keys().next().copied();
        pending.map_or(self.cursor, |pending| pending.min(self.cursor))
    }

    /// When something changes by itself, in milliseconds since 1970.
    pub(crate) fn next_time(&self) -> Option<u64> {
        self.times.first().map(|(time, _)| *time)
    }

    /// The next message to hand out, which is out until `until` under this token.
    pub(crate) fn take(
        &mut self,
        log: &impl Log,
        now: u64,
        (token, until): (u64, u64),
    ) -> Result<Option<Taken>> {
        self.pass_time(now);
        while let Some(number) = self.ready.first().copied() {
            let found = log.find(number)?;
            self.ready.remove(&number);
            let Some(entry) = found else {
                self.finish(number);
                continue;
            };
            let Some(pending) = self.pending.get_mut(&number) else { continue };
            pending.attempts = pending.attempts.saturating_add(1);
            pending.standing = Standing::Out { token, until };
            let attempt = pending.attempts;
            self.touch(number);
            self.times.insert((until, number));
            if !self.ready.is_empty() {
                self.wake.notify_one();
            }
            return Ok(Some(Taken { number, entry, attempt }));
        }
        let mut passed = 0;
        for _ in 0..PASSED {
            if passed > PASSED_BYTES {
                break;
            }
            if self.pending.len() >= self.most {
                return Ok(None);
            }
            let Some((number, entry)) = self.look(log)? else { return Ok(None) };
            if !self.covers(&entry.topic) {
                passed += entry.size();
                continue;
            }
            let standing = match entry.not_before > now {
                true => Standing::Waits { until: entry.not_before },
                false => Standing::Out { token, until },
            };
            if self.admit(number, &entry, standing) == standing && entry.not_before <= now {
                return Ok(Some(Taken { number, entry, attempt: 1 }));
            }
        }
        // Others get a turn, and this one comes back.
        self.wake.notify_one();
        Ok(None)
    }

    /// The next message of the log, whomever it is for.
    fn look(&mut self, log: &impl Log) -> Result<Option<(u64, Arc<Entry>)>> {
        if self.ahead.is_empty() {
            self.ahead = log.read(self.cursor, AHEAD)?.into();
        }
        let next = self.ahead.pop_front();
        if let Some((number, _)) = &next {
            self.cursor = number + 1;
        }
        Ok(next)
    }

    /// Takes note of a message that was looked at for the first time. Returns how it stands.
    fn admit(&mut self, number: u64, entry: &Entry, standing: Standing) -> Standing {
        let key = entry.message.key.as_ref().filter(|_| self.ordered);
        let key = key.map(|key| (Arc::clone(&entry.topic), key.clone()));
        let mut pending = Pending { attempts: 0, standing, key };
        if matches!(standing, Standing::Out { .. })
            && let Some(key) = &pending.key
        {
            let turns = self.keys.entry(key.clone()).or_default();
            turns.push_back(number);
            if turns.len() > 1 {
                pending.standing = Standing::Behind;
            }
        }
        let standing = pending.standing;
        match standing {
            Standing::Out { until, .. } => {
                pending.attempts = 1;
                self.times.insert((until, number));
            }
            Standing::Waits { until } => drop(self.times.insert((until, number))),
            Standing::Ready { .. } | Standing::Behind => {}
        }
        self.pending.insert(number, pending);
        self.touch(number);
        standing
    }

    /// Takes note that what is kept of a message changed.
    fn touch(&mut self, number: u64) {
        if let Some(touched) = &mut self.touched {
            touched.insert(number);
        }
    }

    /// Makes ready what was put off until now, and what came back for nobody settled it.
    fn pass_time(&mut self, now: u64) {
        while let Some((time, number)) = self.times.first().copied()
            && time <= now
        {
            self.times.remove(&(time, number));
            self.make_ready(number);
        }
    }

    fn make_ready(&mut self, number: u64) {
        let Some(pending) = self.pending.get_mut(&number) else { return };
        // One that was put off before it was ever handed out takes its place among its key's now.
        let is_new = pending.attempts == 0 && matches!(pending.standing, Standing::Waits { .. });
        if is_new && let Some(key) = &pending.key {
            let turns = self.keys.entry(key.clone()).or_default();
            turns.push_back(number);
            if turns.len() > 1 {
                pending.standing = Standing::Behind;
                return;
            }
        }
        let token = match pending.standing {
            Standing::Out { token, .. } => Some(token),
            _ => None,
        };
        pending.standing = Standing::Ready { token };
        self.ready.insert(number);
    }

    /// Whether a message was last handed out under this token.
    pub(crate) fn is_out(&self, number: u64, token: u64) -> bool {
        match self.pending.get(&number).map(|pending| pending.standing) {
            Some(Standing::Out { token: found, .. }) => found == token,
            Some(Standing::Ready { token: found }) => found == Some(token),
            _ => false,
        }
    }

    /// It is done with. `false`: it is not out under this token any more.
    pub(crate) fn ack(&mut self, number: u64, token: u64) -> bool {
        if !self.is_out(number, token) {
            return false;
        }
        self.finish(number);
        true
    }

    /// It is handed out again at that time. `false` as for [`ack`](Self::ack).
    pub(crate) fn nack(&mut self, number: u64, token: u64, now: u64, time: u64) -> bool {
        if !self.is_out(number, token) {
            return false;
        }
        self.put_off(number, Standing::Waits { until: time }, time);
        self.pass_time(now);
        self.wake.notify_one();
        true
    }

    /// It is out until then. `false` as for [`ack`](Self::ack).
    pub(crate) fn extend(&mut self, number: u64, token: u64, until: u64) -> bool {
        if !self.is_out(number, token) {
            return false;
        }
        self.put_off(number, Standing::Out { token, until }, until);
        true
    }

    fn put_off(&mut self, number: u64, standing: Standing, time: u64) {
        let Some(pending) = self.pending.get_mut(&number) else { return };
        if let Standing::Out { until, .. } | Standing::Waits { until } = pending.standing {
            self.times.remove(&(until, number));
        }
        self.ready.remove(&number);
        pending.standing = standing;
        self.times.insert((time, number));
        self.touch(number);
    }

    /// Forgets a message, and gives its key's next one its turn.
    fn finish(&mut self, number: u64) {
        let Some(pending) = self.pending.remove(&number) else { return };
        self.touch(number);
        if self.pending.len() + 1 == self.most {
            // It can go on.
            self.wake.notify_one();
        }
        if let Standing::Out { until, .. } | Standing::Waits { until } = pending.standing {
            self.times.remove(&(until, number));
        }
        self.ready.remove(&number);
        let Some(key) = pending.key else { return };
        let Some(turns) = self.keys.get_mut(&key) else { return };
        match turns.front() == Some(&number) {
            true => drop(turns.pop_front()),
            // It went before its turn came.
            false => turns.retain(|other| *other != number),
        }
        let Some(next) = turns.front().copied() else {
            self.keys.remove(&key);
            return;
        };
        if let Some(next_pending) = self.pending.get_mut(&next)
            && next_pending.standing == Standing::Behind
        {
            next_pending.standing = Standing::Ready { token: None };
            self.ready.insert(next);
            self.wake.notify_one();
        }
    }
}

/// What is kept of a group, besides its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupRow {
    pub(crate) name: Arc<str>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) ordered: bool,
    pub(crate) cursor: u64,
    /// When its last subscriber went, in milliseconds since 1970.
    pub(crate) left: u64,
}

/// What is kept of a message that a group is not done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PendingRow {
    pub(crate) attempts: u32,
    /// Nobody gets it before then. Whoever had it is gone when this is read.
    pub(crate) until: u64,
}

impl Pending {
    fn row(&self) -> PendingRow {
        let until = match self.standing {
            Standing::Waits { until } => until,
            _ => 0,
        };
        PendingRow { attempts: self.attempts, until }
    }
}

impl Group {
    /// The time that stands for that of whoever reads it.
    const NOW: u64 = u64::MAX;

    /// How far it has come.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Messages from this number on are gone, and their numbers will be given again.
    pub(super) fn go_back_to(&mut self, next: u64) {
        self.ahead.retain(|(number, _)| *number < next);
        self.cursor = self.cursor.min(next);
    }

    /// The group as it is kept.
    pub(super) fn row(&self) -> Option<GroupRow> {
        let (filters, ordered) = (self.filters.clone(), self.ordered);
        // What was read ahead was not looked at.
        let cursor = self.cursor;
        // Somebody is there: when this is read, that was just before.
        let left = if self.subscribers > 0 { Self::NOW } else { self.left };
        Some(GroupRow { name: Arc::clone(self.name.as_ref()?), filters, ordered, cursor, left })
    }

    /// What changed of its messages; `None` for those that it is done with.
    pub(super) fn take_touched(&mut self) -> Vec<(u64, Option<PendingRow>)> {
        let touched = self.touched.as_mut().map(std::mem::take).unwrap_or_default();
        let row = |number: u64| self.pending.get(&number).map(Pending::row);
        touched.into_iter().map(|number| (number, row(number))).collect()
    }

    /// What it is not done with of all that it looked at, in the order of the numbers.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (u64, PendingRow)> {
        self.pending.iter().map(|(number, pending)| (*number, pending.row()))
    }

    /// Has these kept again, which could not be.
    pub(super) fn touch_again(&mut self, numbers: impl IntoIterator<Item = u64>) {
        numbers.into_iter().for_each(|number| self.touch(number));
    }

    /// A group as it was kept.
    pub(crate) fn restored(row: GroupRow, now: u64) -> Self {
        let left = if row.left == Self::NOW { now } else { row.left };
        let mut group = Self::new(Some(row.name), row.cursor, left, true);
        group.cover(&row.filters, row.ordered);
        group
    }

    /// Takes in a message as it was kept, in the order of their numbers.
    pub(crate) fn restore(&mut self, number: u64, row: PendingRow, entry: &Entry) {
        let key = entry.message.key.as_ref().filter(|_| self.ordered);
        let key = key.map(|key| (Arc::clone(&entry.topic), key.clone()));
        let standing = Standing::Waits { until: row.until };
        // One that was handed out has its place among those with its key.
        if row.attempts > 0
            && let Some(key) = &key
        {
            self.keys.entry(key.clone()).or_default().push_back(number);
        }
        self.times.insert((row.until, number));
        self.pending.insert(number, Pending { attempts: row.attempts, standing, key });
    }
}
