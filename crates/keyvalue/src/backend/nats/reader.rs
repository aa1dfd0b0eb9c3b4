//! What comes to a stream, message by message, over lost connections and lost consumers.

use super::bucket::{Bucket, is_end};
use super::names;
use crate::{Position, Versioned};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{Message, stream::Info};
use base::units::milliseconds;
use base::{Error, Result};
use connect::nats::{Connection, Nothing};
use futures::StreamExt as _;
use serde::de::IgnoredAny;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Messages that are asked for at once.
const BATCH: usize = 256;
/// How long a request for messages stays with the server, and how often the server says that it
/// still has it.
const EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(3);
/// How long the server keeps a consumer that nobody asks.
const INACTIVE: Duration = Duration::from_secs(20);
/// So often a leader is asked again that knows less than was read already, some three seconds in
/// all: a new one may have to apply what it has. One that has lost it never will.
const PATIENCE: u32 = 6;
/// After so long without a message a reader says that there is none.
const QUIET: Duration = Duration::from_millis(200);

/// Reads a stream in its order.
pub(super) struct Reader {
    bucket: Arc<Bucket>,
    /// Keys without values, for who does not need these.
    headers_only: bool,
    /// The last message that was read.
    last: u64,
    /// Everything up to this one was read, or is there no more.
    seen: u64,
    feed: Option<Feed>,
    /// When the server was last there.
    heard: Instant,
    failures: u32,
}

/// A consumer, for as long as its connection lasts.
struct Feed {
    connection: Connection,
    name: String,
    messages: pull::Stream,
    /// Messages that came.
    count: u64,
}

/// What a reader has to tell.
pub(super) enum Told {
    /// A message.
    Entry(Entry),
    /// Messages may be gone that were never read.
    Missed(Place),
    /// Nothing came for a while.
    Quiet,
}

/// A message of the stream.
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) subject: String,
    /// None where another client made what stands for none.
    pub(super) key: Option<String>,
    /// The value, empty for who did not ask for it; `None`: the key is gone.
    pub(super) value: Option<Versioned>,
}

/// A place in the stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) incarnation: u64,
    pub(super) sequence: u64,
    /// When the message was stored, in milliseconds since 1970, by the server.
    pub(super) time: u64,
}

impl Place {
    const TIME: usize = 6;

    pub(super) fn position(self) -> Position {
        let mut bytes = Vec::with_capacity(22);
        bytes.extend(self.incarnation.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.time.to_be_bytes().into_iter().skip(8 - Self::TIME));
        // Shorter than the longest.
        Position::new(&bytes).unwrap_or_else(|_| Position::from(self.sequence))
    }

    pub(super) fn read(position: &Position) -> Result<Self> {
        let number = |from: usize, to: usize| {
            let bytes = position.bytes().get(from..to)?;
            Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        };
        let parts = (number(0, 8), number(8, 16), number(16, 16 + Self::TIME));
        match parts {
            (Some(incarnation), Some(sequence), Some(time)) => {
                Ok(Self { incarnation, sequence, time })
            }
            _ => Err(Error::invalid("this is no position of the store")),
        }
    }
}

impl Reader {
    /// A reader of what comes after the message with this sequence number. What is stored from now
    /// on is not missed.
    pub(super) async fn open(bucket: &Arc<Bucket>, after: u64, headers_only: bool) -> Result<Self> {
        let mut reader = Self {
            bucket: Arc::clone(bucket),
            headers_only,
            last: after,
            seen: after,
            feed: None,
            heard: Instant::now(),
            failures: 0,
        };
        reader.connect().await?;
        Ok(reader)
    }

    /// Everything up to this sequence number was read, or is there no more.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// What comes next. Waits out failures.
    pub(super) async fn next(&mut self) -> Told {
        match self.read().await {
            Ok(told) => {
                self.failures = 0;
                self.heard = Instant::now();
                told
            }
            Err(error) => {
                self.feed = None;
                self.failures = self.failures.saturating_add(1);
                match self.failures {
                    // A connection that was cut is made anew, and nothing is lost by it.
                    1 => tracing::debug!(%error, "reading the stream is begun anew"),
                    2 => tracing::warn!(%error, "reading the stream failed; it is tried again"),
                    _ => {}
                }
                if self.failures > 1 {
                    sleep(Duration::from_millis(50) * 2_u32.pow(self.failures.min(6))).await;
                }
                Told::Quiet
            }
        }
    }

    async fn read(&mut self) -> Result<Told> {
        if self.feed.is_none()
            && let Some(place) = self.connect().await?
        {
            return Ok(Told::Missed(place));
        }
        loop {
            let Some(feed) = &mut self.feed else { return Ok(Told::Quiet) };
            let next = tokio::select! {
                biased;
                next = timeout(QUIET, feed.messages.next()) => next,
                () = feed.connection.lost() => {
                    return Err(Error::unavailable("the connection was lost"));
                }
            };
            let message = match next {
                Err(_elapsed) => return Ok(Told::Quiet),
                Ok(None) => return Err(Error::unavailable("the consumer ended")),
                Ok(Some(Err(error))) => {
                    return Err(Error::unavailable("the consumer").with_source(error));
                }
                Ok(Some(Ok(message))) => message,
            };
            feed.count += 1;
            let count = feed.count;
            if let Some(entry) = self.entry(message, count)? {
                return Ok(Told::Entry(entry));
            }
        }
    }

