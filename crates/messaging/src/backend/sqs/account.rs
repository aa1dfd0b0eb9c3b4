//! The calls of SQS that a binding makes.

use super::names;
use super::tags::{self, Tags};
use crate::backend::queues::{Letter, Received, Service, has_xml, seconds};
use crate::backend::word::short_word;
use base::{Error, Kind, Result};
use connect::sqs::{LONGEST_WAIT, Sqs};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// For how long a queue keeps what nobody acknowledges: the most that there is.
const KEPT: &str = "1209600";
/// So long after a queue was removed there can be another of its name, and how often it is tried.
const GONE: Duration = Duration::from_secs(65);
const PAUSE: Duration = Duration::from_secs(2);
/// The attribute of a message with all that is said of it.
const SAID: &str = "Wharf";
/// How many bytes it has beside that.
const SAID_BESIDE: usize = SAID.len() + "String".len();
/// The size of messages where a server says none.
const USUAL_SIZE: usize = 256 << 10;
/// So many queues are listed at once.
const PAGE: usize = 1000;

/// The queues of a binding.
pub(super) struct Account {
    sqs: Sqs,
    /// What the URLs of queues begin with.
    base: String,
    /// What their names begin with; the name of the one whose tags are the list of groups.
    name: String,
    largest: usize,
    timeout: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Queue {
    queue_url: String,
}

/// What is answered of what was asked for.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Listed {
    queue_urls: Vec<String>,
    next_token: Option<String>,
    tags: Tags,
    attributes: HashMap<String, String>,
    messages: Vec<Message>,
    failed: Vec<Failed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(default)]
    attributes: HashMap<String, String>,
    #[serde(default)]
    message_attributes: HashMap<String, Said>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Said {
    string_value: Option<String>,
}

/// One of several that were sent or removed together.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    #[serde(default)]
    sender_fault: bool,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Account {
    /// Finds the queue that has the list of groups or makes it. `name` is what it is called.
    pub(super) async fn open(sqs: Sqs, name: String, timeout: Duration) -> Result<Self> {
        let look = json!({ "QueueNamePrefix": name });
        // Before anything is made there.
        let looked = sqs.insist::<Listed>("ListQueues", &look).await;
        sqs.recognised(looked).await?;
        let url = create(&sqs, &name).await?;
        let Some(base) = url.strip_suffix(&name).map(str::to_owned) else {
            return Err(Error::invalid(format!(
                "{}: the queue `{name}` has the URL `{url}`",
                sqs.server()
            )));
        };
        let ask = json!({ "QueueUrl": url, "AttributeNames": ["MaximumMessageSize"] });
        let attributes = sqs.insist::<Listed>("GetQueueAttributes", &ask).await?.attributes;
        let largest = attributes.get("MaximumMessageSize").and_then(|size| size.parse().ok());
        Ok(Self { sqs, base, name, largest: largest.unwrap_or(USUAL_SIZE), timeout })
    }

    /// The most bytes of a message with its attributes.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    fn list(&self) -> String {
        format!("{}{}", self.base, self.name)
    }

    fn url(&self, queue: &str) -> String {
        format!("{}{}_{queue}", self.base, self.name)
    }

    fn whose_tags(&self) -> Value {
        json!({ "QueueUrl": self.list() })
    }

    async fn tags(&self) -> Result<Tags> {
        let found = self.sqs.insist::<Listed>("ListQueueTags", &self.whose_tags()).await;
        found.map(|found| found.tags).map_err(|error| self.removed(error))
    }

    /// The list of groups is not there: somebody removed the binding.
    fn removed(&self, error: Error) -> Error {
        match error.kind() {
            Kind::NotFound => Error::unavailable(format!(
                "{}: the queue `{}`, which has the list of groups, is not there",
                self.sqs.server(),
                self.name
            ))
            .with_source(error)
            .with_hint("it is made when the binding is opened: reload the deployment file"),
            _ => error,
        }
    }

    async fn delete(&self, url: &str) -> Result<()> {
        let deleted =
            self.sqs.insist::<IgnoredAny>("DeleteQueue", &json!({ "QueueUrl": url })).await;
        match deleted {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    /// Makes a call for several at once, and says of each what became of it.
    async fn together(
        &self,
        action: &str,
        queue: &str,
        entries: Vec<Value>,
    ) -> Result<Vec<Result<()>>> {
        let count = entries.len();
        let question = json!({ "QueueUrl": self.url(queue), "Entries": entries });
        let failed = self.sqs.call::<Listed>(action, &question).await?.failed;
        let outcome = |number: usize| {
            let number = number.to_string();
            let failed = failed.iter().find(|failed| failed.id == number);
            failed.map_or(Ok(()), |failed| Err(self.failed(failed)))
        };
        Ok((0..count).map(outcome).collect())
    }

    fn failed(&self, failed: &Failed) -> Error {
        let Failed { code, message, .. } = failed;
        let kind = match failed.sender_fault {
            true if code.contains("ReceiptHandle") => Kind::Conflict,
            true if code.contains("Throttl") => Kind::Exhausted,
            true => Kind::Invalid,
            false => Kind::Unavailable,
        };
        Error::new(kind, format!("{}: {code}: {message}", self.sqs.server()))
    }
}

/// Makes a queue if it is not there, and gives its URL.
async fn create(sqs: &Sqs, name: &str) -> Result<String> {
    let question = json!({ "QueueName": name, "Attributes": { "MessageRetentionPeriod": KEPT } });
    let begun = Instant::now();
    loop {
        match sqs.insist::<Queue>("CreateQueue", &question).await {
            Ok(made) => return Ok(made.queue_url),
            // One of this name was removed a moment ago.
            Err(error) if error.kind() == Kind::Exhausted && begun.elapsed() < GONE => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) if error.kind() == Kind::Invalid => {
                return Err(error.context(format!("making `{name}`")).with_hint(format!(
                    "a queue that is there has to have a MessageRetentionPeriod of {KEPT}"
                )));
            }
            Err(error) => return Err(error.context(format!("making `{name}`"))),
        }
    }
}

