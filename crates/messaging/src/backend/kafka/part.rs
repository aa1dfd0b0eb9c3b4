//! One part of the topic as a group has it in this host: what was read of it, the rules of
//! delivery, and what is to be written beside the group's offset.

use super::buffer::Buffer;
use super::letter::{Control, Read};
use super::notes::Notes;
use crate::Filter;
use crate::local::{Entry, Group, Log as _, PendingRow, Taken};
use base::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Notify;

/// So many messages of a part a group may have that it is not done with. It goes no further then:
/// more would not fit into its notes.
const PENDING: usize = 256;

/// A part of the topic.
pub(super) struct Part {
    /// Tells it from itself before it was given to another host and came back.
    pub(super) generation: u64,
    /// Nothing more is handed out: another host gets it.
    pub(super) is_leaving: bool,
    /// Nothing more is read for now.
    pub(super) is_paused: bool,
    buffer: Buffer,
    group: Group,
    incarnation: u64,
    topics: String,
    filters: Vec<Filter>,
    /// Everything before this was looked at by who had it before.
    known: u64,
    /// What they were not done with of that, and what was not read again yet.
    restoring: BTreeMap<u64, PendingRow>,
    /// Acknowledged, and not yet written.
    acking: BTreeSet<u64>,
    /// With subscribers, under these tokens.
    out: BTreeMap<u64, u64>,
    /// Counts changes of the notes.
    changes: u64,
    /// What was written last.
    written: Option<Written>,
}

/// What is to be written of a part, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) offset: u64,
    changes: u64,
}

/// What came of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    /// There is something to hand out.
    Message,
    /// There is not.
    Nothing,
    /// The group is forgotten.
    Forgotten,
    /// It has a number that others had: the server lost them, or was told to begin again.
    Anew,
}

impl Part {
    /// A part with what was known of it, and how it is handed out.
    pub(super) fn new(notes: Notes, offset: u64, (ordered, wake): (bool, &Arc<Notify>)) -> Self {
        let mut group = Group::new(None, notes.cursor, 0, false);
        group.most = PENDING;
        group.wake = Arc::clone(wake);
        // What is for others never gets so far.
        group.cover(&Filter::parse(">").into_iter().collect::<Vec<_>>(), ordered);
        let filters = filters(&notes.topics);
        Self {
            generation: 0,
            is_leaving: false,
            is_paused: false,
            buffer: Buffer::at(offset),
            group,
            incarnation: notes.incarnation,
            filters,
            topics: notes.topics,
            known: notes.cursor,
            restoring: notes.pending.into_iter().collect(),
            acking: BTreeSet::new(),
            out: BTreeMap::new(),
            changes: 0,
            written: Some(Written { offset, changes: 0 }),
        }
    }

    /// A part of which nothing is known but what the group covers, from this number on.
    pub(super) fn fresh(
        (incarnation, topics): (u64, String),
        offset: u64,
        how: (bool, &Arc<Notify>),
    ) -> Self {
        let notes = Notes { incarnation, topics, cursor: offset, pending: Vec::new() };
        Self { written: None, ..Self::new(notes, offset, how) }
    }

    /// The same part as if nothing was read of it: its numbers begin again with this one.
    pub(super) fn anew(&self, offset: u64, how: (bool, &Arc<Notify>)) -> Self {
        Self::fresh((self.incarnation, self.topics.clone()), offset, how)
    }

    /// From now on messages with one key go one after the other, or do not.
    pub(super) fn set_ordered(&mut self, ordered: bool) {
        self.group.cover(&Filter::parse(">").into_iter().collect::<Vec<_>>(), ordered);
    }

    /// The number of the next record that is to be read.
    pub(super) fn next(&self) -> u64 {
        self.buffer.next()
    }

    pub(super) fn is_full(&self) -> bool {
        self.buffer.is_full()
    }

    pub(super) fn has_room(&self) -> bool {
        self.buffer.has_room()
    }

    /// Whether somebody has a message of it.
    pub(super) fn is_out(&self) -> bool {
        !self.out.is_empty()
    }

    /// Takes in the record with this number.
    pub(super) fn take_in(&mut self, number: u64, read: Read, time: u64, group: &str) -> Took {
        if number < self.buffer.next() {
            return Took::Anew;
        }
        self.buffer.pass(number);
        let is_known = number < self.known;
        let took = match read {
            Read::Message { topic, message } => {
                let row = self.restoring.get(&number).copied();
                let is_wanted = match is_known {
                    true => row.is_some(),
                    false => self.filters.iter().any(|filter| filter.covers(&topic)),
                };
                if is_wanted {
                    let entry = Entry { topic: topic.into(), message, time, not_before: 0 };
                    if let Some(row) = row.filter(|_| is_known) {
                        self.group.restore(number, row, &entry);
                    }
                    self.buffer.append(entry);
                    Took::Message
                } else {
                    Took::Nothing
                }
            }
            Read::Control { group: of, said } if of == group && !is_known => self.hear(said),
            Read::Control { .. } | Read::Nothing => Took::Nothing,
        };
        self.buffer.pass(number + 1);
        if !self.restoring.is_empty() {
            // Those before it are gone, if they were not there.
            self.restoring = self.restoring.split_off(&(number + 1));
        }
        took
    }

