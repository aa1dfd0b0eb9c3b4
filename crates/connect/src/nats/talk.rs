//! What is said over a connection besides JetStream's API: to subjects, to inboxes, and from them.

use super::{Answer, Connection, Stored, Unheard};
use async_nats::client::RequestErrorKind;
use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use base::{Error, Kind, Result};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};

/// A message for a stream: its subject, headers and payload.
pub type Parcel = (String, HeaderMap, Bytes);

impl Connection {
    /// A word that nobody else has used, for an inbox.
    pub fn unique(&self) -> String {
        let inbox = self.0.client.new_inbox();
        inbox.rsplit('.').next().unwrap_or_default().to_owned()
    }

    /// What is published to a subject from now on. Ends with the connection.
    ///
    /// # Errors
    /// `Unavailable` where the connection was lost.
    pub async fn listen(&self, subject: String) -> Result<Subscriber> {
        self.0.client.subscribe(subject).await.map_err(|_refused| self.is_gone())
    }

    /// Publishes to whoever listens now; `reply` is where they may answer. Nobody says whether it
    /// arrived.
    ///
    /// # Errors
    /// `TooLarge`, or `Unavailable` where the connection was lost.
    pub async fn send(
        &self,
        subject: String,
        reply: Option<String>,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<()> {
        let client = &self.0.client;
        let sent = match reply {
            Some(reply) => {
                client.publish_with_reply_and_headers(subject, reply, headers, payload).await
            }
            None => client.publish_with_headers(subject, headers, payload).await,
        };
        sent.map_err(|error| match error.kind() {
            async_nats::client::PublishErrorKind::MaxPayloadExceeded => {
                self.error(Kind::TooLarge, error)
            }
            _ => self.is_gone(),
        })
    }

    /// Publishes at once, for those that cannot wait: what is dropped says a last word so. Where
    /// too much waits to be sent, or the connection is lost, it is not sent.
    pub fn send_now(&self, subject: String, payload: &'static [u8]) {
        if !self.is_lost() {
            let sent = self.0.client.publish(subject, Bytes::from_static(payload)).now_or_never();
            drop(sent);
        }
    }

    /// Asks whoever listens to a subject.
    ///
    /// # Errors
    /// `Unavailable` with [`is_unheard`](super::is_unheard) where nobody does.
    pub async fn exchange(&self, subject: String, payload: Bytes) -> Result<Message> {
        self.0.client.request(subject, payload).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => {
                Error::unavailable(format!("nats {}: nobody listens", self.0.name))
                    .with_source(Unheard)
            }
            RequestErrorKind::TimedOut => self.error(Kind::Timeout, error),
            _ => self.is_gone(),
        })
    }

    /// Publishes messages to streams in their order, and waits until all became something.
    ///
    /// # Errors
    /// `Unavailable` where the connection was lost: then nobody knows what became of any. Of each
    /// those of [`publish`](Self::publish).
    pub async fn publish_each(&self, parcels: Vec<Parcel>) -> Result<Vec<Result<Answer<Stored>>>> {
        let inbox = format!("_INBOX.{}", self.unique());
        let mut answers = self.listen(format!("{inbox}.*")).await?;
        let mut outcomes: Vec<Option<Result<Answer<Stored>>>> = Vec::with_capacity(parcels.len());
        for (number, (subject, headers, payload)) in parcels.into_iter().enumerate() {
            let reply = format!("{inbox}.{number}");
            outcomes.push(match self.send(subject, Some(reply), headers, payload).await {
                Err(error) if error.kind() == Kind::TooLarge => Some(Err(error)),
                sent => sent.map(|()| None)?,
            });
        }
        while outcomes.iter().any(Option::is_none) {
            let answer = answers.next().await.ok_or_else(|| self.is_gone())?;
            let number = answer.subject.rsplit('.').next().and_then(|word| word.parse().ok());
            let number: usize = number.unwrap_or(usize::MAX);
            if let Some(outcome) = outcomes.get_mut(number) {
                *outcome = Some(match answer.status {
                    Some(StatusCode::NO_RESPONDERS) => Err(self.nobody().with_source(Unheard)),
                    _ => self.stored(&answer.payload),
                });
            }
        }
        Ok(outcomes.into_iter().flatten().collect())
    }
}