    /// What a message says, unless it was read before.
    fn entry(&mut self, message: Message, count: u64) -> Result<Option<Entry>> {
        let info = message
            .info()
            .map_err(|error| Error::corrupt("a message of the stream").with_source(error))?;
        if info.consumer_sequence != count {
            return Err(Error::unavailable("messages were lost on their way"));
        }
        // A server that is behind begins with its own last message where it has none to begin with.
        if info.stream_sequence <= self.last {
            return Ok(None);
        }
        let place = Place {
            incarnation: self.bucket.incarnation,
            sequence: info.stream_sequence,
            time: u64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or(0),
        };
        self.last = place.sequence;
        self.seen = self.seen.max(place.sequence);
        let message = message.message;
        let subject = message.subject.to_string();
        let key = subject.strip_prefix(&self.bucket.prefix).and_then(names::key);
        let is_end = message.headers.as_ref().is_some_and(is_end);
        let version = self.bucket.version(place.sequence);
        let value = (!is_end).then_some(Versioned { value: message.payload, version });
        Ok(Some(Entry { place, subject, key, value }))
    }

    /// Makes a consumer of what was not read yet, and tells if some of it may be gone.
    async fn connect(&mut self) -> Result<Option<Place>> {
        let last = self.last;
        let config = pull::Config {
            deliver_policy: match last {
                0 => DeliverPolicy::All,
                _ => DeliverPolicy::ByStartSequence { start_sequence: last + 1 },
            },
            ack_policy: AckPolicy::None,
            headers_only: self.headers_only,
            inactive_threshold: INACTIVE,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let bucket = Arc::clone(&self.bucket);
        let (feed, info) = bucket
            .server
            .call(async |connection| {
                let info = bucket.info_through(&connection).await?;
                Ok((consume(&bucket, &connection, config).await?, info))
            })
            .await?;
        let is_behind = info.state.last_sequence < self.last;
        if is_behind && self.bucket.is_replicated && (1..PATIENCE).contains(&self.failures) {
            return Err(Error::unavailable("the stream's new leader has not caught up"));
        }
        let told = self.missed(&info);
        if let Some(place) = told {
            self.last = place.sequence;
        }
        // What was missed is read from a place of its own.
        self.feed = told.is_none().then_some(feed);
        Ok(told)
    }

    /// Where to go on, if what was not read may have been swept away meanwhile.
    fn missed(&self, info: &Info) -> Option<Place> {
        let last = info.state.last_sequence;
        let is_late = self.heard.elapsed() > self.bucket.keep_deleted / 2 && last > self.last;
        // The server has lost what it had not written yet, and gives the numbers out again.
        let is_back = last < self.last;
        (is_late || is_back).then(|| Place {
            incarnation: self.bucket.incarnation,
            sequence: last,
            time: super::bucket::now(),
        })
    }

    /// Asks whether everything was read that is there now.
    ///
    /// The consumer does not know: with replicas it may live on a server that is behind. So the
    /// stream's leader has to have nothing more at all. That it has nothing up to some number would
    /// not do: a message that is still on its way may have been replaced by a later one.
    pub(super) async fn is_at_end(&self) -> bool {
        self.feed.is_some() && self.bucket.is_last(self.last).await.unwrap_or(false)
    }

    /// Removes the consumer, which would else wait for a while for somebody to ask it.
    pub(super) async fn close(self) {
        let Some(feed) = self.feed else { return };
        let api = format!("CONSUMER.DELETE.{}.{}", self.bucket.stream, feed.name);
        let ask = feed.connection.ask::<IgnoredAny>(api, &Nothing {});
        // If it fails, the consumer ends by itself.
        drop(timeout(self.bucket.server.timeout(), ask).await);
    }

    /// Takes note of what [`is_at_end`](Self::is_at_end) has shown.
    pub(super) fn has_seen(&mut self, sequence: u64) {
        self.seen = self.seen.max(sequence);
    }
}

/// Makes a consumer.
async fn consume(bucket: &Bucket, connection: &Connection, config: pull::Config) -> Result<Feed> {
    let wrong = |error| Error::unavailable("making a consumer").with_source(error);
    let made =
        connection.jetstream().create_consumer_on_stream(config, &bucket.stream).await.map_err(
            |error| match error.kind() {
                async_nats::jetstream::stream::ConsumerErrorKind::JetStream(refusal) => {
                    bucket.refused(connection, refusal)
                }
                _ => wrong(error),
            },
        )?;
    let name = made.cached_info().name.clone();
    let messages = made
        .stream()
        .max_messages_per_batch(BATCH)
        .expires(EXPIRES)
        .heartbeat(HEARTBEAT)
        .messages()
        .await
        .map_err(|error| Error::unavailable("reading a consumer").with_source(error))?;
    Ok(Feed { connection: connection.clone(), name, messages, count: 0 })
}

/// Whether what was deleted right after `place` may have been swept away, by this host's clock.
pub(super) fn is_swept(bucket: &Bucket, place: &Place) -> bool {
    let age = super::bucket::now().saturating_sub(place.time);
    age > milliseconds(bucket.keep_deleted) / 2
}
