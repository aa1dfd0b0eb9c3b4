//! The thread of a group's client: it reads the parts that the group was given, and hears when
//! parts come and go.
//!
//! All that waits in librdkafka waits here, or on a thread for blocking calls.

use super::letter;
use super::member::{PAUSE, Shared, partitions};
use super::notes::Notes;
use super::part::{Part, Took};
use super::topic::{offset_of, read_committed};
use base::{Error, Result, lock};
use connect::kafka::rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use connect::kafka::rdkafka::consumer::{
    BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol,
};
use connect::kafka::rdkafka::error::{KafkaError, KafkaResult};
use connect::kafka::rdkafka::message::BorrowedMessage;
use connect::kafka::rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};
use connect::kafka::rdkafka::{ClientContext, Message as _, Offset, TopicPartitionList};
use connect::kafka::{Context, milliseconds};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::thread::{self, park_timeout};
use std::time::{Duration, Instant};

/// How long it waits for a message before it looks whether it is to end.
const WAIT: Duration = Duration::from_millis(100);
/// And whether a part that was full is to be read again.
const SHORT: Duration = Duration::from_millis(3);
/// A host that says nothing for so long has its parts given to others.
const SESSION: Duration = Duration::from_secs(10);
/// Who has messages of a part that goes to another host has so long for them.
const GRACE: Duration = Duration::from_secs(3);
/// Before a client is made anew.
const AGAIN: Duration = Duration::from_millis(500);

pub(super) type Consumer = BaseConsumer<Watcher>;

/// Hears which parts come and go.
pub(super) struct Watcher {
    shared: Weak<Shared>,
    context: Context,
}

/// Starts the thread, with the client that it has.
pub(super) fn start(shared: &Arc<Shared>) -> Result<()> {
    let consumer = make(shared).map_err(|error| shared.topic.server.error(error))?;
    let shared = Arc::clone(shared);
    let name = thread::Builder::new().name("kafka-group".to_owned());
    let started = name.spawn(move || {
        // Told however it ends.
        let _ended = Ended(Arc::clone(&shared));
        run(&shared, consumer);
    });
    started.map(drop).map_err(|error| Error::exhausted("no thread for a group").with_source(error))
}

struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        let shared = &self.0;
        lock(&shared.consumer).take();
        if thread::panicking() {
            shared.close(Some(Error::internal("reading ended by a bug")));
        }
        lock(&shared.state).parts.clear();
        shared.ended.send_replace(true);
        shared.wake.notify_waiters();
    }
}

