//! What takes messages from the server for one subscriber.
//!
//! The server sends as many messages as it was asked for. It is asked for one when somebody waits
//! for one, so that a message counts as handed out when it was; and for more where those that came
//! together were all gone at once.

use super::group::{self, Joined, Start};
use super::handed::Out;
use super::letter;
use super::stream::{Stream, nanoseconds};
use crate::backend::taker::{Ask, Asked, is_closed};
use crate::delivery::forgotten;
use crate::{Delivery, Filter, INBOX, Subscription};
use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use base::{Error, Result};
use bytes::Bytes;
use connect::nats::Connection;
use futures::StreamExt as _;
use serde_json::json;
use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

/// How long a request for messages stays with the server, and how often the server says that it
/// still has it.
const EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After so long without a word the request is lost.
const SILENCE: Duration = Duration::from_millis(2500);
/// So many messages are asked for at once, where they are gone in no time.
const AHEAD: usize = 32;
/// Which is this.
const NO_TIME: Duration = Duration::from_millis(50);
/// Where they have fewer bytes together.
const LARGE: usize = 1 << 20;
/// For so long a message waits at most for somebody to take it.
const HOLD: Duration = Duration::from_secs(5);
/// How long to wait before a request that was refused is made again.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Pump {
    stream: Arc<Stream>,
    subscription: Subscription,
    consumer: Arc<str>,
    /// What the group covers, which may be something else for messages after the one that was the
    /// last when that was known.
    topics: Vec<Filter>,
    known: u64,
    /// Where its consumer begins, and the message behind the last that came: where it goes on if
    /// the consumer is gone.
    start: Start,
    resume: Option<u64>,
    /// One for each message that may be with this subscriber.
    permits: Arc<Semaphore>,
    /// Those of the messages that were asked for.
    reserved: Vec<OwnedSemaphorePermit>,
    asks: VecDeque<Ask>,
    /// Messages that came.
    held: VecDeque<Held>,
    feed: Option<Feed>,
    /// So many messages more than are waited for are asked for.
    ahead: usize,
    /// When the last of those came that were asked for together, and how large they were.
    filled: Option<Instant>,
    size: usize,
    /// Nothing is asked for before.
    not_before: Instant,
}

/// A message that nobody has taken yet.
struct Held {
    out: Out,
    topic: String,
    message: crate::Message,
    time: Option<SystemTime>,
    came: Instant,
}

/// Where messages come.
struct Feed {
    connection: Connection,
    inbox: String,
    messages: Subscriber,
    request: Option<Request>,
}

/// What the server was asked for.
struct Request {
    left: usize,
    /// When it last said something.
    heard: Instant,
}

/// What comes.
enum Event {
    Message(Message),
    Lost,
}

impl Pump {
    pub(super) fn new(stream: Arc<Stream>, joined: Joined, subscription: Subscription) -> Self {
        let prefetch = subscription.prefetch.min(Semaphore::MAX_PERMITS);
        Self {
            stream,
            consumer: joined.consumer,
            topics: joined.topics,
            known: joined.known,
            start: joined.start,
            resume: None,
            permits: Arc::new(Semaphore::new(prefetch)),
            subscription,
            reserved: Vec::new(),
            asks: VecDeque::new(),
            held: VecDeque::new(),
            feed: None,
            ahead: 0,
            filled: None,
            size: 0,
            not_before: Instant::now(),
        }
    }

