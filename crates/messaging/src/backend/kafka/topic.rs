//! The topic of Kafka behind a binding, and what is asked of the servers about it.

use super::letter::Control;
use super::{letter, names};

use crate::{Message, Position, Published, Start, Subscription};
use base::{Error, Result};
use connect::kafka::rdkafka::admin::AdminOptions;
use connect::kafka::rdkafka::config::FromClientConfigAndContext as _;
use connect::kafka::rdkafka::consumer::{BaseConsumer, Consumer as _};
use connect::kafka::rdkafka::error::KafkaResult;
use connect::kafka::rdkafka::producer::FutureRecord;
use connect::kafka::rdkafka::{Offset, TopicPartitionList};
use connect::kafka::{Context, Kafka, Publisher, Stored};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// So many messages of a batch are on their way at once.
const BATCH: usize = 256;

/// The topic of a binding.
pub(super) struct Topic {
    pub(super) server: Kafka,
    pub(super) publisher: Publisher,
    pub(super) name: String,
    /// How many parts it had when it was opened.
    pub(super) partitions: i32,
    /// Set when it was destroyed.
    pub(super) is_gone: AtomicBool,
}

/// A client that asks about groups, and is in none. It blocks.
pub(super) struct Desk {
    consumer: BaseConsumer<Context>,
    topic: String,
    /// How long an answer may take.
    pub(super) patience: Duration,
}

impl Topic {
    pub(super) fn gone(&self) -> Error {
        Error::unavailable(format!("{}: the topic `{}` is gone", self.server.server(), self.name))
            .with_hint("restart what uses it, if that was not meant")
    }

    /// How questions about topics and groups are asked.
    pub(super) fn options(&self) -> AdminOptions {
        let patience = Some(self.server.patience());
        AdminOptions::new().request_timeout(patience).operation_timeout(patience)
    }

    /// # Errors
    /// `Unavailable` where it was destroyed.
    pub(super) fn check(&self) -> Result<()> {
        match self.is_gone.load(Relaxed) {
            true => Err(self.gone()),
            false => Ok(()),
        }
    }

    /// Hands a message to the client, and returns what waits for its outcome.
    fn send(
        &self,
        topic: &str,
        message: &Message,
    ) -> Result<impl Future<Output = Result<Stored>> + Send + use<'_>> {
        let record = FutureRecord::to(&self.name)
            .payload(message.data.as_ref())
            .headers(letter::pack(topic, message));
        let record = match &message.key {
            Some(key) => record.key(key.as_bytes()),
            None => record.partition(names::partition(topic, self.partitions)),
        };
        self.publisher.send(&self.server, record)
    }

    pub(super) async fn publish(&self, topic: &str, message: &Message) -> Result<Published> {
        self.check()?;
        let sending = async { self.send(topic, message)?.await };
        self.server.call(sending).await.map(published)
    }

    /// Publishes many, in their order.
    pub(super) async fn publish_many(
        &self,
        messages: &[(String, Message)],
    ) -> Vec<Result<Published>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        for batch in messages.chunks(BATCH) {
            let sending = async {
                self.check()?;
                let sent: Vec<_> =
                    batch.iter().map(|(topic, message)| self.send(topic, message)).collect();
                let each = sent.into_iter().map(async |sent| sent?.await.map(published));
                let outcomes = futures::future::join_all(each).await;
                // What is away is away for all calls.
                let is_open = |outcome: &Result<Published>| {
                    outcome.as_ref().is_err_and(|error| error.kind().leaves_open())
                };
                match outcomes.first() {
                    Some(Err(first)) if outcomes.iter().all(is_open) => Err(first.again()),
                    _ => Ok(outcomes),
                }
            };
            match self.server.call(sending).await {
                Ok(said) => outcomes.extend(said),
                Err(error) => outcomes.extend(batch.iter().map(|_| Err(error.again()))),
            }
        }
        outcomes
    }

    /// Tells all that take part in a group, wherever they are: what is published after this
    /// returned comes after it in each part.
    pub(super) async fn tell(&self, partitions: &[i32], group: &str, said: &Control) -> Result<()> {
        let (headers, text) = letter::pack_control(group, said);
        let telling = async {
            let tell = |partition: &i32| {
                let record = FutureRecord::to(&self.name)
                    .payload(text.as_bytes())
                    .headers(headers.clone())
                    .partition(*partition);
                self.publisher.send(&self.server, record)
            };
            let sent: Vec<_> = partitions.iter().map(tell).collect::<Result<_>>()?;
            futures::future::try_join_all(sent).await.map(drop)
        };
        self.server.call(telling).await
    }

    /// Asks about a group of Kafka on a thread that may wait.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        group: String,
        ask: impl FnOnce(&Desk) -> KafkaResult<Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut config = self.server.config();
        config.set("group.id", group).set("enable.auto.commit", "false");
        let (context, topic) = (self.server.context(), self.name.clone());
        let patience = self.server.patience();
        let asking = move || {
            let consumer = BaseConsumer::from_config_and_context(&config, context)?;
            ask(&Desk { consumer, topic, patience })
        };
        self.server.blocking(asking).await?
    }
}

fn published(stored: Stored) -> Published {
    Published { position: Some(position(stored)), duplicate: false }
}

/// A part, a number in it, and a time, which says where to begin in the other parts.
pub(super) fn position(stored: Stored) -> Position {
    let Stored { partition, offset, time } = stored;
    Position(format!("{partition}-{offset}-{}", time.unwrap_or_default().max(0)))
}

