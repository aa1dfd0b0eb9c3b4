//! What takes messages from a queue for one subscriber.
//!
//! The service is asked for one when somebody waits for one, so that a message counts as handed out
//! when it was; and for more where those that came together were all gone at once. Who waits no
//! more leaves the question with the service, which might answer it to nobody otherwise; what comes
//! then waits for the next who asks, or goes back.

use super::covers::{Covers, RENEWED};
use super::handed::{Out, hidden};
use super::{Received, Service, Shared};
use crate::backend::taker::{Ask, Asked, is_closed};
use crate::delivery::forgotten;
use crate::{Delivery, Message, Subscription};
use base::{Error, Kind, Result};
use futures::future::BoxFuture;
use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// Messages that are taken so soon are gone at once.
const NO_TIME: Duration = Duration::from_millis(50);
/// For so long a message waits at most for somebody to take it.
const HOLD: Duration = Duration::from_secs(5);
/// When nothing else is to be done.
const FAR: Duration = Duration::from_secs(3600);

pub(super) struct Pump<S: Service> {
    shared: Arc<Shared<S>>,
    queue: Arc<str>,
    subscription: Subscription,
    /// One for each message that may be with this subscriber.
    permits: Arc<Semaphore>,
    asks: VecDeque<Ask>,
    /// Messages that came.
    held: VecDeque<Held<S>>,
    question: Option<Question>,
    /// So many messages more than are waited for are asked for.
    ahead: usize,
    /// When as many came as were asked for.
    filled: Option<Instant>,
    /// So many questions in a row found nothing, and when the next one is asked.
    found_nothing: u32,
    not_before: Instant,
    /// When to say that who is alone is there.
    renewed: Option<Instant>,
}

/// A message that nobody has taken yet.
struct Held<S: Service> {
    out: Out<S>,
    topic: String,
    message: Message,
    attempt: u32,
    time: Option<SystemTime>,
    came: Instant,
}

/// What the service was asked for.
struct Question {
    permits: Vec<OwnedSemaphorePermit>,
    answer: BoxFuture<'static, Result<Vec<Received>>>,
}

