//! What takes messages from the tables for one subscriber.
//!
//! It looks when somebody waits for a message: at once when one of this host may have come, and
//! else often at first and ten times a second in the end. It takes one for each that waits, so that
//! a message counts as handed out when it was; and more where those that came together were all
//! gone at once.

use super::Host;
use super::bells::Bell;
use super::tables::{Found, Group, Wanted};
use super::verdicts::Out;
use crate::backend::taker::{Ask, Asked, is_closed};
use crate::delivery::forgotten;
use crate::{Delivery, Subscription};
use base::Error;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// The shortest and the longest pause between two looks that find nothing.
const SOON: Duration = Duration::from_millis(2);
const LATE: Duration = Duration::from_millis(100);
/// So many messages more than are waited for are taken at once, where they are gone in no time.
const AHEAD: usize = 63;
/// Which is this.
const NO_TIME: Duration = Duration::from_millis(50);
/// For so long a message waits at most for somebody to take it.
const HOLD: Duration = Duration::from_millis(100);
/// Who has less time than this for a message is handed each when it is taken.
const LITTLE: Duration = Duration::from_secs(2);
/// How often it says that somebody takes part in the group.
pub(super) const ALIVE: Duration = Duration::from_secs(15);

pub(super) struct Pump {
    host: Arc<Host>,
    group: Group,
    bell: Arc<Bell>,
    subscription: Subscription,
    /// One for each message that may be with this subscriber.
    permits: Arc<Semaphore>,
    /// Those of the messages that are asked for.
    reserved: Vec<OwnedSemaphorePermit>,
    asks: VecDeque<Ask>,
    /// Messages that were taken together, under one token.
    held: VecDeque<(Found, OwnedSemaphorePermit)>,
    token: i64,
    /// When they came, and when the last of them was gone.
    came: Instant,
    gone: Option<Instant>,
    /// So many messages more than are waited for are taken.
    ahead: usize,
    /// The last look found less than was asked for.
    is_hungry: bool,
    /// When to look next, and how long after that where it finds nothing.
    due: Instant,
    pause: Duration,
    /// When to say that somebody is there.
    alive: Instant,
}

impl Pump {
    pub(super) fn new(host: &Arc<Host>, group: Group, subscription: Subscription) -> Self {
        let prefetch = subscription.prefetch.min(Semaphore::MAX_PERMITS);
        let now = Instant::now();
        Self {
            bell: host.bells.of(group.id, &subscription.topics),
            host: Arc::clone(host),
            group,
            permits: Arc::new(Semaphore::new(prefetch)),
            subscription,
            reserved: Vec::new(),
            asks: VecDeque::new(),
            held: VecDeque::new(),
            token: 0,
            came: now,
            gone: None,
            ahead: 0,
            is_hungry: true,
            due: now,
            pause: SOON,
            alive: now + ALIVE,
        }
    }

    /// Hands out messages until it is closed.
    pub(super) async fn run(mut self, asked: Asked) {
        let Asked { mut asks, mut closed, runs } = asked;
        while !*closed.borrow() {
            self.serve();
            let is_asked = !self.asks.is_empty();
            let may_take = is_asked && !self.reserved.is_empty();
            if may_take && self.due <= Instant::now() {
                self.take().await;
                continue;
            }
            let (permits, bell, next) =
                (Arc::clone(&self.permits), Arc::clone(&self.bell), self.next_time(may_take));
            tokio::select! {
                biased;
                () = is_closed(&mut closed) => break,
                ask = asks.recv() => match ask {
                    Some(ask) => self.asks.push_back(ask),
                    None => break,
                },
                permit = permits.acquire_owned(), if is_asked && !may_take => {
                    self.reserved.extend(permit);
                }
                () = bell.rung(), if may_take => self.look(),
                () = sleep_until(next) => self.pass_time().await,
            }
        }
        drop(asks);
        self.end().await;
        drop(runs);
    }

    /// Hands what was taken to those that wait.
    fn serve(&mut self) {
        self.asks.retain(|ask| !ask.is_closed());
        while !self.asks.is_empty()
            && let Some((found, permit)) = self.held.pop_front()
        {
            let Some(ask) = self.asks.pop_front() else { return };
            if let Err(Ok(back)) = ask.send(Ok(self.delivery(found, permit))) {
                // Who asked has gone meanwhile, so it comes again at once.
                drop(back);
            }
            if self.held.is_empty() {
                self.gone = Some(Instant::now());
            }
        }
    }

