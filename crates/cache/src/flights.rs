//! Who is making which value, and who waits for it: on this host, in front of every backend.

use crate::Expiring;
use base::{Error, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// So many values are made at once.
const MOST: usize = 16 << 10;
/// So many wait for all of them together.
const MOST_WAITING: usize = 64 << 10;

/// The vacancies that are out, by key.
pub(crate) struct Flights {
    /// How long one is out before another may have it.
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of the next claim or place.
    next: u64,
    waiting: usize,
    flights: HashMap<Arc<str>, Flight>,
}

/// One vacancy that is out.
struct Flight {
    holder: u64,
    /// When another may have it.
    until: Instant,
    /// Those who wait, by their numbers: the first came first.
    queue: BTreeMap<u64, oneshot::Sender<Turn>>,
}

/// How waiting ends.
pub(crate) enum Turn {
    /// The vacancy was filled with this.
    Value(Expiring),
    /// The vacancy is free.
    Yours(Claim),
    /// The key has a value, or may have one.
    Again,
}

/// What came of asking for a vacancy.
pub(crate) enum Joined {
    Leads(Claim),
    Waits(Place),
}

/// The vacancy of a key. When dropped the next one gets it.
pub(crate) struct Claim {
    flights: Arc<Flights>,
    key: Arc<str>,
    number: u64,
}

/// A place among those who wait. When dropped it is left.
pub(crate) struct Place {
    flights: Arc<Flights>,
    key: Arc<str>,
    number: u64,
    turn: oneshot::Receiver<Turn>,
}

/// A message that is sent once the lock is free: where nobody receives it, what it carries is
/// dropped, and a claim takes the lock when it is dropped.
type Message = (oneshot::Sender<Turn>, Turn);

fn send(messages: impl IntoIterator<Item = Message>) {
    for (sender, turn) in messages {
        drop(sender.send(turn));
    }
}

impl Flights {
    pub(crate) fn new(timeout: Duration) -> Arc<Self> {
        Arc::new(Self { timeout, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the vacancy of a key, or a place among those who wait for it.
    pub(crate) fn join(self: &Arc<Self>, key: &str) -> Result<Joined> {
        let mut state = self.lock();
        let State { next, waiting, flights } = &mut *state;
        let number = *next;
        let until = Instant::now() + self.timeout;
        let Some((key, flight)) = flights.get_key_value(key) else {
            if flights.len() >= MOST {
                return Err(Error::exhausted("too many values are being made at once"));
            }
            *next += 1;
            let key: Arc<str> = key.into();
            let flight = Flight { holder: number, until, queue: BTreeMap::new() };
            flights.insert(Arc::clone(&key), flight);
            return Ok(Joined::Leads(Claim { flights: Arc::clone(self), key, number }));
        };
        let key = Arc::clone(key);
        if flight.queue.is_empty() && flight.until <= Instant::now() {
            *next += 1;
            if let Some(flight) = flights.get_mut(&key) {
                (flight.holder, flight.until) = (number, until);
            }
            return Ok(Joined::Leads(Claim { flights: Arc::clone(self), key, number }));
        }
        if *waiting >= MOST_WAITING {
            return Err(Error::exhausted("too many wait for values that are being made"));
        }
        *next += 1;
        *waiting += 1;
        let (sender, turn) = oneshot::channel();
        if let Some(flight) = flights.get_mut(&key) {
            flight.queue.insert(number, sender);
        }
        Ok(Joined::Waits(Place { flights: Arc::clone(self), key, number, turn }))
    }

    /// Lets all who wait for a key look again. Whoever has the vacancy keeps it.
    pub(crate) fn look_again(&self, key: &str) {
        let mut state = self.lock();
        let State { waiting, flights, .. } = &mut *state;
        let Some(flight) = flights.get_mut(key) else { return };
        let queue = std::mem::take(&mut flight.queue);
        *waiting -= queue.len();
        drop(state);
        send(queue.into_values().map(|sender| (sender, Turn::Again)));
    }

    /// Gives a vacancy that was out for too long to the next. Returns when to ask again; `None`
    /// if nobody has it any more.
    fn expire(self: &Arc<Self>, key: &Arc<str>) -> Option<Instant> {
        let mut state = self.lock();
        let flight = state.flights.get(key)?;
        let message =
            if flight.until <= Instant::now() { self.promote(&mut state, key) } else { None };
        let until = state.flights.get(key).map(|flight| flight.until);
        drop(state);
        send(message);
        until
    }

    /// Makes the one that waited longest the holder.
    fn promote(self: &Arc<Self>, state: &mut State, key: &Arc<str>) -> Option<Message> {
        let State { waiting, flights, .. } = state;
        let flight = flights.get_mut(key)?;
        let (number, sender) = flight.queue.pop_first()?;
        *waiting -= 1;
        (flight.holder, flight.until) = (number, Instant::now() + self.timeout);
        let claim = Claim { flights: Arc::clone(self), key: Arc::clone(key), number };
        Some((sender, Turn::Yours(claim)))
    }

    /// Ends the flight of a holder and returns those who waited.
    fn land(&self, key: &Arc<str>, holder: u64) -> BTreeMap<u64, oneshot::Sender<Turn>> {
        let mut state = self.lock();
        let State { waiting, flights, .. } = &mut *state;
        if flights.get(key).is_none_or(|flight| flight.holder != holder) {
            return BTreeMap::new();
        }
        let queue = flights.remove(key).map(|flight| flight.queue).unwrap_or_default();
        *waiting -= queue.len();
        queue
    }
}

impl Claim {
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Whether no other got the vacancy since.
    pub(crate) fn is_held(&self) -> bool {
        let state = self.flights.lock();
        state.flights.get(&self.key).is_some_and(|flight| flight.holder == self.number)
    }

    /// Gives all who wait the value.
    pub(crate) fn hand_out(self, made: Expiring) {
        let queue = self.flights.land(&self.key, self.number);
        send(queue.into_values().map(|sender| (sender, Turn::Value(made.clone()))));
    }

    /// Lets all who wait look again.
    pub(crate) fn look_again(self) {
        let queue = self.flights.land(&self.key, self.number);
        send(queue.into_values().map(|sender| (sender, Turn::Again)));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.flights.lock();
        if state.flights.get(&self.key).is_none_or(|flight| flight.holder != self.number) {
            return;
        }
        let message = self.flights.promote(&mut state, &self.key);
        if message.is_none() {
            state.flights.remove(&self.key);
        }
        drop(state);
        send(message);
    }
}

impl Place {
    /// Waits for the turn.
    pub(crate) async fn turn(mut self) -> Turn {
        loop {
            let Some(until) = self.flights.expire(&self.key) else {
                // The turn was sent just before the flight ended.
                return (&mut self.turn).await.unwrap_or(Turn::Again);
            };
            match timeout_at(until, &mut self.turn).await {
                Ok(turn) => return turn.unwrap_or(Turn::Again),
                Err(_elapsed) => {}
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.flights.lock();
        let State { waiting, flights, .. } = &mut *state;
        let flight = flights.get_mut(&self.key);
        let left = flight.and_then(|flight| flight.queue.remove(&self.number));
        if left.is_some() {
            *waiting -= 1;
        }
        // What was sent and never looked at is dropped with the receiver, after this lock.
    }
}