    /// Hands out messages until it is closed.
    pub(super) async fn run(mut self, asked: Asked) {
        let Asked { asks: mut asked, mut closed, runs } = asked;
        while !*closed.borrow() {
            self.serve();
            let is_asked = self.feed.as_ref().is_some_and(|feed| feed.request.is_some());
            let wants = !self.asks.is_empty() && !is_asked && self.not_before <= Instant::now();
            if wants && !self.reserved.is_empty() {
                let outcome = tokio::select! {
                    outcome = self.request() => outcome,
                    () = is_closed(&mut closed) => break,
                };
                if let Err(error) = outcome {
                    self.fail(&error);
                }
                continue;
            }
            let (permits, next) = (Arc::clone(&self.permits), self.next_time());
            tokio::select! {
                biased;
                () = is_closed(&mut closed) => break,
                event = event(self.feed.as_mut()) => self.take(event).await,
                ask = asked.recv() => match ask {
                    Some(ask) => self.asks.push_back(ask),
                    None => break,
                },
                permit = permits.acquire_owned(), if wants => self.reserved.extend(permit),
                () = sleep_until(next) => self.pass_time().await,
            }
        }
        drop(asked);
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
            if held.came.elapsed() > NO_TIME {
                held.out.refresh();
            }
            if let Err(Ok(back)) = ask.send(Ok(self.delivery(held))) {
                // Who asked has gone meanwhile, so it comes again at once.
                drop(back);
            }
        }
    }

    fn delivery(&self, held: Held) -> Delivery {
        Delivery {
            topic: held.topic,
            message: held.message,
            attempt: u32::try_from(held.out.attempt).unwrap_or(u32::MAX).max(1),
            position: Some(self.stream.position(held.out.sequence)),
            time: held.time,
            settle: Box::new(held.out),
        }
    }

    /// Asks the server for messages.
    async fn request(&mut self) -> Result<()> {
        if self.feed.as_ref().is_none_or(|feed| feed.connection.is_lost()) {
            self.feed = None;
            let feed = self.stream.server.call(async |connection: Connection| {
                let inbox = format!("_INBOX.{}", connection.unique());
                let messages = connection.listen(inbox.clone()).await?;
                Ok(Feed { connection, inbox, messages, request: None })
            });
            self.feed = Some(feed.await?);
        }
        let Some(feed) = &mut self.feed else { return Ok(()) };
        let were_gone = self.filled.take().is_some_and(|filled| filled.elapsed() < NO_TIME);
        let were_gone = were_gone && std::mem::take(&mut self.size) < LARGE;
        self.ahead = if were_gone { (self.ahead * 2 + 1).min(AHEAD) } else { 0 };
        while self.reserved.len() < self.asks.len() + self.ahead
            && let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned()
        {
            self.reserved.push(permit);
        }
        let batch = self.reserved.len();
        let question = json!({
            "batch": batch,
            "expires": nanoseconds(EXPIRES),
            "idle_heartbeat": nanoseconds(HEARTBEAT),
        });
        let api = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.stream.name, self.consumer);
        let (inbox, question) = (feed.inbox.clone(), Bytes::from(question.to_string()));
        feed.connection.send(api, Some(inbox), HeaderMap::new(), question).await?;
        feed.request = Some(Request { left: batch, heard: Instant::now() });
        Ok(())
    }

    async fn take(&mut self, event: Event) {
        let message = match event {
            Event::Message(message) => message,
            Event::Lost => {
                self.feed = None;
                return;
            }
        };
        let Some(feed) = &mut self.feed else { return };
        if let Some(request) = &mut feed.request {
            request.heard = Instant::now();
        }
        let taken = match message.status {
            None | Some(StatusCode::OK) => self.admit(message).await,
            Some(status) => self.status(status, message.description.as_deref()).await,
        };
        if let Err(error) = taken {
            self.fail(&error);
        }
    }

    /// What the server says instead of a message.
    async fn status(&mut self, status: StatusCode, description: Option<&str>) -> Result<()> {
        if status == StatusCode::IDLE_HEARTBEAT {
            return Ok(());
        }
        if let Some(feed) = &mut self.feed {
            feed.request = None;
        }
        match (status, description.map(str::to_ascii_lowercase)) {
            // It had nothing for as long as it was asked.
            (StatusCode::NOT_FOUND | StatusCode::TIMEOUT, _) => Ok(()),
            (_, Some(why)) if why.contains("deleted") => self.check().await,
            _ => {
                self.not_before = Instant::now() + PAUSE;
                self.check().await
            }
        }
    }

    /// Takes a message in, if it is for the group.
    async fn admit(&mut self, message: Message) -> Result<()> {
        let Some(feed) = &mut self.feed else { return Ok(()) };
        let connection = feed.connection.clone();
        self.size += message.length;
        if let Some(request) = &mut feed.request {
            request.left = request.left.saturating_sub(1);
            if request.left == 0 {
                feed.request = None;
                self.filled = Some(Instant::now());
            }
        }
        let message =
            async_nats::jetstream::Message { message, context: connection.jetstream().clone() };
        let Ok(info) = message.info() else { return Ok(()) };
        let sequence = info.stream_sequence;
        let attempt = u64::try_from(info.delivered).unwrap_or(1);
        let time = info.published.unix_timestamp_nanos();
        let time = u64::try_from(time).ok().map(Duration::from_nanos);
        let message = message.message;
        let reply = message.reply.as_ref().map(ToString::to_string).unwrap_or_default();
        let place = (&self.consumer, sequence, attempt);
        let mut out = Out::new(&self.stream, &connection, reply, place, self.subscription.deadline);
        self.resume = self.resume.max(Some(sequence + 1));
        let subject = message.subject.as_str();
        let Some(topic) = self.stream.topic(subject) else {
            tracing::debug!(subject, "a message on what is no topic is passed by");
            out.pass_by();
            return Ok(());
        };
        if !self.covers(topic) && sequence > self.known {
            self.learn().await?;
        }
        if !self.covers(topic) {
            out.pass_by();
            return Ok(());
        }
        // What was not asked for is given back.
        let Some(permit) = self.reserved.pop() else { return Ok(()) };
        out.permit = Some(permit);
        let topic = topic.to_owned();
        let headers = message.headers.unwrap_or_default();
        let reply_to = headers.get(letter::REPLY_TO).and_then(|to| self.reply_to(to.as_str()));
        let letter = letter::unpack(&headers, message.payload);
        self.held.push_back(Held {
            out,
            topic,
            message: crate::Message { reply_to, ..letter },
            time: time.and_then(|time| SystemTime::UNIX_EPOCH.checked_add(time)),
            came: Instant::now(),
        });
        Ok(())
    }

    /// The topic for replies that a message names as a subject. Those of other programs are none.
    fn reply_to(&self, subject: &str) -> Option<String> {
        let inbox = subject.strip_prefix("_INBOX.").and_then(|rest| rest.split_once('.'));
        match inbox {
            Some((stream, rest)) if stream == self.stream.name => Some(format!("{INBOX}.{rest}")),
            _ => self.stream.topic(subject).map(str::to_owned),
        }
    }

    fn covers(&self, topic: &str) -> bool {
        self.topics.iter().any(|filter| filter.covers(topic))
    }

    /// Finds out what the group covers now, which is right for all messages that are there now.
    async fn learn(&mut self) -> Result<()> {
        let last = self.stream.info().await?.state.last_sequence;
        match self.stream.consumer(&self.consumer).await? {
            Some(consumer) => {
                self.topics = group::topics(&consumer).unwrap_or_else(|| self.topics.clone());
                self.known = last;
                Ok(())
            }
            None => Err(forgotten()),
        }
    }

    /// Finds out whether the consumer is there.
    async fn check(&mut self) -> Result<()> {
        if self.stream.consumer(&self.consumer).await?.is_some() {
            return Ok(());
        }
        if self.subscription.group.is_some() {
            return Err(forgotten());
        }
        let start = match self.stream.handed.first(&self.consumer).or(self.resume) {
            Some(sequence) => group::from_sequence(sequence),
            None => self.start.clone(),
        };
        group::revive(&self.stream, &self.consumer, &self.subscription, start).await
    }

    /// When something is to be done although nothing comes.
    fn next_time(&self) -> Instant {
        let hold = self.hold();
        let held = self.held.front().map(|held| held.came + hold);
        let request = self.feed.as_ref().and_then(|feed| feed.request.as_ref());
        let request = request.map(|request| request.heard + SILENCE);
        let paused = (self.not_before > Instant::now()).then_some(self.not_before);
        let far = Instant::now() + EXPIRES;
        [held, request, paused].into_iter().flatten().min().unwrap_or(far)
    }

    fn hold(&self) -> Duration {
        HOLD.min(self.subscription.deadline / 4)
    }

    async fn pass_time(&mut self) {
        let hold = self.hold();
        while self.held.front().is_some_and(|held| held.came.elapsed() >= hold) {
            // Nobody wants it here.
            self.held.pop_front();
        }
        let Some(feed) = &mut self.feed else { return };
        if feed.request.as_ref().is_some_and(|request| request.heard.elapsed() >= SILENCE) {
            feed.request = None;
            if let Err(error) = self.check().await {
                self.fail(&error);
            }
        }
    }

    /// Tells those that wait. Who asks again has it tried again.
    fn fail(&mut self, error: &Error) {
        self.feed = None;
        for ask in self.asks.drain(..) {
            // Who has gone need not know.
            drop(ask.send(Err(error.again())));
        }
    }

    /// Gives back what nobody took, and what comes yet.
    async fn end(mut self) {
        self.asks.clear();
        self.held.clear();
        if let Some(mut feed) = self.feed.take()
            && feed.request.is_some()
            && feed.messages.drain().await.is_ok()
        {
            let rest = async {
                while let Some(message) = feed.messages.next().await {
                    if let (None, Some(reply)) = (message.status, message.reply) {
                        feed.connection.send_now(reply.to_string(), b"-NAK");
                    }
                }
            };
            drop(timeout(self.stream.server.timeout(), rest).await);
        }
        if self.subscription.group.is_none()
            && let Err(error) = self.stream.remove_consumer(&self.consumer).await
        {
            tracing::debug!(%error, "the server forgets the consumer by itself");
        }
    }
}

/// What comes to a feed. Nothing ever, where there is none.
async fn event(feed: Option<&mut Feed>) -> Event {
    let Some(feed) = feed else { return pending().await };
    tokio::select! {
        biased;
        message = feed.messages.next() => message.map_or(Event::Lost, Event::Message),
        () = feed.connection.lost() => Event::Lost,
    }
}