/// A client that takes part in the group, or reads on its own.
fn make(shared: &Arc<Shared>) -> KafkaResult<Arc<Consumer>> {
    let mut config = shared.topic.server.config();
    config
        .set("group.id", &shared.kafka_group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // What was lost on the server, or removed there, is no reason to lose more.
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", milliseconds(SESSION))
        .set("heartbeat.interval.ms", "2000")
        .set("max.poll.interval.ms", "60000")
        .set("partition.assignment.strategy", "cooperative-sticky")
        // A member that is made again is another one.
        .set("fetch.wait.max.ms", "500")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.max.messages.kbytes", "16384")
        .set("isolation.level", "read_committed");
    let watcher =
        Watcher { shared: Arc::downgrade(shared), context: shared.topic.server.context() };
    let consumer = Arc::new(Consumer::from_config_and_context(&config, watcher)?);
    if shared.name.is_some() {
        consumer.subscribe(&[&shared.topic.name])?;
    } else {
        let mut list = TopicPartitionList::new();
        for (partition, part) in &lock(&shared.state).parts {
            list.add_partition_offset(&shared.topic.name, *partition, offset_of(part.next()))?;
        }
        consumer.assign(&list)?;
    }
    *lock(&shared.consumer) = Some(Arc::clone(&consumer));
    Ok(consumer)
}

fn run(shared: &Arc<Shared>, mut consumer: Arc<Consumer>) {
    loop {
        read(shared, &consumer);
        let is_closing = shared.is_closing.load(Relaxed);
        if is_closing && shared.name.is_some() {
            // What nobody waited for.
            drop(shared.write(&consumer, false));
        }
        lock(&shared.consumer).take();
        // It leaves the group when the last one drops it.
        drop(consumer);
        if is_closing {
            return;
        }
        tracing::warn!(server = shared.topic.server.server(), "a group is joined anew");
        shared.is_broken.store(false, Relaxed);
        if shared.name.is_some() {
            lock(&shared.state).parts.clear();
        }
        consumer = loop {
            park_timeout(AGAIN);
            if shared.is_closing.load(Relaxed) {
                return;
            }
            match make(shared) {
                Ok(consumer) => break consumer,
                Err(error) => trouble(shared, shared.topic.server.error(error)),
            }
        };
    }
}

/// Reads until it is to end, or the client is of no use any more.
fn read(shared: &Arc<Shared>, consumer: &Consumer) {
    let mut are_paused = false;
    while !shared.is_closing.load(Relaxed) && !shared.is_broken.load(Relaxed) {
        let wait = if are_paused { SHORT } else { WAIT };
        match consumer.poll(wait) {
            None => {}
            Some(Ok(message)) => take_in(shared, consumer, &message),
            Some(Err(error)) => hear(shared, error),
        }
        are_paused = match go_on(shared, consumer) {
            Ok(are_paused) => are_paused,
            Err(error) => {
                hear(shared, error);
                false
            }
        };
    }
}

fn take_in(shared: &Arc<Shared>, consumer: &Consumer, message: &BorrowedMessage<'_>) {
    let read = letter::read(message, &shared.topic.name);
    let Ok(number) = u64::try_from(message.offset()) else { return };
    let time = message.timestamp().to_millis().and_then(|time| u64::try_from(time).ok());
    let partition = message.partition();
    let name = shared.name.as_deref().unwrap_or_default();
    let mut state = lock(&shared.state);
    let ordered = state.ordered;
    let Some(part) = state.parts.get_mut(&partition) else { return };
    let time = time.unwrap_or_default();
    let mut took = part.take_in(number, read, time, name);
    if took == Took::Anew {
        tracing::warn!(
            server = shared.topic.server.server(),
            partition,
            "a part of the topic begins again with {number}: the server lost what came after it"
        );
        let mut anew = part.anew(number, (ordered, &shared.wake));
        let read = letter::read(message, &shared.topic.name);
        took = anew.take_in(number, read, time, name);
        state.give(partition, anew);
    }
    let Some(part) = state.parts.get_mut(&partition) else { return };
    let is_full = part.is_full() && !part.is_paused;
    part.is_paused |= is_full;
    drop(state);
    match took {
        Took::Message => shared.wake.notify_one(),
        Took::Forgotten => shared.close(Some(forgotten(name))),
        Took::Nothing | Took::Anew => {}
    }
    if is_full && let Err(error) = pause(shared, consumer, partition) {
        hear(shared, error);
    }
}

pub(super) fn forgotten(group: &str) -> Error {
    Error::not_found(format!("the group `{group}` was forgotten"))
}

fn pause(shared: &Shared, consumer: &Consumer, partition: i32) -> KafkaResult<()> {
    let mut list = TopicPartitionList::new();
    list.add_partition(&shared.topic.name, partition);
    consumer.pause(&list)
}

/// Reads parts again that have room. Whether some have none is returned.
fn go_on(shared: &Shared, consumer: &Consumer) -> KafkaResult<bool> {
    let mut list = TopicPartitionList::new();
    let mut are_paused = false;
    for (partition, part) in &mut lock(&shared.state).parts {
        if part.is_paused && part.has_room() {
            part.is_paused = false;
            list.add_partition(&shared.topic.name, *partition);
        }
        are_paused |= part.is_paused;
    }
    if list.count() > 0 {
        consumer.resume(&list)?;
    }
    Ok(are_paused)
}

/// Hears of an error that is no message's.
fn hear(shared: &Shared, error: KafkaError) {
    match &error {
        KafkaError::MessageConsumptionFatal(_) => shared.is_broken.store(true, Relaxed),
        // It joins again by itself.
        KafkaError::MessageConsumption(Code::PollExceeded) => return,
        KafkaError::MessageConsumption(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
            trouble(shared, shared.topic.gone());
            return;
        }
        _ => {}
    }
    trouble(shared, shared.topic.server.error(error));
}

/// Whoever waits for a message hears of it.
fn trouble(shared: &Shared, error: Error) {
    tracing::debug!(%error, "a group's client");
    lock(&shared.state).trouble = Some(error);
    shared.wake.notify_waiters();
}

impl ClientContext for Watcher {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ConsumerContext for Watcher {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let shared = self.shared.upgrade();
        let done = match (what, &shared) {
            (RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, Some(shared)) => {
                assign(consumer, &given(shared, consumer, list))
            }
            (RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, None) => assign(consumer, list),
            (_, Some(shared)) => {
                taken_away(shared, consumer, list);
                unassign(consumer, list)
            }
            (_, None) => unassign(consumer, list),
        };
        if let (Err(error), Some(shared)) = (done, shared) {
            shared.is_broken.store(true, Relaxed);
            trouble(&shared, shared.topic.server.error(error));
        }
    }
}

fn assign(consumer: &Consumer, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        _ => consumer.assign(list),
    }
}

