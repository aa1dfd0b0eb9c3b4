//! What was handed out, and what becomes of it.
//!
//! The server takes a verdict from whoever sends one, however late. So this host notes which
//! deliveries are the last ones of their messages, and until when, and sends no verdict of others.

use super::stream::{LONGEST, Stream, nanoseconds};
use crate::{Settle, Verdict, late};
use async_trait::async_trait;
use base::{Result, lock};
use bytes::Bytes;
use connect::nats::{Connection, is_unheard};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// The last delivery of each message that is with this host, by consumer.
#[derive(Default)]
pub(super) struct Handed(Mutex<HashMap<Arc<str>, Group>>);

#[derive(Default)]
struct Group {
    /// Set when the group was forgotten.
    forgotten: Arc<AtomicBool>,
    /// Of each message how often it was handed out.
    attempts: HashMap<u64, u64>,
}

impl Handed {
    /// Takes note of a delivery. What is returned is set when the group is forgotten.
    fn note(&self, consumer: &Arc<str>, sequence: u64, attempt: u64) -> Arc<AtomicBool> {
        let mut handed = lock(&self.0);
        let group = handed.entry(Arc::clone(consumer)).or_default();
        let last = group.attempts.entry(sequence).or_default();
        *last = attempt.max(*last);
        Arc::clone(&group.forgotten)
    }

    fn is_last(&self, consumer: &Arc<str>, sequence: u64, attempt: u64) -> bool {
        let handed = lock(&self.0);
        handed.get(consumer).and_then(|group| group.attempts.get(&sequence)) == Some(&attempt)
    }

    fn settled(&self, consumer: &Arc<str>, sequence: u64, attempt: u64) {
        let mut handed = lock(&self.0);
        let Some(group) = handed.get_mut(consumer) else { return };
        if group.attempts.get(&sequence) == Some(&attempt) {
            group.attempts.remove(&sequence);
        }
        if group.attempts.is_empty() {
            handed.remove(consumer);
        }
    }

    /// The first message of a consumer that nobody has settled.
    pub(super) fn first(&self, consumer: &Arc<str>) -> Option<u64> {
        lock(&self.0).get(consumer)?.attempts.keys().min().copied()
    }

    /// What a consumer handed out is nobody's any more.
    pub(super) fn forget(&self, consumer: &str) {
        if let Some(group) = lock(&self.0).remove(consumer) {
            group.forgotten.store(true, Relaxed);
        }
    }
}

/// A message that is with this host, until somebody settles it.
pub(super) struct Out {
    pub(super) stream: Arc<Stream>,
    /// Where it came from.
    pub(super) connection: Connection,
    /// Where verdicts go.
    pub(super) reply: String,
    pub(super) consumer: Arc<str>,
    pub(super) sequence: u64,
    /// How often it was handed out.
    pub(super) attempt: u64,
    pub(super) deadline: Duration,
    pub(super) until: Mutex<Instant>,
    /// None: it was not asked for.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    forgotten: Arc<AtomicBool>,
    is_settled: bool,
}

impl Out {
    /// One that has just come.
    pub(super) fn new(
        stream: &Arc<Stream>,
        connection: &Connection,
        reply: String,
        (consumer, sequence, attempt): (&Arc<str>, u64, u64),
        deadline: Duration,
    ) -> Self {
        let forgotten = stream.handed.note(consumer, sequence, attempt);
        Self {
            stream: Arc::clone(stream),
            connection: connection.clone(),
            reply,
            consumer: Arc::clone(consumer),
            sequence,
            attempt,
            deadline,
            until: Mutex::new(Instant::now() + deadline),
            permit: None,
            forgotten,
            is_settled: false,
        }
    }

    /// Whether it is with another receiver, or will be now.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= *lock(&self.until)
            || !self.stream.handed.is_last(&self.consumer, self.sequence, self.attempt)
    }

    /// It is for nobody here.
    pub(super) fn pass_by(mut self) {
        self.is_settled = true;
        self.connection.send_now(self.reply.clone(), b"+ACK");
    }

    /// Its time begins anew, as nobody had it until now.
    pub(super) fn refresh(&self) {
        self.connection.send_now(self.reply.clone(), b"+WPI");
        *lock(&self.until) = Instant::now() + self.deadline;
    }

    /// Tells the server, and waits until it has heard.
    async fn tell(&self, verdict: &Bytes, is_again: bool) -> Result<()> {
        let say = async |connection: Connection| {
            connection.exchange(self.reply.clone(), verdict.clone()).await.map(drop)
        };
        let server = &self.stream.server;
        let told = if is_again { server.read(say).await } else { server.call(say).await };
        match told {
            // What a group that is forgotten was handed out is nobody's any more.
            Err(error) if is_unheard(&error) => match self.stream.consumer(&self.consumer).await {
                Ok(None) => Ok(()),
                _ => Err(error),
            },
            told => told,
        }
    }
}

#[async_trait]
impl Settle for Out {
    async fn settle(mut self: Box<Self>, verdict: Verdict) -> Result<()> {
        if self.forgotten.load(Relaxed) {
            self.is_settled = true;
            return Ok(());
        }
        if self.is_late() {
            return Err(late());
        }
        let (words, is_again) = match verdict {
            Verdict::Ack => (Bytes::from_static(b"+ACK"), true),
            Verdict::Nack(Duration::ZERO) => (Bytes::from_static(b"-NAK"), false),
            Verdict::Nack(delay) => {
                let delay = nanoseconds(delay.min(LONGEST));
                (format!("-NAK {{\"delay\": {delay}}}").into(), false)
            }
        };
        // Whoever gives up now has said it, or it comes again at its deadline.
        self.is_settled = true;
        self.tell(&words, is_again).await
    }

    async fn extend(&self) -> Result<()> {
        if self.forgotten.load(Relaxed) {
            return Ok(());
        }
        if self.is_late() {
            return Err(late());
        }
        let now = Instant::now();
        self.tell(&Bytes::from_static(b"+WPI"), true).await?;
        *lock(&self.until) = now + self.deadline;
        Ok(())
    }
}

impl Drop for Out {
    /// Who says nothing gives it back.
    fn drop(&mut self) {
        if !self.is_settled && !self.is_late() {
            self.connection.send_now(std::mem::take(&mut self.reply), b"-NAK");
        }
        self.stream.handed.settled(&self.consumer, self.sequence, self.attempt);
    }
}
