//! The stream behind a binding: the last message of each subject is the key's entry.

use super::names;
use crate::Version;
use crate::local::lock;
use async_nats::jetstream::stream::{Info, PurgeRequest, PurgeResponse, RawMessage};
use async_nats::jetstream::{ErrorCode, message::StreamMessage};
use async_nats::{HeaderMap, Message};
use base::units::milliseconds;
use base::{Error, Kind, Result};
use bytes::Bytes;
use connect::nats::{
    Answer, Connection, Nats as Server, Nothing, Refusal, Stored, incarnation, is_unheard,
};
use futures::stream::FuturesOrdered;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep};

/// Marks a message as the end of a key, as every client of NATS does.
const OPERATION: &str = "KV-Operation";
/// What a server of 2.11 or newer puts into marks of its own.
const MARKER: &str = "Nats-Marker-Reason";
/// Room for our headers in a message.
pub(super) const HEADERS: usize = 512;
/// What a server of 2.10 or newer says of a message whose duplicate is on its way.
const DUPLICATE: ErrorCode = ErrorCode(10158);
/// So many guesses are kept.
const GUESSES: usize = 1 << 14;
/// How long to wait before a message that nobody heard is sent again.
const PAUSE: Duration = Duration::from_millis(100);

/// A bucket that is there.
pub(super) struct Bucket {
    pub(super) server: Server,
    /// The stream's name.
    pub(super) stream: String,
    /// What subjects begin with.
    pub(super) prefix: String,
    /// When the stream was made, in nanoseconds: sequence numbers begin anew with each stream.
    pub(super) incarnation: u64,
    /// Whether the stream has a leader that may change.
    pub(super) is_replicated: bool,
    /// Whether the one server that has the stream gives out messages directly, not through its API.
    pub(super) is_direct: bool,
    /// How long the marks of deleted keys are kept.
    pub(super) keep_deleted: Duration,
    /// The last messages of keys that were written here, with replicas.
    pub(super) guesses: Mutex<HashMap<String, u64>>,
}

/// The last message of a key.
pub(super) struct Last {
    pub(super) sequence: u64,
    /// Without a value: the key was deleted.
    pub(super) value: Option<Bytes>,
}

#[derive(Serialize)]
struct LastMessage<'a> {
    last_by_subj: &'a str,
}

#[derive(Serialize)]
struct NextMessage<'a> {
    seq: u64,
    next_by_subj: &'a str,
}

#[derive(Deserialize)]
struct Found {
    message: RawMessage,
}

#[derive(Deserialize)]
struct Done {}

impl Bucket {
    /// The subject of a key.
    pub(super) fn subject(&self, key: &str) -> String {
        format!("{}{}", self.prefix, names::token(key))
    }

    /// The version of the write that got this sequence number.
    pub(super) fn version(&self, sequence: u64) -> Version {
        Version::from(u128::from(self.incarnation) << 64 | u128::from(sequence))
    }

    /// The sequence number of a write, if a write to this stream made the version.
    pub(super) fn sequence(&self, version: &Version) -> Option<u64> {
        let number = u128::from_be_bytes(version.bytes().try_into().ok()?);
        let sequence = u64::try_from(number & u128::from(u64::MAX)).ok()?;
        (self.version(sequence) == *version).then_some(sequence)
    }

    /// Which may be the last message of a key; 0 for a key that was not written here.
    pub(super) fn guess(&self, key: &str) -> u64 {
        lock(&self.guesses).get(key).copied().unwrap_or_default()
    }

    fn remember(&self, key: &str, sequence: u64) {
        let mut guesses = lock(&self.guesses);
        if guesses.len() >= GUESSES {
            guesses.clear();
        }
        guesses.insert(key.to_owned(), sequence);
    }

    /// The last message of a key, from the stream's leader.
    pub(super) async fn last(&self, key: &str) -> Result<Option<Last>> {
        self.server
            .read(async |connection: Connection| self.last_through(&connection, key).await)
            .await
    }

    /// The last message of each key, in their order.
    pub(super) async fn last_of_each(&self, keys: &[String]) -> Result<Vec<Option<Last>>> {
        let exchange = async |connection: Connection| {
            let last = async |key: &String| self.last_through(&connection, key).await;
            keys.iter().map(last).collect::<FuturesOrdered<_>>().try_collect().await
        };
        self.server.read(exchange).await
    }

