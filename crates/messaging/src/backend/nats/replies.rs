//! Requests, and the replies to them, which go past the stream.

use super::stream::{LONGEST, Stream};
use super::{Streams, letter};
use crate::options::too_many;
use crate::{Filter, INBOX, Message, RequestOptions};
use async_nats::{HeaderMap, Subscriber};
use base::{Error, Kind, Result};
use bytes::Bytes;
use connect::nats::{Connection, is_unheard};
use futures::StreamExt as _;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Who has no reply after so long finds out whether anybody listens at all.
const SOON: Duration = Duration::from_millis(100);

/// Hands a reply to whoever waits for it. Returns once the server has it.
pub(super) async fn reply(stream: &Stream, topic: &str, message: Message) -> Result<()> {
    let (subject, nobody) = (stream.inbox(topic), stream.inbox(INBOX));
    let (headers, payload) = sealed(stream, message);
    stream
        .server
        .call(async |connection: Connection| {
            connection.send(subject, None, headers, payload).await?;
            // The server answers in the order in which it is asked, so it has the reply now.
            match connection.exchange(nobody, Bytes::new()).await {
                Err(error) if !is_unheard(&error) => Err(error),
                _ => Ok(()),
            }
        })
        .await
}

/// A message as it is sent, with where replies go as other programs know it.
pub(super) fn sealed(stream: &Stream, mut message: Message) -> (HeaderMap, Bytes) {
    let reply_to = message.reply_to.take();
    let (mut headers, payload) = letter::pack(message);
    if let Some(topic) = reply_to {
        let subject = match crate::is_inbox(&topic) {
            true => stream.inbox(&topic),
            false => stream.subject(&topic),
        };
        headers.insert(letter::REPLY_TO, subject);
    }
    (headers, payload)
}

/// Publishes a message and waits for replies to it.
pub(super) async fn request(
    streams: &Streams,
    topic: &str,
    message: Message,
    options: &RequestOptions,
) -> Result<Vec<Message>> {
    let end = Instant::now() + options.timeout.min(LONGEST);
    let stream = &streams.stream;
    let listen = async |connection: Connection| {
        let reply_to = format!("{INBOX}.{}", connection.unique());
        let mut replies = connection.listen(stream.inbox(&reply_to)).await?;
        // The server ends it with the last that is waited for.
        drop(replies.unsubscribe_after(options.replies as u64).await);
        Ok((connection, reply_to, replies))
    };
    let (connection, reply_to, mut replies) = stream.server.call(listen).await?;
    let message = Message { reply_to: Some(reply_to), ..message };
    streams.publish_now(topic, message).await?;
    let mut found = Vec::new();
    let soon = (Instant::now() + SOON).min(end);
    tokio::select! {
        outcome = collect(&mut replies, &connection, options, &mut found) => outcome?,
        () = sleep_until(soon) => {
            if found.is_empty() && !is_heard(stream, topic).await {
                return Err(Error::timeout("nobody listens to the topic"));
            }
            tokio::select! {
                outcome = collect(&mut replies, &connection, options, &mut found) => {
                    outcome?;
                }
                () = sleep_until(end) => {}
            }
        }
    }
    match found.is_empty() {
        true => Err(Error::timeout("nobody replied in time")),
        false => Ok(found),
    }
}

/// Takes replies until there are enough.
async fn collect(
    replies: &mut Subscriber,
    connection: &Connection,
    options: &RequestOptions,
    found: &mut Vec<Message>,
) -> Result<()> {
    let mut size: usize = found.iter().map(Message::size).sum();
    while found.len() < options.replies {
        let next = tokio::select! {
            biased;
            next = replies.next() => next,
            () = connection.lost() => None,
        };
        match next {
            Some(reply) => {
                let headers = reply.headers.unwrap_or_default();
                let reply = letter::unpack(&headers, reply.payload);
                size += reply.size();
                if size > options.most {
                    return Err(too_many(options));
                }
                found.push(reply);
            }
            // What came is worth something.
            None if !found.is_empty() => return Ok(()),
            None => {
                let lost = "the connection was lost on which replies come";
                return Err(Error::new(Kind::Unavailable, lost));
            }
        }
    }
    Ok(())
}

/// Whether there is anybody who gets what is published to the topic, as far as is known.
async fn is_heard(stream: &Stream, topic: &str) -> bool {
    let subject = stream.subject(topic);
    let Ok(Some(consumers)) = stream.consumers().await else { return true };
    let covers = |filter: &str| Filter::parse(filter).is_ok_and(|filter| filter.covers(&subject));
    consumers.iter().any(|consumer| {
        let filters = consumer.filters();
        filters.is_empty() || filters.into_iter().any(covers)
    })
}