    fn hear(&mut self, said: Control) -> Took {
        match said {
            Control::Covers { incarnation, topics } if incarnation == self.incarnation => {
                self.filters = filters(&topics);
                self.topics = topics;
                self.changes += 1;
                Took::Nothing
            }
            Control::Forgotten { incarnation } if incarnation == self.incarnation => {
                Took::Forgotten
            }
            _ => Took::Nothing,
        }
    }

    /// The next message to hand out, which is out until `until` under this token.
    pub(super) fn take(&mut self, now: u64, (token, until): (u64, u64)) -> Result<Option<Taken>> {
        if self.is_leaving {
            return Ok(None);
        }
        let taken = self.group.take(&self.buffer, now, (token, until))?;
        if let Some(taken) = &taken {
            // Who had it is late.
            self.acking.remove(&taken.number);
            self.out.insert(taken.number, token);
            self.changes += 1;
        }
        Ok(taken)
    }

    /// When something changes by itself, in milliseconds since 1970.
    pub(super) fn next_time(&self) -> Option<u64> {
        self.group.next_time().filter(|_| !self.is_leaving)
    }

    /// It is acknowledged, and is to be written. `false`: it is not out under this token any more.
    pub(super) fn begin_ack(&mut self, number: u64, token: u64) -> bool {
        let is_out = self.group.is_out(number, token);
        if is_out {
            self.acking.insert(number);
            self.changes += 1;
        }
        is_out
    }

    /// It was written, or nobody ever will: for who keeps no offsets.
    pub(super) fn end_ack(&mut self, number: u64, token: u64) -> bool {
        self.acking.remove(&number);
        self.give_up(number, token);
        let is_done = self.group.ack(number, token);
        if is_done {
            self.buffer.remove(number);
        }
        is_done
    }

    /// Nobody knows whether it was written: it comes again.
    pub(super) fn undo_ack(&mut self, number: u64, token: u64, now: u64) {
        if self.acking.remove(&number) {
            self.changes += 1;
        }
        self.nack(number, token, now, now);
    }

    /// It is handed out again at that time. `false` as for [`begin_ack`](Self::begin_ack).
    pub(super) fn nack(&mut self, number: u64, token: u64, now: u64, time: u64) -> bool {
        self.give_up(number, token);
        self.changes += 1;
        self.group.nack(number, token, now, time)
    }

    /// It is out until then. `false` as for [`begin_ack`](Self::begin_ack).
    pub(super) fn extend(&mut self, number: u64, token: u64, until: u64) -> bool {
        self.group.extend(number, token, until)
    }

    fn give_up(&mut self, number: u64, token: u64) {
        if self.out.get(&number) == Some(&token) {
            self.out.remove(&number);
        }
    }

    /// Everything before this number somebody is done with.
    fn floor(&self) -> u64 {
        let mut pending = self.group.pending().map(|(number, _)| number);
        let pending = pending.find(|number| !self.acking.contains(number));
        let restoring = self.restoring.keys().next().copied();
        pending.into_iter().chain(restoring).fold(self.cursor(), u64::min)
    }

    /// Everything before this number was looked at.
    fn cursor(&self) -> u64 {
        let ahead = self.buffer.first_from(self.group.cursor());
        ahead.unwrap_or_else(|| self.buffer.next().max(self.known))
    }

    /// What is to be written now, with the notes, unless it is written already. The offset alone is
    /// no hurry.
    pub(super) fn unwritten(&self, is_hurry: bool) -> Option<(Written, String)> {
        let offset = self.floor();
        let is_new = self.written.is_none_or(|written| {
            written.changes != self.changes || (!is_hurry && written.offset != offset)
        });
        if !is_new {
            return None;
        }
        let of_group = self.group.pending().filter(|(number, _)| !self.acking.contains(number));
        let restoring = self.restoring.iter().map(|(number, row)| (*number, *row));
        let notes = Notes {
            incarnation: self.incarnation,
            topics: self.topics.clone(),
            cursor: self.cursor(),
            pending: of_group.chain(restoring).collect(),
        };
        Some((Written { offset, changes: self.changes }, notes.write(offset)))
    }

    /// That was written.
    pub(super) fn has_written(&mut self, written: Written) {
        self.written = Some(written);
    }
}

/// What is written with spaces between. What is none is nobody's.
fn filters(topics: &str) -> Vec<Filter> {
    topics.split(' ').filter_map(|topic| Filter::parse(topic).ok()).collect()
}

#[cfg(test)]
mod tests;
