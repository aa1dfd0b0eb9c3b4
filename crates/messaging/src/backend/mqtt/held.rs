//! The messages of a session that this host has and the server still keeps.
//!
//! On a new connection the server sends those again under the numbers that they had. One that this
//! host never acknowledged is the same then, if no other host had the session meanwhile; one whose
//! acknowledgement may have got lost counts as a new one, since its number may be another's by now.

use crate::Position;
use connect::mqtt::Room;
use std::collections::HashMap;

/// The messages, by their places in this host's engine.
#[derive(Default)]
pub(super) struct Held {
    /// Which of the session's connections it is, counted.
    pub(super) epoch: u64,
    messages: HashMap<Position, Out>,
    /// The places by the server's numbers.
    numbers: HashMap<u16, Position>,
}

struct Out {
    /// The server's number of it. `None`: the server has lost it.
    number: Option<u16>,
    /// On which connection it came last.
    epoch: u64,
    _room: Room,
}

/// How a message can be acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The server keeps it no more.
    Gone,
    /// By this number, on the connection that there is.
    Number(u16),
    /// Not yet: the server has not sent it again.
    Not,
}

impl Held {
    /// There is a new connection, whose number is returned. Without the session that there was, the
    /// server keeps none of them.
    pub(super) fn connected(&mut self, is_known: bool) -> u64 {
        self.epoch += 1;
        if !is_known {
            self.numbers.clear();
            for out in self.messages.values_mut() {
                out.number = None;
            }
        }
        self.epoch
    }

    /// Whether what came again under this number is here already. If not, the number is new.
    pub(super) fn is_here(&mut self, number: u16, is_again: bool, room: Room) -> Result<(), Room> {
        let Some(place) = self.numbers.get(&number) else { return Err(room) };
        let Some(out) = self.messages.get_mut(place) else { return Err(room) };
        if is_again && out.epoch < self.epoch {
            *out = Out { number: Some(number), epoch: self.epoch, _room: room };
            return Ok(());
        }
        // The number is another's.
        out.number = None;
        self.numbers.remove(&number);
        Err(room)
    }

    /// Takes a message in, which came under a number just now.
    pub(super) fn add(&mut self, place: Position, number: u16, room: Room) {
        self.numbers.insert(number, place.clone());
        let out = Out { number: Some(number), epoch: self.epoch, _room: room };
        self.messages.insert(place, out);
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How it can be acknowledged.
    pub(super) fn way(&self, place: &Position) -> Way {
        match self.messages.get(place) {
            Some(Out { number: Some(number), epoch, .. }) if *epoch == self.epoch => {
                Way::Number(*number)
            }
            Some(Out { number: Some(_), .. }) => Way::Not,
            _ => Way::Gone,
        }
    }

    /// It is done with.
    pub(super) fn remove(&mut self, place: &Position) {
        if let Some(out) = self.messages.remove(place)
            && let Some(number) = out.number
        {
            self.numbers.remove(&number);
        }
    }
}