fn stored(position: &Position) -> Option<Stored> {
    let mut words = position.0.split('-');
    let partition = words.next()?.parse().ok().filter(|partition| *partition >= 0)?;
    let offset = words.next()?.parse().ok().filter(|offset| *offset >= 0)?;
    let time = words.next()?.parse().ok()?;
    words.next().is_none().then_some(Stored { partition, offset, time: Some(time) })
}

/// What is known of a group's offset in a part.
pub(super) struct Committed {
    pub(super) offset: u64,
    pub(super) note: String,
}

impl Desk {
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn consumer(&self) -> &BaseConsumer<Context> {
        &self.consumer
    }

    /// The parts of the topic; none where it is gone.
    pub(super) fn partitions(&self) -> KafkaResult<Vec<i32>> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), self.patience)?;
        let found = metadata.topics().iter().filter(|topic| topic.name() == self.topic);
        Ok(found.flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect())
    }

    pub(super) fn list(
        &self,
        partitions: &[i32],
        offset: Offset,
    ) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition_offset(&self.topic, *partition, offset)?;
        }
        Ok(list)
    }

    /// The offsets of a group in those parts where it has any.
    pub(super) fn committed(&self, partitions: &[i32]) -> KafkaResult<BTreeMap<i32, Committed>> {
        let list = self.list(partitions, Offset::Invalid)?;
        read_committed(&self.consumer.committed_offsets(list, self.patience)?)
    }

    /// What `list` asks for, e.g. the end, or what has a time: the end too, where there is nothing
    /// so late.
    fn offsets(&self, list: TopicPartitionList) -> KafkaResult<BTreeMap<i32, Option<u64>>> {
        let found = self.consumer.offsets_for_times(list, self.patience)?;
        let mut offsets = BTreeMap::new();
        for element in found.elements() {
            element.error()?;
            let offset = match element.offset() {
                Offset::Offset(offset) => u64::try_from(offset).ok(),
                _ => None,
            };
            offsets.insert(element.partition(), offset);
        }
        Ok(offsets)
    }

    /// Where each part ends: what is published from now on has this number or a higher one.
    pub(super) fn ends(&self, partitions: &[i32]) -> KafkaResult<BTreeMap<i32, u64>> {
        let ends = self.offsets(self.list(partitions, Offset::End)?)?;
        Ok(ends.into_iter().map(|(part, end)| (part, end.unwrap_or_default())).collect())
    }

    /// Where each part begins.
    pub(super) fn beginnings(&self, partitions: &[i32]) -> KafkaResult<BTreeMap<i32, u64>> {
        let all = self.offsets(self.list(partitions, Offset::Beginning)?)?;
        Ok(all.into_iter().map(|(part, begin)| (part, begin.unwrap_or_default())).collect())
    }

    /// The first number in each part of what has this time or a later one, or its end.
    pub(super) fn at_time(
        &self,
        time: i64,
        ends: &BTreeMap<i32, u64>,
    ) -> KafkaResult<BTreeMap<i32, u64>> {
        let partitions: Vec<i32> = ends.keys().copied().collect();
        let found = self.offsets(self.list(&partitions, Offset::Offset(time))?)?;
        let or_end = |(part, offset): (i32, Option<u64>)| {
            (part, offset.or_else(|| ends.get(&part).copied()).unwrap_or_default())
        };
        Ok(found.into_iter().map(or_end).collect())
    }

    /// Where a subscription begins in each part, of which the ends were asked before.
    pub(super) fn starts(
        &self,
        subscription: &Subscription,
        ends: &BTreeMap<i32, u64>,
    ) -> KafkaResult<Result<BTreeMap<i32, u64>>> {
        let partitions: Vec<i32> = ends.keys().copied().collect();
        Ok(Ok(match &subscription.start {
            Start::New => ends.clone(),
            Start::Beginning => self.beginnings(&partitions)?,
            Start::Since(time) => self.at_time(in_milliseconds(*time), ends)?,
            Start::After(position) => {
                let wrong = || Error::invalid("this is no position of this broker");
                let Some(stored) = stored(position) else { return Ok(Err(wrong())) };
                let offset = u64::try_from(stored.offset).unwrap_or_default();
                if ends.get(&stored.partition).is_none_or(|end| offset >= *end) {
                    return Ok(Err(wrong()));
                }
                let mut starts = self.at_time(stored.time.unwrap_or_default(), ends)?;
                starts.insert(stored.partition, offset + 1);
                starts
            }
        }))
    }
}

/// The offsets in an answer, of those parts that have any.
pub(super) fn read_committed(list: &TopicPartitionList) -> KafkaResult<BTreeMap<i32, Committed>> {
    let mut committed = BTreeMap::new();
    for element in list.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset()
            && let Ok(offset) = u64::try_from(offset)
        {
            let note = element.metadata().to_owned();
            committed.insert(element.partition(), Committed { offset, note });
        }
    }
    Ok(committed)
}

/// Adds an offset with its note to what is to be committed.
pub(super) fn add_committed(
    list: &mut TopicPartitionList,
    (topic, partition): (&str, i32),
    offset: u64,
    note: &str,
) -> KafkaResult<()> {
    let mut element = list.add_partition(topic, partition);
    element.set_offset(offset_of(offset))?;
    element.set_metadata(note);
    Ok(())
}

/// A number as Kafka has it.
pub(super) fn offset_of(number: u64) -> Offset {
    Offset::Offset(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A time as Kafka has it.
pub(super) fn in_milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_others_are_none() {
        let here = Stored { partition: 3, offset: 7, time: Some(9) };
        assert_eq!(stored(&position(here)), Some(here));
        for wrong in ["", "x", "-1", "1-2", "1-2-", "1-2-x", "1-2-3-4", "1--2-3", "+1-2-3-"] {
            assert_eq!(stored(&Position(wrong.to_owned())), None, "{wrong}");
        }
    }
}