fn entry(number: usize, letter: &Letter) -> Value {
    json!({
        "Id": number.to_string(),
        "MessageBody": letter.body,
        "DelaySeconds": letter.delay,
        "MessageAttributes": { SAID: { "DataType": "String", "StringValue": letter.said } },
    })
}

impl Message {
    fn received(mut self) -> Received {
        let number = |name: &str| self.attributes.get(name).and_then(|text| text.parse().ok());
        let sent = number("SentTimestamp").map(Duration::from_millis);
        let attempt = number("ApproximateReceiveCount").unwrap_or(1);
        let said = self.message_attributes.remove(SAID).and_then(|said| said.string_value);
        Received {
            id: self.message_id,
            receipt: self.receipt_handle,
            letter: Letter { body: self.body, said: said.unwrap_or_default(), delay: 0 },
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
            time: sent.and_then(|sent| SystemTime::UNIX_EPOCH.checked_add(sent)),
        }
    }
}

impl Service for Account {
    const TOGETHER: usize = 10;
    const HANDED: usize = 10;
    const LONGEST_HIDDEN: Duration = Duration::from_secs(12 * 3600);
    const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

    fn server(&self) -> &str {
        self.sqs.server()
    }

    fn word(&self, group: &str) -> String {
        short_word(group, names::room(&self.name))
    }

    fn most_bytes(&self) -> usize {
        self.largest.saturating_sub(Self::TOGETHER * SAID_BESIDE)
    }