fn unassign(consumer: &Consumer, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        _ => consumer.unassign(),
    }
}

/// Takes in the parts that were given to this host, with all that is known of them. Returns where
/// each begins.
fn given(
    shared: &Arc<Shared>,
    consumer: &Consumer,
    list: &TopicPartitionList,
) -> TopicPartitionList {
    let begun = Instant::now();
    loop {
        match found(shared, consumer, list) {
            Ok(list) => return list,
            Err(error) => trouble(shared, shared.topic.server.error(error)),
        }
        let is_over = shared.is_closing.load(Relaxed) || consumer.assignment_lost();
        if is_over || begun.elapsed() > SESSION {
            // What is read of them now is nobody's: they come again.
            shared.is_broken.store(true, Relaxed);
            return list.clone();
        }
        park_timeout(PAUSE);
    }
}

fn found(
    shared: &Arc<Shared>,
    consumer: &Consumer,
    list: &TopicPartitionList,
) -> KafkaResult<TopicPartitionList> {
    let topic = &shared.topic.name;
    let mut asked = TopicPartitionList::new();
    for partition in partitions(list) {
        asked.add_partition(topic, partition);
    }
    let patience = shared.topic.server.patience();
    let committed = read_committed(&consumer.committed_offsets(asked, patience)?)?;
    let mut begins = TopicPartitionList::new();
    let mut state = lock(&shared.state);
    let how = (state.ordered, &shared.wake);
    for partition in partitions(list) {
        let (part, offset) = match committed.get(&partition) {
            Some(known) => {
                let notes = Notes::read(&known.note, known.offset);
                let part = match notes {
                    Some(notes) => Part::new(notes, known.offset, how),
                    None => Part::fresh(shared.covers.clone(), known.offset, how),
                };
                (part, offset_of(known.offset))
            }
            // It came to the topic after the group.
            None => (Part::fresh(shared.covers.clone(), 0, how), Offset::Beginning),
        };
        begins.add_partition_offset(topic, partition, offset)?;
        state.give(partition, part);
    }
    state.trouble = None;
    drop(state);
    shared.wake.notify_waiters();
    Ok(begins)
}

/// Lets go of parts that another host gets. Who has messages of them may settle them first, unless
/// it is too late already.
fn taken_away(shared: &Shared, consumer: &Consumer, list: &TopicPartitionList) {
    let parts = partitions(list);
    let is_lost = consumer.assignment_lost();
    for part in &parts {
        if let Some(part) = lock(&shared.state).parts.get_mut(part) {
            part.is_leaving = true;
        }
    }
    let begun = Instant::now();
    let are_out = || {
        let state = lock(&shared.state);
        parts.iter().filter_map(|part| state.parts.get(part)).any(Part::is_out)
    };
    while !is_lost
        && !shared.is_closing.load(Relaxed)
        && begun.elapsed() < GRACE
        && are_out()
        && !consumer.assignment_lost()
    {
        park_timeout(Duration::from_millis(10));
    }
    if !is_lost && shared.name.is_some() {
        drop(shared.write(consumer, true));
    }
    let mut state = lock(&shared.state);
    for part in &parts {
        state.parts.remove(part);
    }
}
