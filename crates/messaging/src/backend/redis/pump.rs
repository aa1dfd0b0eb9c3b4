//! What takes messages from the server for one subscriber.
//!
//! As many are taken as somebody waits for, so that a message counts as handed out when it was; and
//! more where those that came together were all gone at once.

use super::binding::{Place, count, number, strange, text};
use super::ears::Seat;
use super::group::{self, Joined};
use super::letter::Taken;
use super::out::{self, Out, Shared, Unsettled};
use super::scripts::TAKE;
use crate::backend::taker::{Ask, Asked, is_closed};
use crate::delivery::forgotten;
use crate::{Delivery, Message, Subscription};
use base::{Error, Result, lock};
use redis::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// So many messages are taken at once, where they are gone in no time.
const AHEAD: usize = 32;
/// Which is this.
const NO_TIME: Duration = Duration::from_millis(50);
/// For so long a message waits at most for somebody to take it.
const HOLD: Duration = Duration::from_secs(5);
/// How often it is looked for messages although nothing was heard of any: while nothing would be,
/// and at the most.
const DEAF: Duration = Duration::from_millis(500);
const SELDOM: Duration = Duration::from_secs(5);
/// Nothing is done for so long where there is nothing to do.
const IDLE: Duration = Duration::from_secs(30);

pub(super) struct Pump {
    shared: Arc<Shared>,
    subscription: Subscription,
    joined: Joined,
    /// The number of the group, for what it hands out.
    group: Arc<str>,
    seat: Seat,
    /// How often the server notes that somebody is there.
    noted: Duration,
    /// When that was.
    noted_at: Instant,
    /// The last message that came, and to who is alone those that were not acknowledged.
    last: Place,
    unsettled: Option<Unsettled>,
    /// One for each message that may be with this subscriber.
    permits: Arc<Semaphore>,
    /// Those of the messages that are taken next.
    reserved: Vec<OwnedSemaphorePermit>,
    asks: VecDeque<Ask>,
    /// Messages that came.
    held: VecDeque<Held>,
    /// So many messages more than are waited for are taken.
    ahead: usize,
    /// When the last of those came that were taken together.
    filled: Option<Instant>,
    /// When to look for messages.
    look: Instant,
}

/// A message that nobody has taken yet.
struct Held {
    out: Out,
    topic: String,
    message: Message,
    attempt: u32,
    came: Instant,
    /// The same by the clock of the binding.
    came_at: u64,
}

impl Held {
    /// How long it has been here.
    fn age(&self, now: u64) -> Duration {
        let age = Duration::from_millis(now.saturating_sub(self.came_at));
        age.max(self.came.elapsed())
    }
}

impl Pump {
    pub(super) fn new(
        shared: &Arc<Shared>,
        joined: Joined,
        subscription: Subscription,
        noted: Duration,
    ) -> Self {
        let prefetch = subscription.prefetch.min(Semaphore::MAX_PERMITS);
        Self {
            shared: Arc::clone(shared),
            group: joined.number.as_str().into(),
            seat: shared.ears.sit(&joined.number, &subscription.topics),
            noted,
            noted_at: Instant::now(),
            last: joined.cursor,
            unsettled: subscription.group.is_none().then(Arc::default),
            joined,
            permits: Arc::new(Semaphore::new(prefetch)),
            subscription,
            reserved: Vec::new(),
            asks: VecDeque::new(),
            held: VecDeque::new(),
            ahead: 0,
            filled: None,
            look: Instant::now(),
        }
    }

