//! How a subscription finds its place: where it begins, what its group covers, and how a group is
//! forgotten.

use super::letter::Control;
use super::member::PAUSE;
use super::notes::{Notes, TOPICS};
use super::topic::{Desk, Topic, add_committed};
use super::{names, topic::Committed};
use crate::{Filter, Subscription};
use base::{Error, Result};
use connect::kafka::rdkafka::TopicPartitionList;
use connect::kafka::rdkafka::consumer::{CommitMode, Consumer as _};
use connect::kafka::rdkafka::error::{KafkaError, KafkaResult};
use connect::kafka::rdkafka::types::RDKafkaErrorCode as Code;
use connect::kafka::{code, is_member_gone};
use std::collections::BTreeMap;
use std::thread::park_timeout;
use std::time::Instant;

/// A group that is there.
pub(super) struct Joined {
    /// Tells it from others of its name.
    pub(super) incarnation: u64,
    /// The parts of the topic.
    pub(super) partitions: Vec<i32>,
    /// Whether it covers something else so far.
    pub(super) is_changed: bool,
}

/// The topics of a subscription as they are written.
pub(super) fn topics(subscription: &Subscription) -> Result<String> {
    let topics: Vec<&str> = subscription.topics.iter().map(Filter::text).collect();
    let topics = topics.join(" ");
    match topics.len() {
        0..=TOPICS => Ok(topics),
        length => Err(Error::too_large(format!(
            "the topics of a group have {length} bytes, at most {TOPICS} fit"
        ))),
    }
}

/// Where one that is alone begins in each part.
pub(super) async fn starts(
    topic: &Topic,
    group: &str,
    subscription: &Subscription,
) -> Result<BTreeMap<i32, u64>> {
    let (subscription, gone) = (subscription.clone(), topic.gone());
    let look = move |desk: &Desk| {
        let partitions = desk.partitions()?;
        if partitions.is_empty() {
            return Ok(Err(gone));
        }
        desk.starts(&subscription, &desk.ends(&partitions)?)
    };
    topic.ask(group.to_owned(), look).await
}

/// Finds the group or makes it. When this returns its offsets are there: what is published from now
/// on is for it.
pub(super) async fn join(
    topic: &Topic,
    group: &str,
    subscription: &Subscription,
    topics: &str,
) -> Result<Joined> {
    let (subscription, topics) = (subscription.clone(), topics.to_owned());
    let gone = topic.gone();
    let find = move |desk: &Desk| {
        let begun = Instant::now();
        loop {
            match attempt(desk, &subscription, &topics)? {
                Attempt::Joined(joined) => return Ok(Ok(joined)),
                Attempt::Wrong(error) => return Ok(Err(error)),
                Attempt::Gone => return Ok(Err(gone)),
                Attempt::Again if begun.elapsed() > desk.patience => {
                    return Err(KafkaError::ConsumerCommit(Code::RebalanceInProgress));
                }
                Attempt::Again => park_timeout(PAUSE),
            }
        }
    };
    topic.ask(names::group(&topic.name, group), find).await
}

enum Attempt {
    Joined(Joined),
    Wrong(Error),
    Gone,
    /// Others make it at the same moment.
    Again,
}

fn attempt(desk: &Desk, subscription: &Subscription, topics: &str) -> KafkaResult<Attempt> {
    let partitions = desk.partitions()?;
    if partitions.is_empty() {
        return Ok(Attempt::Gone);
    }
    // Before it is known whether the group is there: who makes it meanwhile begins no sooner.
    let ends = desk.ends(&partitions)?;
    let committed = desk.committed(&partitions)?;
    let notes: Vec<Notes> = committed.values().filter_map(note).collect();
    let first = notes.first().map(|notes| notes.incarnation);
    let incarnation = first.unwrap_or_else(|| fastrand::u64(1..));
    let is_changed = !committed.is_empty()
        && (notes.len() < committed.len() || notes.iter().any(|notes| notes.topics != topics));
    let starts = if committed.is_empty() {
        match desk.starts(subscription, &ends)? {
            Ok(starts) => starts,
            Err(wrong) => return Ok(Attempt::Wrong(wrong)),
        }
    } else {
        // Parts that came to the topic later are for the group from their beginning.
        let mut beginnings = desk.beginnings(&partitions)?;
        beginnings.retain(|partition, _| !committed.contains_key(partition));
        beginnings
    };
    let mut list = TopicPartitionList::new();
    for (partition, start) in &starts {
        let notes =
            Notes { incarnation, topics: topics.to_owned(), cursor: *start, pending: Vec::new() };
        add_committed(&mut list, (desk.topic(), *partition), *start, &notes.write(*start))?;
    }
    if list.count() > 0 {
        match desk.consumer().commit(&list, CommitMode::Sync) {
            Ok(()) => {}
            Err(error) if code(&error).is_some_and(is_others) => return Ok(Attempt::Again),
            Err(error) => return Err(error),
        }
    }
    Ok(Attempt::Joined(Joined { incarnation, partitions, is_changed }))
}

/// Whether a group refuses an offset for it has members, who have offsets of their own.
fn is_others(code: Code) -> bool {
    is_member_gone(code) || code == Code::RebalanceInProgress
}

fn note(committed: &Committed) -> Option<Notes> {
    Notes::read(&committed.note, committed.offset)
}

/// What tells a group that is there from others of its name, and the parts of the topic. `None`: it
/// is not there.
pub(super) async fn known(topic: &Topic, group: &str) -> Result<Option<(u64, Vec<i32>)>> {
    let look = |desk: &Desk| {
        let partitions = desk.partitions()?;
        let committed = desk.committed(&partitions)?;
        let first = committed.values().find_map(note);
        Ok(Ok(first.map(|notes| (notes.incarnation, partitions))))
    };
    topic.ask(names::group(&topic.name, group), look).await
}

/// Removes groups of Kafka. Whether some have members still is returned.
pub(super) async fn remove(topic: &Topic, groups: &[String]) -> Result<bool> {
    if groups.is_empty() {
        return Ok(false);
    }
    let server = &topic.server;
    let admin = server.admin()?;
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    let options = topic.options();
    let removing = async {
        let removed = admin.delete_groups(&names, &options).await;
        removed.map_err(|error| server.error(error))
    };
    let mut are_busy = false;
    for removed in server.call(removing).await? {
        match removed {
            Ok(_) | Err((_, Code::GroupIdNotFound)) => {}
            Err((_, Code::NonEmptyGroup)) => are_busy = true,
            Err((_, code)) => return Err(server.error(KafkaError::AdminOp(code))),
        }
    }
    Ok(are_busy)
}

/// Forgets a group of which nobody takes part here any more.
pub(super) async fn forget(topic: &Topic, group: &str) -> Result<()> {
    let all = [names::group(&topic.name, group)];
    if !remove(topic, &all).await? {
        return Ok(());
    }
    // Those elsewhere leave it when they hear of it.
    if let Some((incarnation, partitions)) = known(topic, group).await? {
        topic.tell(&partitions, group, &Control::Forgotten { incarnation }).await?;
    }
    let begun = Instant::now();
    while remove(topic, &all).await? {
        if begun.elapsed() > super::LEAVING {
            return Err(Error::conflict(format!("others take part in the group `{group}`"))
                .with_hint("another program has joined it, or a host that does not answer"));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