impl<S: Service> Pump<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, queue: Arc<str>, subscription: Subscription) -> Self {
        let prefetch = subscription.prefetch.min(Semaphore::MAX_PERMITS);
        let is_alone = subscription.group.is_none();
        Self {
            shared,
            queue,
            subscription,
            permits: Arc::new(Semaphore::new(prefetch)),
            asks: VecDeque::new(),
            held: VecDeque::new(),
            question: None,
            ahead: 0,
            filled: None,
            found_nothing: 0,
            not_before: Instant::now(),
            renewed: is_alone.then(|| Instant::now() + RENEWED),
        }
    }

    /// Hands out messages until it is closed.
    pub(super) async fn run(mut self, asked: Asked) {
        let Asked { mut asks, mut closed, runs } = asked;
        while !*closed.borrow() {
            self.serve();
            let is_time = self.not_before <= Instant::now();
            let wants = is_time && !self.asks.is_empty() && self.question.is_none();
            let (permits, next) = (Arc::clone(&self.permits), self.next_time());
            tokio::select! {
                biased;
                () = is_closed(&mut closed) => break,
                found = answered(self.question.as_mut()) => self.take(found).await,
                ask = asks.recv() => match ask {
                    Some(ask) => self.asks.push_back(ask),
                    None => break,
                },
                permit = permits.acquire_owned(), if wants => self.ask(permit.ok()),
                () = sleep_until(next) => self.pass_time().await,
            }
        }
        drop(asks);
        self.end().await;
        drop(runs);
    }

    /// Hands what came to those that wait.
    fn serve(&mut self) {
        self.asks.retain(|ask| !ask.is_closed());
        while !self.asks.is_empty()
            && let Some(held) = self.held.pop_front()
        {
            if held.out.is_late() {
                continue;
            }
            let Some(ask) = self.asks.pop_front() else { return };
            let delivery = Delivery {
                topic: held.topic,
                message: held.message,
                attempt: held.attempt.max(1),
                position: None,
                time: held.time,
                settle: Box::new(held.out),
            };
            if let Err(Ok(back)) = ask.send(Ok(delivery)) {
                // Who asked has gone meanwhile, so it comes again at once.
                drop(back);
            }
        }
    }

    /// Asks the service for messages.
    fn ask(&mut self, permit: Option<OwnedSemaphorePermit>) {
        let were_gone = self.filled.take().is_some_and(|filled| filled.elapsed() < NO_TIME);
        self.ahead = if were_gone { (self.ahead * 2 + 1).min(S::HANDED) } else { 0 };
        let mut permits: Vec<_> = permit.into_iter().collect();
        let wanted = (self.asks.len() + self.ahead).min(S::HANDED);
        while permits.len() < wanted
            && let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned()
        {
            permits.push(permit);
        }
        let (service, queue) = (Arc::clone(&self.shared.service), Arc::clone(&self.queue));
        let (most, hidden) = (permits.len(), self.hidden());
        let answer = Box::pin(async move { service.receive(&queue, most, hidden).await });
        self.question = Some(Question { permits, answer });
    }

    async fn take(&mut self, found: Result<Vec<Received>>) {
        let Some(Question { mut permits, .. }) = self.question.take() else { return };
        let found = match found {
            Ok(found) => found,
            Err(error) if error.kind() == Kind::NotFound => return self.fail(&forgotten()),
            Err(error) => return self.fail(&error),
        };
        if found.is_empty() {
            self.not_before = Instant::now() + self.shared.service.pause(self.found_nothing);
            self.found_nothing = self.found_nothing.saturating_add(1);
            return;
        }
        self.found_nothing = 0;
        if found.len() == permits.len() {
            self.filled = Some(Instant::now());
        }
        for received in found {
            if let Some(held) = self.admit(received, permits.pop()).await {
                self.held.push_back(held);
            }
        }
    }

    /// Takes a message in, if it is one.
    async fn admit(
        &mut self,
        received: Received,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Option<Held<S>> {
        let Received { id, receipt, letter, attempt, time } = received;
        let message = (Arc::clone(&self.queue), id);
        let out = Out::new(&self.shared, message, receipt, self.hidden(), permit);
        let Some((topic, message)) = letter.unpack() else {
            let queue = &*self.queue;
            tracing::warn!(queue, "a message that says no topic is passed by");
            if let Err(error) = out.pass_by().await {
                tracing::debug!(%error, "it is passed by when it comes again");
            }
            return None;
        };
        Some(Held { out, topic, message, attempt, time, came: Instant::now() })
    }

    /// For how long messages are hidden from others: as long as their receiver has, after as long
    /// as they may wait here.
    fn hidden(&self) -> Duration {
        hidden::<S>(self.subscription.deadline, self.hold())
    }

    fn hold(&self) -> Duration {
        HOLD.min(self.subscription.deadline / 4)
    }

    /// When something is to be done although nothing comes.
    fn next_time(&self) -> Instant {
        let held = self.held.front().map(|held| held.came + self.hold());
        let paused = (self.not_before > Instant::now()).then_some(self.not_before);
        let times = [held, paused, self.renewed, Some(Instant::now() + FAR)];
        times.into_iter().flatten().min().unwrap_or_else(Instant::now)
    }

    async fn pass_time(&mut self) {
        let hold = self.hold();
        while self.held.front().is_some_and(|held| held.came.elapsed() >= hold) {
            // Nobody wants it here.
            self.held.pop_front();
        }
        if self.renewed.is_some_and(|time| time <= Instant::now()) {
            self.renewed = Some(Instant::now() + RENEWED);
            let text = Covers::for_a_while(&self.subscription.topics).text();
            if let Err(error) = self.shared.service.write(&self.queue, &text).await {
                tracing::debug!(%error, "it is said again later that a subscriber is there");
            }
        }
    }

    /// Tells those that wait. Who asks again has it tried again.
    fn fail(&mut self, error: &Error) {
        for ask in self.asks.drain(..) {
            // Who has gone need not know.
            drop(ask.send(Err(error.again())));
        }
    }

    /// Gives back what nobody took, and what comes yet.
    async fn end(mut self) {
        self.asks.clear();
        self.held.clear();
        let question = self.question.take();
        if self.subscription.group.is_none() {
            if let Err(error) = self.shared.service.forget(&self.queue).await {
                tracing::debug!(%error, "a queue that nobody needs goes later");
            }
        } else if let (Some(question), Ok(runtime)) = (question, Handle::try_current()) {
            let (service, queue) = (Arc::clone(&self.shared.service), Arc::clone(&self.queue));
            // It ends once the service answers, or its timeout is over.
            runtime.spawn(async move {
                for received in question.answer.await.unwrap_or_default() {
                    // At its deadline it comes again in any case.
                    drop(service.hide(&queue, &received.receipt, Duration::ZERO).await);
                }
            });
        }
    }
}

/// What the service answers. Nothing ever, where it was not asked.
async fn answered(question: Option<&mut Question>) -> Result<Vec<Received>> {
    match question {
        Some(question) => (&mut question.answer).await,
        None => pending().await,
    }
}
