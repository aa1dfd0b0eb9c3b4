//! The stream behind a binding, and what is asked of it.

use super::handed::Handed;
use crate::{Position, check_topic, is_inbox};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::{Info, PurgeRequest};
use base::{Error, Kind, Result};
use connect::nats::{Answer, Connection, Nats as Server, Nothing, Refusal, incarnation};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// How long to wait before a message that nobody heard is sent again.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Longer than anybody waits for anything, and short enough to be added to every time.
pub(super) const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);
/// What a server of 2.10 or newer says of a message whose duplicate is on its way.
pub(super) const DUPLICATE: ErrorCode = ErrorCode(10158);

/// A stream that is there.
pub(super) struct Stream {
    pub(super) server: Server,
    pub(super) name: String,
    /// What subjects begin with, and end with a dot.
    pub(super) prefix: String,
    /// When the stream was made, in nanoseconds: sequence numbers begin anew with each stream.
    pub(super) incarnation: u64,
    /// Whether the stream has a leader that may change.
    pub(super) is_replicated: bool,
    /// Whether other programs may use it too.
    pub(super) is_shared: bool,
    /// Whether the server forgets messages when the filter of a consumer gets its first `*`.
    pub(super) is_old: bool,
    /// How long the ids of messages are known.
    pub(super) window: Duration,
    /// After how long without a subscriber the server forgets a group.
    pub(super) forget_groups: Duration,
    /// What was handed out by this host.
    pub(super) handed: Handed,
}

/// What the server says of a consumer.
#[derive(Deserialize)]
pub(super) struct Consumer {
    pub(super) name: String,
    pub(super) config: Map<String, Value>,
    pub(super) delivered: Reached,
    pub(super) ack_floor: Reached,
    pub(super) num_ack_pending: u64,
}

#[derive(Deserialize)]
pub(super) struct Reached {
    pub(super) stream_seq: u64,
}

/// All consumers, or those of a page.
#[derive(Deserialize)]
struct Page {
    total: usize,
    #[serde(default)]
    consumers: Option<Vec<Consumer>>,
    /// Those of which nobody said anything.
    #[serde(default)]
    missing: Option<Vec<String>>,
}

#[derive(Serialize)]
struct From {
    offset: usize,
}

impl Consumer {
    /// Everything up to this message it is done with.
    pub(super) fn done(&self) -> u64 {
        match self.num_ack_pending {
            0 => self.delivered.stream_seq,
            _ => self.ack_floor.stream_seq,
        }
    }

    /// The subjects that it covers, in their order; none where these are all of the stream's.
    pub(super) fn filters(&self) -> Vec<&str> {
        filters(&self.config)
    }

    /// A text of its settings.
    pub(super) fn text(&self, field: &str) -> &str {
        self.config.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number of its settings.
    pub(super) fn number(&self, field: &str) -> Option<i64> {
        self.config.get(field).and_then(Value::as_i64)
    }
}

impl Stream {
    pub(super) fn subject(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// The topic of a subject. None where other programs published to what is none.
    pub(super) fn topic<'a>(&self, subject: &'a str) -> Option<&'a str> {
        let topic = subject.strip_prefix(&self.prefix)?;
        (check_topic(topic).is_ok() && !is_inbox(topic)).then_some(topic)
    }

    /// The subject on which replies to a topic of theirs come: nobody else's, and no other
    /// binding's.
    pub(super) fn inbox(&self, topic: &str) -> String {
        let (_, rest) = topic.split_once('.').unwrap_or_default();
        format!("_INBOX.{}.{}", self.name, if rest.is_empty() { "-" } else { rest })
    }

    pub(super) fn position(&self, sequence: u64) -> Position {
        Position(format!("{:x}-{sequence}", self.incarnation))
    }

    /// The sequence number of a position in this stream.
    pub(super) fn sequence(&self, position: &Position) -> Option<u64> {
        let (incarnation, sequence) = position.0.split_once('-')?;
        let incarnation = u64::from_str_radix(incarnation, 16).ok()?;
        (incarnation == self.incarnation).then(|| sequence.parse().ok()).flatten()
    }

    /// What the stream's leader says of it.
    pub(super) async fn info(&self) -> Result<Info> {
        self.server
            .read(async |connection: Connection| {
                let asked =
                    self.insist::<Info>(&connection, "STREAM.INFO", "", &Nothing {}).await?;
                let info = asked.map_err(|refusal| self.refused(&connection, refusal))?;
                match incarnation(&info) == self.incarnation {
                    true => Ok(info),
                    false => Err(self.is_gone()),
                }
            })
            .await
    }