    async fn last_through(&self, connection: &Connection, key: &str) -> Result<Option<Last>> {
        let subject = self.subject(key);
        if self.is_direct {
            match connection.last(&self.stream, &subject).await {
                // It may have been switched off meanwhile.
                Err(error) if is_unheard(&error) => {}
                found => return found?.map(|found| last(key, found)).transpose(),
            }
        }
        let question = LastMessage { last_by_subj: &subject };
        let found = match self.insist::<Found>(connection, "STREAM.MSG.GET", &question).await? {
            Ok(found) => found.message,
            Err(none) if none.error_code() == ErrorCode::NO_MESSAGE_FOUND => return Ok(None),
            Err(refusal) => return Err(self.refused(connection, refusal)),
        };
        let found = StreamMessage::try_from(found)
            .map_err(|error| Error::corrupt(format!("the entry of `{key}`")).with_source(error))?;
        let value = (!is_end(&found.headers)).then_some(found.payload);
        Ok(Some(Last { sequence: found.sequence, value }))
    }

    /// Publishes a value or the mark of a deletion. With `expected`: only if the key's last message
    /// has this sequence number, or there is none for 0; else the answer is `None`.
    ///
    /// With replicas the leader looks at the last message before it lets the others vote, and so
    /// lets several writers through who expect the same one. (For 0 all of them look.) But what is
    /// a duplicate they agree on, so each message is called after the one that it replaces: of
    /// those only the first is stored.
    pub(super) async fn publish(
        &self,
        key: &str,
        value: Option<Bytes>,
        expected: Option<u64>,
    ) -> Result<Option<u64>> {
        let subject = self.subject(key);
        let mut headers = HeaderMap::new();
        if let Some(expected) = expected {
            headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
            if self.is_replicated && expected > 0 {
                headers.insert("Nats-Msg-Id", format!("after-{expected}"));
            }
        }
        if value.is_none() {
            headers.insert(OPERATION, "DEL");
        }
        let payload = value.unwrap_or_default();
        let end = Instant::now() + self.server.timeout() * 3 / 4;
        let exchange = async |connection: Connection| loop {
            let (subject, headers) = (subject.clone(), headers.clone());
            match connection.publish(subject, headers, payload.clone()).await {
                Ok(Ok(stored)) => return Ok((!stored.duplicate).then_some(stored.sequence)),
                Ok(Err(refusal)) if is_unmet(&refusal) => return Ok(None),
                Ok(Err(refusal)) => return Err(self.refused(&connection, refusal)),
                // Between two leaders nobody hears it, so it is not sent twice.
                Err(error) if is_unheard(&error) && self.is_replicated && Instant::now() < end => {
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        };
        let written = self.server.call(exchange).await?;
        if let (Some(sequence), true) = (written, self.is_replicated) {
            self.remember(key, sequence);
        }
        Ok(written)
    }

    /// Publishes values whatever is there, on a stream without replicas.
    ///
    /// # Errors
    /// `Unavailable` and `Timeout` where nobody knows what became of them.
    pub(super) async fn publish_each(
        &self,
        entries: &[(String, Bytes)],
    ) -> Result<Vec<Result<()>>> {
        let exchange = async |connection: Connection| {
            let publish = |(key, value): &(String, Bytes)| {
                connection.publish(self.subject(key), HeaderMap::new(), value.clone())
            };
            let answers: FuturesOrdered<_> = entries.iter().map(publish).collect();
            let outcome = |answer: Result<Answer<Stored>>| match answer {
                Ok(Ok(_stored)) => Ok(Ok(())),
                Ok(Err(refusal)) => Ok(Err(self.refused(&connection, refusal))),
                Err(error) if error.kind().leaves_open() => Err(error),
                Err(error) => Ok(Err(error)),
            };
            answers.map(outcome).try_collect().await
        };
        self.server.call(exchange).await
    }

    /// Removes the messages of a subject up to this one.
    pub(super) async fn purge(&self, subject: String, sequence: u64) -> Result<()> {
        let api = format!("STREAM.PURGE.{}", self.stream);
        let question =
            PurgeRequest { sequence: Some(sequence + 1), filter: Some(subject), keep: None };
        let exchange = async |connection: Connection| match connection
            .ask::<PurgeResponse>(api, &question)
            .await?
        {
            Ok(_purged) => Ok(()),
            Err(refusal) => Err(self.refused(&connection, refusal)),
        };
        self.server.call(exchange).await
    }

    /// What the stream's leader says of it.
    pub(super) async fn info(&self) -> Result<Info> {
        self.server.read(async |connection| self.info_through(&connection).await).await
    }

    /// The last sequence number that the stream gave out.
    pub(super) async fn last_sequence(&self) -> Result<u64> {
        Ok(self.info().await?.state.last_sequence)
    }

    /// Whether the stream's leader has no message behind the one with this sequence number.
    pub(super) async fn is_last(&self, sequence: u64) -> Result<bool> {
        let question = NextMessage { seq: sequence.saturating_add(1), next_by_subj: ">" };
        let exchange = async |connection: Connection| {
            let asked = self.insist::<IgnoredAny>(&connection, "STREAM.MSG.GET", &question);
            match asked.await? {
                Ok(_next) => Ok(false),
                Err(none) if none.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(true),
                Err(refusal) => Err(self.refused(&connection, refusal)),
            }
        };
        self.server.read(exchange).await
    }

    pub(super) async fn info_through(&self, connection: &Connection) -> Result<Info> {
        let asked = self.insist::<Info>(connection, "STREAM.INFO", &Nothing {}).await?;
        let info = asked.map_err(|refusal| self.refused(connection, refusal))?;
        match incarnation(&info) == self.incarnation {
            true => Ok(info),
            false => Err(Error::unavailable(format!("the stream `{}` was made anew", self.stream))
                .with_hint("restart what uses it")),
        }
    }

    /// Removes the stream.
    pub(super) async fn destroy(&self) -> Result<()> {
        let api = format!("STREAM.DELETE.{}", self.stream);
        let exchange =
            async |connection: Connection| match connection.ask::<Done>(api, &Nothing {}).await? {
                Ok(Done {}) => Ok(()),
                Err(gone) if gone.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(()),
                Err(refusal) => Err(self.refused(&connection, refusal)),
            };
        self.server.call(exchange).await
    }

    /// Asks JetStream's API of this stream: with replicas again while nobody answers.
    async fn insist<T: DeserializeOwned>(
        &self,
        connection: &Connection,
        api: &str,
        question: &(impl Serialize + Sync),
    ) -> Result<Answer<T>> {
        let api = format!("{api}.{}", self.stream);
        match self.is_replicated {
            true => connection.insist(&api, question, self.server.timeout() / 4).await,
            false => connection.ask(api, question).await,
        }
    }

    pub(super) fn refused(&self, by: &Connection, refusal: Refusal) -> Error {
        let error = by.refused(refusal);
        match error.kind() {
            Kind::NotFound => Error::unavailable(format!("the stream `{}` is gone", self.stream))
                .with_source(error),
            _ => error,
        }
    }
}

/// A message as it is stored.
fn last(key: &str, message: Message) -> Result<Last> {
    let headers = message.headers.unwrap_or_default();
    let sequence = headers.get("Nats-Sequence").and_then(|text| text.as_str().parse().ok());
    let sequence = sequence.ok_or_else(|| Error::corrupt(format!("the entry of `{key}`")))?;
    let value = (!is_end(&headers)).then_some(message.payload);
    Ok(Last { sequence, value })
}

/// Whether another write came first.
fn is_unmet(refusal: &Refusal) -> bool {
    matches!(refusal.error_code(), ErrorCode::STREAM_WRONG_LAST_SEQUENCE | DUPLICATE)
}

/// Whether a message with these headers is the end of a key.
pub(super) fn is_end(headers: &HeaderMap) -> bool {
    let operation = headers.get(OPERATION).map(|operation| operation.as_str());
    matches!(operation, Some("DEL" | "PURGE")) || headers.get(MARKER).is_some()
}

/// Milliseconds since 1970, by this host.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    milliseconds(now)
}