    /// Hands out messages until it is closed.
    pub(super) async fn run(mut self, asked: Asked) {
        let Asked { asks: mut asked, mut closed, runs } = asked;
        let wake = Arc::clone(&self.seat.wake);
        while !*closed.borrow() {
            self.serve().await;
            let (wants, now) = (!self.asks.is_empty(), Instant::now());
            let is_due = wants && !self.reserved.is_empty() && self.look <= now;
            if is_due || self.noted_at + self.noted <= now {
                // What is taken is with this host, so it is waited for.
                if let Err(error) = self.take().await {
                    self.fail(&error);
                }
                continue;
            }
            let (permits, next) = (Arc::clone(&self.permits), self.next_time());
            tokio::select! {
                biased;
                () = is_closed(&mut closed) => break,
                ask = asked.recv() => match ask {
                    Some(ask) => {
                        self.asks.push_back(ask);
                        self.look = Instant::now();
                    }
                    None => break,
                },
                permit = permits.acquire_owned(), if wants && self.reserved.is_empty() => {
                    self.reserved.extend(permit);
                }
                () = wake.notified() => self.look = Instant::now(),
                () = sleep_until(next) => self.pass_time(),
            }
        }
        drop(asked);
        self.end().await;
        drop(runs);
    }

    /// Hands what came to those that wait.
    async fn serve(&mut self) {
        self.asks.retain(|ask| !ask.is_closed());
        while !self.asks.is_empty()
            && let Some(mut held) = self.held.pop_front()
        {
            if held.age(self.shared.binding.now()) > NO_TIME {
                match held.out.refresh().await {
                    Ok(true) => {}
                    // It is with another receiver, or will be.
                    Ok(false) => continue,
                    Err(error) => {
                        self.fail(&error);
                        return;
                    }
                }
            }
            let Some(ask) = self.asks.pop_front() else { return };
            held.out.is_seen = true;
            if let Err(Ok(back)) = ask.send(Ok(self.delivery(held))) {
                // Who asked has gone meanwhile, so it comes again at once.
                drop(back);
            }
        }
    }

    fn delivery(&self, held: Held) -> Delivery {
        let place = held.out.place;
        Delivery {
            topic: held.topic,
            message: held.message,
            attempt: held.attempt,
            position: Some(self.shared.binding.position(place)),
            time: place.time(),
            settle: Box::new(held.out),
        }
    }

    /// How many messages to take.
    fn most(&mut self) -> usize {
        if self.asks.is_empty() {
            return 0;
        }
        let were_gone = self.filled.take().is_some_and(|filled| filled.elapsed() < NO_TIME);
        self.ahead = if were_gone { (self.ahead * 2 + 1).min(AHEAD) } else { 0 };
        while self.reserved.len() < self.asks.len() + self.ahead
            && let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned()
        {
            self.reserved.push(permit);
        }
        self.reserved.len()
    }

    /// Takes messages from the server, if somebody waits for one, and has it note that this
    /// subscriber is there.
    async fn take(&mut self) -> Result<()> {
        self.noted_at = Instant::now();
        let most = self.most();
        let waiting = self.asks.len().min(most);
        let token: Arc<str> = format!("{:x}", fastrand::u64(..)).into();
        let Joined { number: group, version, .. } = &self.joined;
        let lease = count(self.subscription.deadline).max(1);
        let answer = self.shared.binding.call(&TAKE, |call| {
            let call = call.arg(group).arg(most).arg(lease).arg(&*token);
            call.arg(version).arg(count(self.noted)).arg(waiting)
        });
        let answer = answer.await?;
        if answer.word != "ok" {
            return self.come_back(&answer.word).await;
        }
        let parts: Result<[Value; 5], _> = answer.rest.try_into();
        let [wait, more, topics, version, taken] =
            parts.map_err(|it| strange(&Value::Array(it)))?;
        let taken = match taken {
            Value::Array(taken) => taken,
            other => return Err(strange(&other)),
        };
        self.plan(number(&wait)?, number(&more)? == 1, taken.len() == most);
        if !taken.is_empty() {
            self.filled = Some(Instant::now());
        }
        for taken in taken {
            let taken = Taken::read(taken)?;
            self.admit(taken, &token);
        }
        self.learn(text(topics)?, text(version)?);
        Ok(())
    }

