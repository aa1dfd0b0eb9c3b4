//! The consumers of groups: how one is found or made, what it covers, where it begins.
//!
//! A server older than 2.10 knows one filter for each consumer, and a newer one none that meet. So
//! that of a group may cover more than its topics; who takes messages passes by those that are for
//! no topic of the group. What these are is written in the consumer's description, where every host
//! finds it.

use super::names;
use super::stream::{Consumer, Stream, filters, nanoseconds};
use crate::filters;
use crate::{Filter, Subscription};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::AckPolicy;
use base::{Error, Kind, Result};
use connect::nats::Connection;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// So many messages a group may have that it is not done with. It goes no further then.
const PENDING: usize = 1 << 17;
/// So many subscribers of a group may wait at once.
const WAITING: usize = 4096;
/// After so long the server forgets who is alone and does not come back.
const INACTIVE: Duration = Duration::from_secs(300);
/// The year 9000, from 1970 on.
const FAR: Duration = Duration::from_secs(221_845_392_000);
/// What comes before the topics in the description of a consumer.
const TOPICS: &str = "topics: ";
/// The most bytes in a description, with room for the words before it.
const DESCRIPTION: usize = 4096 - 64;

/// A group that is there.
pub(super) struct Joined {
    pub(super) consumer: Arc<str>,
    /// What the group covers.
    pub(super) topics: Vec<Filter>,
    /// The stream's last message when it was known to cover that.
    pub(super) known: u64,
    pub(super) start: Start,
}

/// Where a consumer begins, in its settings.
pub(super) type Start = Map<String, Value>;

#[derive(Serialize)]
struct Create<'a> {
    stream_name: &'a str,
    config: &'a Map<String, Value>,
}

/// Finds the consumer of a subscription or makes it, and has it cover the topics.
pub(super) async fn join(stream: &Stream, subscription: &Subscription) -> Result<Joined> {
    let info = stream.info().await?;
    // What is published from now on has a higher number.
    let last = info.state.last_sequence;
    let consumer = match &subscription.group {
        Some(group) => names::consumer(group),
        None => format!("--{}", fastrand::u64(..)),
    };
    let asked = settings(stream, subscription)?;
    let mut joined = Joined {
        consumer: consumer.as_str().into(),
        topics: subscription.topics.clone(),
        known: if subscription.group.is_some() { last } else { u64::MAX },
        start: Start::new(),
    };
    // A second host may make it at the same moment.
    for _ in 0..3 {
        let found = match subscription.group {
            Some(_) => stream.consumer(&consumer).await?,
            None => None,
        };
        let config = match found {
            Some(found) => match changed(stream, &found, &asked)? {
                None => return Ok(joined),
                Some(config) => config,
            },
            None => {
                joined.start = start(stream, &subscription.start, last)?;
                let fixed = fixed(&consumer).into_iter().chain(joined.start.clone());
                asked.clone().into_iter().chain(fixed).collect()
            }
        };
        if create(stream, &consumer, &config).await? {
            return Ok(joined);
        }
    }
    Err(Error::exhausted(format!("others change the consumer `{consumer}` all the time")))
}

/// Makes the consumer of who is alone again, which the server forgot.
pub(super) async fn revive(
    stream: &Stream,
    consumer: &str,
    subscription: &Subscription,
    start: Start,
) -> Result<()> {
    let asked = settings(stream, subscription)?;
    let config = asked.into_iter().chain(fixed(consumer)).chain(start).collect();
    create(stream, consumer, &config).await.map(drop)
}

/// The topics of a group, as its consumer says.
pub(super) fn topics(consumer: &Consumer) -> Option<Vec<Filter>> {
    let (_, topics) = consumer.text("description").split_once(TOPICS)?;
    topics.split(' ').map(|topic| Filter::parse(topic).ok()).collect()
}

/// What a subscription asks of its consumer, and can change later.
fn settings(stream: &Stream, subscription: &Subscription) -> Result<Map<String, Value>> {
    let topics: Vec<&str> = subscription.topics.iter().map(Filter::text).collect();
    let topics = topics.join(" ");
    if topics.len() > DESCRIPTION {
        return Err(Error::too_large(format!(
            "the topics of a group have {} bytes, at most {DESCRIPTION} fit",
            topics.len()
        )));
    }
    let subject = |filter: &str| Value::from(stream.subject(filter));
    let (field, filter) = match filters::apart(&subscription.topics) {
        Some(filters) if filters.len() > 1 && !stream.is_old => {
            let subjects = filters.into_iter().map(|filter| subject(filter.text()));
            ("filter_subjects", subjects.collect())
        }
        _ => {
            let filter = filters::covering(&subscription.topics);
            let filter = if stream.is_old { names::widened(filter) } else { filter };
            ("filter_subject", subject(&filter))
        }
    };
    let inactive = match subscription.group {
        Some(_) => stream.forget_groups,
        None => INACTIVE,
    };
    Ok(map(json!({
        "description": format!("{TOPICS}{topics}"),
        field: filter,
        "ack_wait": nanoseconds(subscription.deadline),
        "max_ack_pending": PENDING,
        "inactive_threshold": nanoseconds(inactive),
    })))
}