    fn delivery(&self, found: Found, permit: OwnedSemaphorePermit) -> Delivery {
        let Found { topic, message, seq, attempt, time, .. } = found;
        let out = Out {
            host: Arc::clone(&self.host),
            group: self.group.id,
            seq,
            token: self.token,
            deadline: self.subscription.deadline,
            has_key: message.key.is_some(),
            is_settled: false,
            _permit: permit,
        };
        let position = Some(self.host.tables.position(seq));
        Delivery { topic, message, attempt, position, time: Some(time), settle: Box::new(out) }
    }

    /// It may be worth to look now.
    fn look(&mut self) {
        self.due = Instant::now();
        self.pause = SOON;
        self.is_hungry = true;
    }

    /// Takes messages for those that wait.
    async fn take(&mut self) {
        let were_gone = self.gone.take().is_some_and(|gone| gone - self.came < NO_TIME);
        let is_long = self.subscription.deadline >= LITTLE;
        self.ahead = if were_gone && is_long { (self.ahead * 2 + 1).min(AHEAD) } else { 0 };
        while self.reserved.len() < self.asks.len() + self.ahead
            && let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned()
        {
            self.reserved.push(permit);
        }
        self.token = fastrand::i64(..);
        let most = self.reserved.len();
        // What waits here for somebody to take it has its whole time afterwards.
        let hold = if most > self.asks.len() { HOLD } else { Duration::ZERO };
        let deadline = self.subscription.deadline.saturating_add(hold);
        let (group, token, is_hungry) = (self.group, self.token, self.is_hungry);
        let wanted = Wanted { group, most, is_hungry, token, deadline };
        match self.host.tables.take(&wanted).await {
            Ok((found, has_more)) => self.admit(found, most, has_more),
            Err(error) => self.fail(&error),
        }
    }

    fn admit(&mut self, found: Vec<Found>, most: usize, has_more: bool) {
        let now = Instant::now();
        self.is_hungry = found.len() < most;
        if found.is_empty() {
            self.due = if has_more { now } else { now + self.pause };
            self.pause = if has_more { SOON } else { (self.pause * 2).min(LATE) };
            return;
        }
        (self.came, self.due, self.pause) = (now, now, SOON);
        if !self.is_hungry {
            // There may be some for others of this host.
            self.bell.ring();
        }
        let permits = std::mem::take(&mut self.reserved);
        self.held = found.into_iter().zip(permits).collect();
    }

    /// Tells those that wait. Who asks again has it tried again.
    fn fail(&mut self, error: &Error) {
        for ask in self.asks.drain(..) {
            // Who has gone need not know.
            drop(ask.send(Err(error.again())));
        }
    }

    /// When something is to be done although nobody asks.
    fn next_time(&self, may_take: bool) -> Instant {
        let look = may_take.then_some(self.due);
        let hold = (!self.held.is_empty()).then(|| self.came + HOLD);
        [look, hold].into_iter().flatten().fold(self.alive, Instant::min)
    }

    async fn pass_time(&mut self) {
        if !self.held.is_empty() && self.came.elapsed() >= HOLD {
            self.release().await;
        }
        if self.alive <= Instant::now() {
            self.alive = Instant::now() + ALIVE;
            let alive = match self.host.tables.is_alive(self.group).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(forgotten()),
                Err(error) => Err(error),
            };
            if let Err(error) = alive {
                self.fail(&error);
            }
        }
    }

    /// Gives back what nobody took.
    async fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        let messages: Vec<_> = held.iter().map(|(found, _)| (found.seq, found.was)).collect();
        if messages.is_empty() {
            return;
        }
        if let Err(error) = self.host.tables.release(self.group, self.token, &messages).await {
            tracing::debug!(%error, "messages that nobody took come again at their deadlines");
        }
        self.ahead = 0;
        self.bell.ring();
    }

    async fn end(mut self) {
        self.asks.clear();
        self.release().await;
        if self.subscription.group.is_none()
            && let Err(error) = self.host.tables.forget(self.group, None).await
        {
            tracing::debug!(%error, "a group that nobody is in is forgotten later");
        }
        // What it was woken up for is somebody else's.
        self.bell.ring();
    }
}