    /// When to look for messages again.
    fn plan(&mut self, wait: i64, has_more: bool, is_full: bool) {
        let now = Instant::now();
        let seldom = match self.shared.ears.can_hear() {
            true => self.subscription.deadline.clamp(DEAF, SELDOM),
            false => DEAF,
        };
        let wait = u64::try_from(wait).map_or(SELDOM, |wait| Duration::from_millis(wait + 1));
        self.look = if has_more || is_full { now } else { now + wait.min(seldom) };
    }

    /// Takes a message in.
    fn admit(&mut self, taken: Taken, token: &Arc<str>) {
        let Taken { place, attempt, message } = taken;
        let out = Out {
            shared: Arc::clone(&self.shared),
            group: Arc::clone(&self.group),
            place,
            token: Arc::clone(token),
            deadline: self.subscription.deadline,
            unsettled: self.unsettled.clone(),
            permit: self.reserved.pop(),
            is_seen: false,
            is_settled: false,
        };
        let Some((topic, message)) = message else {
            tracing::warn!(position = %place, "what another program wrote is no message");
            out.pass_by();
            return;
        };
        self.last = self.last.max(place);
        if let Some(unsettled) = &self.unsettled {
            lock(unsettled).insert(place);
        }
        let (came, came_at) = (Instant::now(), self.shared.binding.now());
        self.held.push_back(Held { out, topic, message, attempt, came, came_at });
    }

    /// Takes note of what the group covers now, if that is something else.
    fn learn(&mut self, topics: String, version: String) {
        if version != self.joined.version {
            self.joined.version = version;
            if let Some(new) = group::topics(&topics) {
                self.seat.change(|_, topics| *topics = new);
            }
        }
    }

    /// The group is forgotten. Who is alone makes it anew, and goes on where it was.
    async fn come_back(&mut self, word: &str) -> Result<()> {
        let Some(unsettled) = self.unsettled.as_ref().filter(|_| word == "forgotten") else {
            return Err(forgotten());
        };
        let first = lock(unsettled).first().copied();
        let start = first.map_or(self.last, Place::previous).to_string();
        let (binding, name) = (&self.shared.binding, &self.joined.name);
        let joined = group::join_at(binding, name, &self.subscription, &start).await?;
        self.joined = joined.ok_or_else(forgotten)?;
        self.group = self.joined.number.as_str().into();
        self.seat.change(|group, _| group.clone_from(&self.joined.number));
        Ok(())
    }

    /// When something is to be done although nothing comes.
    fn next_time(&self) -> Instant {
        let held = self.held.front().map(|held| held.came + self.hold());
        let look = (!self.asks.is_empty() && !self.reserved.is_empty()).then_some(self.look);
        let idle = Instant::now() + IDLE;
        let noted = Some(self.noted_at + self.noted);
        [held, look, noted].into_iter().flatten().fold(idle, Instant::min)
    }

    fn hold(&self) -> Duration {
        HOLD.min(self.subscription.deadline / 4)
    }

    fn pass_time(&mut self) {
        let hold = self.hold();
        while self.held.front().is_some_and(|held| held.came.elapsed() >= hold) {
            // Nobody wants it here.
            self.held.pop_front();
        }
    }

    /// Tells those that wait. Who asks again has it tried again.
    fn fail(&mut self, error: &Error) {
        for ask in self.asks.drain(..) {
            // Who has gone need not know.
            drop(ask.send(Err(error.again())));
        }
    }

    /// Gives back what nobody took.
    async fn end(self) {
        drop(self.asks);
        let (binding, group) = (&self.shared.binding, &*self.group);
        let outs: Vec<Out> = self.held.into_iter().map(|held| held.out.give_back()).collect();
        let given: Vec<_> = outs.iter().map(|out| (out.place, &*out.token)).collect();
        if !given.is_empty()
            && let Err(error) = out::settle(binding, group, "unused", 0, &given).await
        {
            tracing::debug!(%error, "what nobody took comes again at its deadline");
        }
        if self.subscription.group.is_none() {
            out::forget(binding, &self.joined.name).await;
        }
    }
}