/// What a consumer has for ever.
fn fixed(consumer: &str) -> Map<String, Value> {
    map(json!({
        "durable_name": consumer,
        "ack_policy": AckPolicy::Explicit,
        "replay_policy": "instant",
        "max_deliver": -1,
        "max_waiting": WAITING,
    }))
}

/// Where it begins. A number and not `new`, which a server that crashes would take anew.
fn start(stream: &Stream, start: &crate::Start, last: u64) -> Result<Start> {
    use crate::Start::{After, Beginning, New, Since};
    Ok(match start {
        New => from_sequence(last + 1),
        Beginning => map(json!({ "deliver_policy": "all" })),
        After(position) => {
            let wrong = || Error::invalid("this is no position of this broker");
            let sequence = stream.sequence(position).filter(|sequence| *sequence <= last);
            from_sequence(sequence.ok_or_else(wrong)? + 1)
        }
        Since(time) => {
            // What can be written as a date of four digits.
            let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let time = SystemTime::UNIX_EPOCH + since.min(FAR);
            let time = humantime::format_rfc3339_nanos(time).to_string();
            map(json!({ "deliver_policy": "by_start_time", "opt_start_time": time }))
        }
    })
}

/// It begins with this message.
pub(super) fn from_sequence(sequence: u64) -> Start {
    map(json!({ "deliver_policy": "by_start_sequence", "opt_start_seq": sequence }))
}

/// The settings of a consumer that is there with what is asked for; `None` if it has that already.
fn changed(
    stream: &Stream,
    found: &Consumer,
    asked: &Map<String, Value>,
) -> Result<Option<Map<String, Value>>> {
    let is_push = !found.text("deliver_subject").is_empty();
    let is_bare = found.config.get("headers_only").and_then(Value::as_bool) == Some(true);
    let is_bounded = found.number("max_deliver").is_some_and(|most| most > 0);
    // One of ours never does without, see `Stream::is_old`.
    let is_wild = |filter: &str| filter.contains(['*', '>']);
    let are_wild = |filters: Vec<&str>| !filters.is_empty() && filters.into_iter().all(is_wild);
    let is_narrow = stream.is_old && !are_wild(found.filters());
    if is_push || is_bare || is_bounded || is_narrow || found.text("ack_policy") != "explicit" {
        return Err(Error::invalid(format!(
            "the consumer `{}` was made otherwise by another program",
            found.name
        ))
        .with_hint("name another group; one pulls, acknowledges each message and gives none up"));
    }
    let has =
        |field: &str| field.starts_with("filter") || found.config.get(field) == asked.get(field);
    if asked.keys().all(|field| has(field)) && covers(&found.config, asked) {
        return Ok(None);
    }
    let mut config = found.config.clone();
    for field in ["filter_subject", "filter_subjects"] {
        config.remove(field);
    }
    config.extend(asked.clone());
    Ok(Some(config))
}

/// Whether a consumer takes what is asked for. A server leaves out a filter that covers all of the
/// stream.
fn covers(found: &Map<String, Value>, asked: &Map<String, Value>) -> bool {
    let found = filters(found);
    found.is_empty() || found == filters(asked)
}

/// Makes or changes a consumer. `false`: another host made it otherwise at the same moment.
async fn create(stream: &Stream, consumer: &str, config: &Map<String, Value>) -> Result<bool> {
    let question = Create { stream_name: &stream.name, config };
    let make = async |connection: Connection| {
        let api = format!(".{consumer}");
        let answer = stream
            .insist::<Consumer>(&connection, "CONSUMER.DURABLE.CREATE", &api, &question)
            .await?;
        match answer {
            Ok(made) => Ok(Some(made)),
            Err(refusal) if refusal.error_code() == ErrorCode::CONSUMER_CREATE => Ok(None),
            Err(refusal) => Err(stream.refused(&connection, refusal)),
        }
    };
    let Some(made) = stream.server.read(make).await? else { return Ok(false) };
    // What a server does not know it leaves out, and says nothing.
    let differs = |field: &&str| config.get(*field) != made.config.get(*field);
    let filters = (!covers(&made.config, config)).then_some("filter_subject");
    let differs = ["ack_wait", "description"].into_iter().find(differs).or(filters);
    match differs {
        None => Ok(true),
        Some(field) => Err(Error::new(
            Kind::Unsupported,
            format!("the server made the consumer `{consumer}` with another `{field}`"),
        )),
    }
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