    /// What the server says of a consumer. `None`: there is none of this name.
    pub(super) async fn consumer(&self, name: &str) -> Result<Option<Consumer>> {
        self.server
            .read(async |connection: Connection| {
                let api = format!(".{name}");
                let asked = self
                    .insist::<Consumer>(&connection, "CONSUMER.INFO", &api, &Nothing {})
                    .await?;
                self.unless_gone(&connection, asked)
            })
            .await
    }

    /// All consumers of the stream; `None` if some could not be asked.
    pub(super) async fn consumers(&self) -> Result<Option<Vec<Consumer>>> {
        let mut all = Vec::new();
        loop {
            let from = From { offset: all.len() };
            let page = self
                .server
                .read(async |connection: Connection| {
                    let asked =
                        self.insist::<Page>(&connection, "CONSUMER.LIST", "", &from).await?;
                    asked.map_err(|refusal| self.refused(&connection, refusal))
                })
                .await?;
            if page.missing.is_some_and(|missing| !missing.is_empty()) {
                return Ok(None);
            }
            let found = page.consumers.unwrap_or_default();
            let is_last = found.is_empty();
            all.extend(found);
            if is_last || all.len() >= page.total {
                return Ok(Some(all));
            }
        }
    }

    /// Removes a consumer, unless there is none.
    pub(super) async fn remove_consumer(&self, name: &str) -> Result<()> {
        self.server
            .call(async |connection: Connection| {
                let api = format!(".{name}");
                let asked = self
                    .insist::<IgnoredAny>(&connection, "CONSUMER.DELETE", &api, &Nothing {})
                    .await?;
                self.unless_gone(&connection, asked).map(drop)
            })
            .await
    }

    /// Removes this binding's messages up to this one.
    pub(super) async fn purge(&self, sequence: u64) -> Result<()> {
        let filter = self.is_shared.then(|| format!("{}>", self.prefix));
        let question = PurgeRequest { sequence: Some(sequence + 1), filter, keep: None };
        self.server
            .call(async |connection: Connection| {
                let asked =
                    self.insist::<IgnoredAny>(&connection, "STREAM.PURGE", "", &question).await?;
                asked.map(drop).map_err(|refusal| self.refused(&connection, refusal))
            })
            .await
    }

    /// Removes the stream.
    pub(super) async fn destroy(&self) -> Result<()> {
        let api = format!("STREAM.DELETE.{}", self.name);
        self.server
            .call(async |connection: Connection| {
                match connection.ask::<IgnoredAny>(api, &Nothing {}).await? {
                    Ok(_done) => Ok(()),
                    Err(gone) if gone.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(()),
                    Err(refusal) => Err(connection.refused(refusal)),
                }
            })
            .await
    }

    /// Asks JetStream's API of this stream: with replicas again while nobody answers.
    pub(super) async fn insist<T: DeserializeOwned>(
        &self,
        connection: &Connection,
        verb: &str,
        what: &str,
        question: &(impl Serialize + Sync),
    ) -> Result<Answer<T>> {
        let api = format!("{verb}.{}{what}", self.name);
        match self.is_replicated {
            true => connection.insist(&api, question, self.server.timeout() / 4).await,
            false => connection.ask(api, question).await,
        }
    }

    /// An answer, or that there is no such consumer.
    fn unless_gone<T>(&self, by: &Connection, answer: Answer<T>) -> Result<Option<T>> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(none) if none.error_code() == ErrorCode::CONSUMER_NOT_FOUND => Ok(None),
            Err(refusal) => Err(self.refused(by, refusal)),
        }
    }

    pub(super) fn refused(&self, by: &Connection, refusal: Refusal) -> Error {
        if refusal.error_code() == DUPLICATE {
            return Error::unavailable("another message with this id is on its way")
                .with_source(refusal);
        }
        let error = by.refused(refusal);
        match error.kind() {
            Kind::NotFound => self.is_gone().with_source(error),
            _ => error,
        }
    }

    fn is_gone(&self) -> Error {
        Error::unavailable(format!("the stream `{}` is gone", self.name))
            .with_hint("restart what uses it, if that was not meant")
    }
}

/// The subjects that a consumer with these settings covers.
pub(super) fn filters(config: &Map<String, Value>) -> Vec<&str> {
    let one = config.get("filter_subject").and_then(Value::as_str);
    let many = config.get("filter_subjects").and_then(Value::as_array);
    let many = many.into_iter().flatten().filter_map(Value::as_str);
    let mut all: Vec<&str> = one.into_iter().chain(many).filter(|it| !it.is_empty()).collect();
    all.sort_unstable();
    all
}

/// Nanoseconds, as the server counts time.
pub(super) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
