//! Requests, and the replies to them: rows that are taken by whoever waits for them.

use super::rows::{headers, message, milliseconds, number};
use super::{Host, Queue};
use crate::options::too_many;
use crate::{Broker as _, Filter, INBOX, Message, PublishOptions, RequestOptions};
use base::{Error, Result};
use connect::postgres::{Commit, Parameters, column};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The shortest and the longest pause between two looks for replies.
const SOON: Duration = Duration::from_millis(2);
const LATE: Duration = Duration::from_millis(100);
/// So long after the end of a request its inbox may be left behind.
const LEFT: Duration = Duration::from_secs(60);

/// Hands a reply to whoever waits for it; nobody is told where nobody does.
pub(super) async fn reply(host: &Host, topic: &str, message: Message) -> Result<()> {
    let (size, headers) = (number(message.size()), headers(&message)?);
    let Message { data, content_type, key, id, reply_to, .. } = message;
    let data = &data[..];
    let parameters: Parameters<'_> =
        &[&topic, &data, &content_type, &headers, &key, &id, &reply_to, &size];
    let steps: &[(&str, Parameters<'_>)] = &[(&host.tables.sql.reply, parameters)];
    host.tables.server.at_once(Commit::Lazy, steps).await.map(drop)
}

/// Publishes a message and waits for replies to it.
pub(super) async fn request(
    queue: &Queue,
    topic: &str,
    message: Message,
    options: &RequestOptions,
) -> Result<Vec<Message>> {
    let begun = Instant::now();
    let tables = &queue.host.tables;
    if !is_heard(&queue.host, topic).await? {
        return Err(Error::timeout("nobody listens to the topic"));
    }
    let inbox = format!("{INBOX}.{:032x}", fastrand::u128(..));
    let ends = milliseconds(options.timeout.saturating_add(LEFT));
    let (places, room) = (number(options.replies), number(options.most));
    let listen: Parameters<'_> = &[&inbox, &ends, &places, &room];
    tables.server.at_once(Commit::Lazy, &[(&tables.sql.listen, listen)]).await?;
    let message = Message { reply_to: Some(inbox.clone()), ..message };
    let asked = async {
        queue.publish(topic, message, &PublishOptions::default()).await?;
        collect(&queue.host, &inbox, begun, options).await
    };
    let replies = asked.await;
    let leave: Parameters<'_> = &[&inbox];
    if let Err(error) = tables.server.at_once(Commit::Lazy, &[(&tables.sql.leave, leave)]).await {
        tracing::debug!(%error, "the inbox of a request is removed later");
    }
    match replies {
        Ok(replies) if replies.is_empty() => Err(Error::timeout("nobody replied in time")),
        replies => replies,
    }
}

/// Takes replies until there are enough, or the time is over.
async fn collect(
    host: &Host,
    inbox: &str,
    begun: Instant,
    options: &RequestOptions,
) -> Result<Vec<Message>> {
    let end = begun.checked_add(options.timeout);
    let mut found: Vec<Message> = Vec::new();
    let mut pause = SOON;
    loop {
        // Listening before it looks, so that nothing comes in between.
        let mut woken = std::pin::pin!(host.replied.notified());
        woken.as_mut().enable();
        let before = found.len();
        match look(host, inbox).await {
            Ok((replies, is_over)) => {
                if is_over {
                    return Err(too_many(options));
                }
                found.extend(replies);
            }
            // What came is worth something, and the server may be back in time.
            Err(error) if !error.kind().is_temporary() => return Err(error),
            Err(_away) => {}
        }
        found.truncate(options.replies);
        let is_over = end.is_some_and(|end| Instant::now() >= end);
        if found.len() >= options.replies || is_over {
            return Ok(found);
        }
        pause = if found.len() > before { SOON } else { (pause * 2).min(LATE) };
        let next = Instant::now() + pause;
        let next = end.map_or(next, |end| next.min(end));
        drop(timeout_at(next, woken).await);
    }
}

/// The replies that are there, and whether there were more bytes of them than are taken.
async fn look(host: &Host, inbox: &str) -> Result<(Vec<Message>, bool)> {
    let tables = &host.tables;
    let parameters: Parameters<'_> = &[&inbox];
    let steps: &[(&str, Parameters<'_>)] = &[(&tables.sql.replies, parameters)];
    let rows = tables.server.at_once(Commit::Lazy, steps).await?.pop().unwrap_or_default();
    let (mut replies, mut is_over) = (Vec::new(), false);
    for row in &rows {
        is_over |= column::<Option<i64>>(row, 7)?.is_some_and(|room| room < 0);
        // Where nothing came there is one row with nothing in it.
        if column::<Option<i64>>(row, 8)?.is_some() {
            replies.push(message(row)?.1);
        }
    }
    Ok((replies, is_over))
}

/// Whether there is a group that gets what is published to the topic.
async fn is_heard(host: &Host, topic: &str) -> Result<bool> {
    for row in &host.tables.server.read(&host.tables.sql.topics, &[]).await? {
        let topics: Vec<&str> = column(row, 0)?;
        let covers = |text: &&str| Filter::parse(text).is_ok_and(|filter| filter.covers(topic));
        if topics.iter().any(covers) {
            return Ok(true);
        }
    }
    Ok(false)
}
