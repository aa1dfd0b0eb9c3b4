//! The calls of Azure that a binding makes.

use super::names;
use super::xml::{Row, rows};
use crate::backend::queues::coded::{coded, decoded};
use crate::backend::queues::{Letter, Received, Service, has_xml, seconds};
use base::{Error, Kind, Result};
use connect::azure_queue::{AzureQueue, Call};
use http_types::Method;
use std::time::Duration;
use tokio::time::Instant;

/// The most bytes of a message.
pub(super) const LARGEST: usize = 64 << 10;
/// So long after a queue was removed there can be another of its name, and how often it is tried.
const GONE: Duration = Duration::from_secs(65);
const PAUSE: Duration = Duration::from_secs(2);
/// How often an empty queue is asked at first, and at last.
const SOON: Duration = Duration::from_millis(50);
const SELDOM: Duration = Duration::from_secs(1);
/// The metadata of a queue in which stands what is written of it.
const COVERS: &str = "wharf";
/// The most bytes of that.
const ROOM: usize = 7 << 10;
/// What is behind a message, so that nobody takes spaces for nothing.
const END: char = '.';

/// The queues of a binding.
pub(super) struct Account {
    azure: AzureQueue,
    /// What their names begin with.
    prefix: String,
    timeout: Duration,
}

impl Account {
    /// Finds out who is there. Nothing is made.
    pub(super) async fn open(azure: AzureQueue, prefix: String, timeout: Duration) -> Result<Self> {
        let account = Self { azure, prefix, timeout };
        let looked = account.groups().await;
        account.azure.recognised(looked).await?;
        Ok(account)
    }

    fn name(&self, queue: &str) -> String {
        format!("{}-{queue}", self.prefix)
    }

    /// Every queue of the binding, with its metadata.
    async fn list(&self) -> Result<Vec<Row>> {
        let (prefix, mut found) = (self.name(""), Vec::new());
        let mut marker = String::new();
        loop {
            let usual = [("comp", "list"), ("include", "metadata"), ("prefix", prefix.as_str())];
            let more = [usual[0], usual[1], usual[2], ("marker", marker.as_str())];
            let query = if marker.is_empty() { &usual[..] } else { &more[..] };
            let call = Call { query, ..Call::default() };
            let told = self.azure.call(Method::GET, &call).await?;
            let queues = rows(&told.body, "Queue").ok_or_else(|| self.strange())?;
            found.extend(queues);
            let mut next = rows(&told.body, "EnumerationResults").unwrap_or_default();
            match next.pop().and_then(|mut all| all.remove("NextMarker")) {
                Some(next) if !next.is_empty() => marker = next,
                _ => return Ok(found),
            }
        }
    }