    fn takes(letter: char) -> bool {
        has_xml(letter)
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    async fn groups(&self) -> Result<Vec<(String, String)>> {
        // Once: all who publish wait for it.
        let found = self.sqs.call::<Listed>("ListQueueTags", &self.whose_tags()).await;
        found.map(|found| tags::read(&found.tags)).map_err(|error| self.removed(error))
    }

    async fn make(&self, queue: &str) -> Result<()> {
        create(&self.sqs, &format!("{}_{queue}", self.name)).await.map(drop)
    }

    async fn write(&self, queue: &str, text: &str) -> Result<()> {
        let (found, wanted) = (self.tags().await?, tags::of(queue, text));
        let stale: Vec<&String> =
            tags::keys(&found, queue).filter(|key| !wanted.contains_key(*key)).collect();
        let others = found.len() - tags::keys(&found, queue).count();
        if others + wanted.len() > tags::MOST {
            return Err(Error::exhausted(format!(
                "{}: the list of groups has {} tags, at most {} fit",
                self.sqs.server(),
                others + wanted.len(),
                tags::MOST
            ))
            .with_hint("forget groups that nobody needs, or subscribe to fewer topics"));
        }
        if !stale.is_empty() {
            let untag = json!({ "QueueUrl": self.list(), "TagKeys": stale });
            self.sqs.insist::<IgnoredAny>("UntagQueue", &untag).await?;
        }
        let tag = json!({ "QueueUrl": self.list(), "Tags": wanted });
        self.sqs.insist::<IgnoredAny>("TagQueue", &tag).await.map(drop)
    }

    async fn forget(&self, queue: &str) -> Result<()> {
        let found = self.tags().await?;
        let keys: Vec<&String> = tags::keys(&found, queue).collect();
        if !keys.is_empty() {
            let untag = json!({ "QueueUrl": self.list(), "TagKeys": keys });
            self.sqs.insist::<IgnoredAny>("UntagQueue", &untag).await?;
        }
        self.delete(&self.url(queue)).await
    }

    async fn send(&self, queue: &str, letters: &[&Letter]) -> Result<Vec<Result<()>>> {
        let entries = letters.iter().enumerate().map(|(number, letter)| entry(number, letter));
        self.together("SendMessageBatch", queue, entries.collect()).await
    }

    async fn receive(&self, queue: &str, most: usize, hidden: Duration) -> Result<Vec<Received>> {
        let question = json!({
            "QueueUrl": self.url(queue),
            "MaxNumberOfMessages": most,
            "WaitTimeSeconds": LONGEST_WAIT.as_secs(),
            "VisibilityTimeout": hidden.as_secs(),
            "AttributeNames": ["ApproximateReceiveCount", "SentTimestamp"],
            "MessageAttributeNames": [SAID],
        });
        let found = self.sqs.wait::<Listed>("ReceiveMessage", &question).await?;
        Ok(found.messages.into_iter().map(Message::received).collect())
    }

    async fn remove(&self, queue: &str, receipts: &[&str]) -> Result<Vec<Result<()>>> {
        let entry = |(number, receipt): (usize, &&str)| {
            let id = number.to_string();
            json!({ "Id": id, "ReceiptHandle": receipt })
        };
        let entries = receipts.iter().enumerate().map(entry).collect();
        self.together("DeleteMessageBatch", queue, entries).await
    }

    async fn hide(&self, queue: &str, receipt: &str, time: Duration) -> Result<String> {
        let question = json!({
            "QueueUrl": self.url(queue),
            "ReceiptHandle": receipt,
            "VisibilityTimeout": seconds(time),
        });
        self.sqs.insist::<IgnoredAny>("ChangeMessageVisibility", &question).await?;
        Ok(receipt.to_owned())
    }

    async fn destroy(&self) -> Result<()> {
        let prefix = format!("{}_", self.name);
        let mut question = json!({ "QueueNamePrefix": prefix, "MaxResults": PAGE });
        loop {
            let found = self.sqs.insist::<Listed>("ListQueues", &question).await?;
            for url in &found.queue_urls {
                self.delete(url).await?;
            }
            let Some(next) = found.next_token else { return self.delete(&self.list()).await };
            if let Some(question) = question.as_object_mut() {
                question.insert("NextToken".to_owned(), next.into());
            }
        }
    }
}
