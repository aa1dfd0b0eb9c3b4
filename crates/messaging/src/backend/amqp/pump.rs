//! What takes messages from the server for one subscriber.
//!
//! The server sends ahead as many as the subscriber may have. What nobody took goes back as a copy,
//! that says how often it was really handed out.

use super::Binding;
use super::group::{self, Queue};
use super::handed::{Ledger, Out, Source};
use super::letter::{self, Letter};
use super::wait;
use crate::backend::taker::{Ask, Asked, is_closed};
use crate::{Delivery, Subscription};
use base::{Error, Kind, Result};
use connect::amqp::Connection;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use lapin::Consumer;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// For so long a message waits at most for somebody to take it, where others might.
const HOLD: Duration = Duration::from_secs(5);
/// How long to wait before the server is asked again that refused, or was away.
const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait where there is nothing to wait for.
const LONG: Duration = Duration::from_secs(3600);
/// The server takes no larger window.
const WINDOW: usize = 2000;

pub(super) struct Pump {
    binding: Arc<Binding>,
    queue: Queue,
    subscription: Subscription,
    ledger: Arc<Ledger>,
    asks: VecDeque<Ask>,
    /// Messages that came.
    held: VecDeque<Held>,
    feed: Option<Feed>,
    /// Messages that are sent on, as they have to wait yet.
    passing: FuturesUnordered<BoxFuture<'static, ()>>,
    /// There is no queue any more, unless somebody made it again.
    is_gone: bool,
    /// Nothing is asked for before.
    not_before: Instant,
}

/// A message that nobody has taken yet.
struct Held {
    source: Arc<Source>,
    tag: u64,
    topic: String,
    letter: Letter,
    came: Instant,
}

/// Where messages come.
struct Feed {
    source: Arc<Source>,
    consumer: Consumer,
}

impl Pump {
    pub(super) fn new(binding: Arc<Binding>, queue: Queue, subscription: Subscription) -> Self {
        Self {
            binding,
            queue,
            subscription,
            ledger: Arc::default(),
            asks: VecDeque::new(),
            held: VecDeque::new(),
            feed: None,
            passing: FuturesUnordered::new(),
            is_gone: false,
            not_before: Instant::now(),
        }
    }

    /// Hands out messages until it is closed, and minds their deadlines until it is gone.
    pub(super) async fn run(mut self, asked: Asked) {
        let Asked { asks: mut asked, mut closed, runs } = asked;
        while !*closed.borrow() {
            self.serve();
            let is_needed = self.queue.is_alone && !self.is_gone;
            let wants = is_needed || !self.asks.is_empty();
            if self.feed.is_none() && wants && self.not_before <= Instant::now() {
                let outcome = tokio::select! {
                    outcome = self.open() => outcome,
                    () = is_closed(&mut closed) => break,
                };
                if let Err(error) = outcome {
                    self.fail(&error);
                }
                continue;
            }
            let next = self.next_time(wants);
            tokio::select! {
                biased;
                () = is_closed(&mut closed) => break,
                event = event(self.feed.as_mut()) => self.take(event),
                ask = asked.recv() => match ask {
                    Some(ask) => self.asks.push_back(ask),
                    None => break,
                },
                Some(()) = self.passing.next() => {}
                () = sleep_until(next) => self.pass_time().await,
            }
        }
        self.asks.clear();
        self.rest().await;
        drop(runs);
        // What was handed out can still be settled, or has to come back at its deadline.
        loop {
            let next = self.ledger.next().unwrap_or_else(|| Instant::now() + LONG);
            tokio::select! {
                ask = asked.recv() => match ask {
                    Some(late) => drop(late),
                    None => break,
                },
                () = sleep_until(next) => self.ledger.give_back_until(Instant::now()),
            }
        }
        self.ledger.give_back();
        if self.queue.is_alone
            && let Err(error) = group::forget_alone(&self.binding, &self.queue).await
        {
            tracing::debug!(%error, queue = self.queue.name, "a queue is left to expire");
        }
    }

    /// Hands what came to those that wait.
    fn serve(&mut self) {
        self.asks.retain(|ask| !ask.is_closed());
        while !self.asks.is_empty()
            && let Some(held) = self.held.pop_front()
        {
            if held.source.is_lost() {
                continue;
            }
            let Some(ask) = self.asks.pop_front() else { return };
            if let Err(Ok(back)) = ask.send(Ok(self.delivery(held))) {
                // Who asked has gone meanwhile, so it comes again at once.
                drop(back);
            }
        }
    }

    fn delivery(&self, held: Held) -> Delivery {
        let Held { source, tag, topic, letter, .. } = held;
        let deadline = self.subscription.deadline;
        let number = self.ledger.note(&source, tag, Instant::now() + deadline);
        let out = Out {
            binding: Arc::clone(&self.binding),
            queue: self.queue.clone(),
            ledger: Arc::clone(&self.ledger),
            number,
            letter,
            deadline,
        };
        Delivery {
            topic,
            message: out.letter.message.clone(),
            attempt: out.letter.attempt,
            position: None,
            time: out.letter.time,
            settle: Box::new(out),
        }
    }