    fn strange(&self) -> Error {
        Error::corrupt(format!("{}: an answer that cannot be read", self.azure.server()))
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let call = Call { path: &[name], ..Call::default() };
        match self.azure.insist(Method::DELETE, &call).await {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    async fn put(&self, queue: &str, letter: &Letter) -> Result<()> {
        let Letter { body, said, delay } = letter;
        let body = format!(
            "<QueueMessage><MessageText>{}:{said}{body}{END}</MessageText></QueueMessage>",
            said.len()
        );
        let delay = delay.to_string();
        let (name, mut query) = (self.name(queue), vec![("messagettl", "-1")]);
        if letter.delay > 0 {
            query.push(("visibilitytimeout", &delay));
        }
        let call = Call { path: &[&name, "messages"], query: &query, body, ..Call::default() };
        self.azure.call(Method::POST, &call).await.map(drop)
    }

    async fn take(&self, queue: &str, receipt: &str) -> Result<()> {
        let (id, receipt) = receipt.split_once(' ').unwrap_or_default();
        let (name, query) = (self.name(queue), [("popreceipt", receipt)]);
        let call = Call { path: &[&name, "messages", id], query: &query, ..Call::default() };
        self.azure.call(Method::DELETE, &call).await.map(drop)
    }
}

/// A message as it came.
fn received(mut row: Row) -> Option<Received> {
    let id = row.remove("MessageId")?;
    let receipt = row.remove("PopReceipt")?;
    let text = row.remove("MessageText").unwrap_or_default();
    let time = row.get("InsertionTime").and_then(|time| httpdate::parse_http_date(time).ok());
    let attempt = row.get("DequeueCount").and_then(|count| count.parse().ok());
    Some(Received {
        receipt: format!("{id} {receipt}"),
        id,
        letter: letter(&text).unwrap_or_default(),
        attempt: attempt.unwrap_or(1),
        time,
    })
}

/// What somebody wrote down. `None`: it was another program.
fn letter(text: &str) -> Option<Letter> {
    let (length, rest) = text.strip_suffix(END)?.split_once(':')?;
    let (said, body) = rest.split_at_checked(length.parse().ok()?)?;
    Some(Letter { said: said.to_owned(), body: body.to_owned(), delay: 0 })
}

impl Service for Account {
    const TOGETHER: usize = 1;
    const HANDED: usize = 32;
    const LONGEST_HIDDEN: Duration = Duration::from_secs(7 * 24 * 3600);
    const LONGEST_DELAY: Duration = Duration::from_secs(7 * 24 * 3600);

    fn server(&self) -> &str {
        self.azure.server()
    }

    fn word(&self, group: &str) -> String {
        names::word(group)
    }

    fn most_bytes(&self) -> usize {
        LARGEST
    }

    fn takes(letter: char) -> bool {
        // What XML would have written otherwise.
        has_xml(letter) && !matches!(letter, '&' | '<' | '>' | '\r')
    }

    fn pause(&self, found_nothing: u32) -> Duration {
        SOON.saturating_mul(1 << found_nothing.min(10)).min(SELDOM)
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    async fn groups(&self) -> Result<Vec<(String, String)>> {
        let prefix = self.name("");
        let group = |mut row: Row| {
            let name = row.remove("Name")?;
            let text = row.remove(COVERS).and_then(|text| decoded(&text))?;
            Some((name.strip_prefix(&prefix)?.to_owned(), text))
        };
        Ok(self.list().await?.into_iter().filter_map(group).collect())
    }

    async fn make(&self, queue: &str) -> Result<()> {
        let name = self.name(queue);
        let call = Call { path: &[&name], ..Call::default() };
        let begun = Instant::now();
        loop {
            match self.azure.insist(Method::PUT, &call).await {
                // One of this name was removed a moment ago.
                Err(error) if error.kind() == Kind::Exhausted && begun.elapsed() < GONE => {
                    tokio::time::sleep(PAUSE).await;
                }
                // It is there, and has its metadata.
                Err(error) if error.kind() == Kind::Conflict => return Ok(()),
                made => {
                    return made
                        .map(drop)
                        .map_err(|error| error.context(format!("making `{name}`")));
                }
            }
        }
    }

    async fn write(&self, queue: &str, text: &str) -> Result<()> {
        let (name, text) = (self.name(queue), coded(text));
        if text.len() > ROOM {
            return Err(Error::too_large(format!(
                "the topics of a group have {} bytes, at most {ROOM} fit",
                text.len()
            )));
        }
        let call = Call {
            path: &[&name],
            query: &[("comp", "metadata")],
            metadata: &[(COVERS, &text)],
            ..Call::default()
        };
        self.azure.insist(Method::PUT, &call).await.map(drop)
    }

    async fn forget(&self, queue: &str) -> Result<()> {
        self.delete(&self.name(queue)).await
    }

    async fn send(&self, queue: &str, letters: &[&Letter]) -> Result<Vec<Result<()>>> {
        let sending = letters.iter().map(|letter| self.put(queue, letter));
        Ok(futures::future::join_all(sending).await)
    }

    async fn receive(&self, queue: &str, most: usize, hidden: Duration) -> Result<Vec<Received>> {
        let (name, most) = (self.name(queue), most.to_string());
        let hidden = hidden.as_secs().to_string();
        let query = [("numofmessages", most.as_str()), ("visibilitytimeout", &hidden)];
        let call = Call { path: &[&name, "messages"], query: &query, ..Call::default() };
        let told = self.azure.call(Method::GET, &call).await?;
        let found = rows(&told.body, "QueueMessage").ok_or_else(|| self.strange())?;
        Ok(found.into_iter().filter_map(received).collect())
    }

    async fn remove(&self, queue: &str, receipts: &[&str]) -> Result<Vec<Result<()>>> {
        let removing = receipts.iter().map(|receipt| self.take(queue, receipt));
        Ok(futures::future::join_all(removing).await)
    }

    async fn hide(&self, queue: &str, receipt: &str, time: Duration) -> Result<String> {
        let (id, receipt) = receipt.split_once(' ').unwrap_or_default();
        let (name, time) = (self.name(queue), seconds(time).to_string());
        let query = [("popreceipt", receipt), ("visibilitytimeout", &time)];
        let call = Call { path: &[&name, "messages", id], query: &query, ..Call::default() };
        let told = self.azure.call(Method::PUT, &call).await?;
        let receipt = told.headers.get("x-ms-popreceipt").and_then(|it| it.to_str().ok());
        let receipt = receipt.ok_or_else(|| self.strange())?;
        Ok(format!("{id} {receipt}"))
    }

    async fn destroy(&self) -> Result<()> {
        let names = self.list().await?.into_iter().filter_map(|mut row| row.remove("Name"));
        for name in names {
            self.delete(&name).await?;
        }
        Ok(())
    }
}