    /// Begins to consume.
    async fn open(&mut self) -> Result<()> {
        let window = self.subscription.prefetch.min(WINDOW);
        let window = u16::try_from(window).unwrap_or(u16::MAX);
        let (binding, queue) = (&self.binding, &self.queue);
        let opening = async |connection: Connection| {
            let channel = connection.channel().await?;
            let refused = |error| connection.refused(error);
            channel.basic_qos(window, BasicQosOptions::default()).await.map_err(refused)?;
            let (name, tag) = (binding.short(&queue.name)?, ShortString::default());
            let options = BasicConsumeOptions::default();
            let consumed = channel.basic_consume(name, tag, options, FieldTable::default()).await;
            let consumer = consumed.map_err(refused)?;
            let source = Arc::new(Source::new(connection, channel, window));
            Ok(Feed { source, consumer })
        };
        match binding.server.listen(opening).await {
            Ok(feed) => {
                self.feed = Some(feed);
                self.is_gone = false;
                Ok(())
            }
            Err(gone) if gone.kind() == Kind::NotFound => {
                self.ledger.forget();
                self.is_gone = true;
                Err(Error::not_found(match self.queue.is_alone {
                    true => "what was published meanwhile is lost, as the server was away too long",
                    false => "the group was forgotten",
                })
                .with_source(gone)
                .with_hint("subscribe again, if that was not meant"))
            }
            Err(error) => Err(error),
        }
    }

    fn fail(&mut self, error: &Error) {
        self.not_before = Instant::now() + PAUSE;
        for ask in self.asks.drain(..) {
            // Who has gone needs no answer.
            drop(ask.send(Err(error.again())));
        }
    }

    /// Takes a message in. None says that no more come from there.
    fn take(&mut self, event: Option<lapin::message::Delivery>) {
        let (Some(feed), Some(mut delivery)) = (&self.feed, event) else {
            self.feed = None;
            // Where the channel is lost they are with the server already.
            self.held.drain(..).for_each(|held| held.source.give_back(held.tag));
            return;
        };
        let (source, tag) = (Arc::clone(&feed.source), delivery.delivery_tag);
        let mut letter = letter::unpack(&self.binding.names, &mut delivery);
        let Some(topic) = letter.topic.clone() else {
            let key = delivery.routing_key.as_str();
            tracing::debug!(key, "a message on what is no topic is passed by");
            self.passing.push(async move { drop(source.acknowledge(tag).await) }.boxed());
            return;
        };
        if letter.rest > 0 {
            let (binding, queue) = (Arc::clone(&self.binding), self.queue.clone());
            let rest = std::mem::take(&mut letter.rest);
            let passing = async move {
                let attempts = letter.attempt - 1;
                match wait::put_off(&binding, &queue, &letter, attempts, rest).await {
                    Ok(()) => drop(source.acknowledge(tag).await),
                    Err(error) => {
                        tracing::debug!(%error, "a message that has to wait is sent on later");
                        source.give_back(tag);
                    }
                }
            };
            self.passing.push(passing.boxed());
            return;
        }
        self.held.push_back(Held { source, tag, topic, letter, came: Instant::now() });
    }

    /// When there is something to do although nothing happens.
    fn next_time(&self, wants: bool) -> Instant {
        let mut next = Instant::now() + LONG;
        if let Some(deadline) = self.ledger.next() {
            next = next.min(deadline);
        }
        if self.feed.is_none() && wants {
            next = next.min(self.not_before);
        }
        if let Some(first) = self.held.front().filter(|_| !self.queue.is_alone) {
            next = next.min(first.came + HOLD);
        }
        next
    }

    async fn pass_time(&mut self) {
        let now = Instant::now();
        self.ledger.give_back_until(now);
        let is_idle = |first: &Held| first.came + HOLD <= now;
        if !self.queue.is_alone && self.held.front().is_some_and(is_idle) {
            self.rest().await;
        }
    }

    /// Consumes no more, and leaves to others what nobody took.
    async fn rest(&mut self) {
        let timeout = self.binding.server.timeout();
        if let Some(Feed { source, mut consumer }) = self.feed.take()
            && !source.is_lost()
        {
            let cancelled =
                source.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
            drop(base::within(timeout, cancelled).await);
            // What came before it heard.
            self.feed = Some(Feed { source, consumer: consumer.clone() });
            while let Some(Some(Ok(delivery))) = consumer.next().now_or_never() {
                self.take(Some(delivery));
            }
            self.feed = None;
        }
        let held: Vec<Held> = self.held.drain(..).collect();
        if !self.queue.is_alone {
            let leaving = held.into_iter().map(|held| leave(&self.binding, &self.queue, held));
            drop(base::within(timeout, futures::future::join_all(leaving)).await);
        }
        let passing = async { while self.passing.next().await.is_some() {} };
        let _what_is_left_comes_again = base::within(timeout, passing).await;
    }
}

/// What comes next; none if nothing more does.
async fn event(feed: Option<&mut Feed>) -> Option<lapin::message::Delivery> {
    let Some(Feed { source, consumer }) = feed else { return pending().await };
    tokio::select! {
        biased;
        next = consumer.next() => next?.ok(),
        () = source.connection.lost() => None,
    }
}

/// Gives a message back that nobody took: it is as if it had not been handed out.
async fn leave(binding: &Binding, queue: &Queue, held: Held) {
    let Held { source, tag, letter, .. } = held;
    if source.is_lost() {
        return;
    }
    match wait::put_back(binding, queue, &letter, letter.attempt - 1).await {
        Ok(()) => drop(source.acknowledge(tag).await),
        Err(_) => source.give_back(tag),
    }
}
