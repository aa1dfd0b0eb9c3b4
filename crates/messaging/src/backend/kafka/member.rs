//! A group as it is in this host, or one that is alone: its parts of the topic, and who waits for
//! their messages. One client of Kafka for all subscribers of the group here, so that they share
//! what a single part has.

use super::part::Part;
use super::reader::{self, Consumer};
use super::topic::{Topic, add_committed};
use crate::local::Taken;
use crate::{Subscription, late};
use base::{Clock, Error, Result, lock};
use connect::batcher::{Batch, Batcher, Limits};
use connect::kafka::is_member_gone;
use connect::kafka::rdkafka::TopicPartitionList;
use connect::kafka::rdkafka::consumer::{CommitMode, Consumer as _};
use connect::kafka::rdkafka::error::{KafkaError, KafkaResult};
use connect::kafka::rdkafka::types::RDKafkaErrorCode as Code;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What nobody waits for is written so soon: how often messages were handed out.
const SOON: Duration = Duration::from_millis(500);
/// And each time this many more, how far the group has come.
const SELDOM: u32 = 10;
/// While others join or leave, offsets are refused; so long until the next try.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// A group's part in Kafka.
pub(super) struct Member {
    pub(super) shared: Arc<Shared>,
    commits: Batcher<Commits>,
    _writing: JoinSet<()>,
}

/// What the client's thread has too.
pub(super) struct Shared {
    pub(super) topic: Arc<Topic>,
    /// The group, unless it is alone.
    pub(super) name: Option<String>,
    /// What Kafka calls it.
    pub(super) kafka_group: String,
    /// What it covers where Kafka knows nothing of it, and the number that tells it from others of
    /// its name.
    pub(super) covers: (u64, String),
    pub(super) state: Mutex<State>,
    pub(super) wake: Arc<Notify>,
    pub(super) is_closing: AtomicBool,
    /// The client is of no use any more: another one is made.
    pub(super) is_broken: AtomicBool,
    pub(super) consumer: Mutex<Option<Arc<Consumer>>>,
    /// Held while something is written, from looking what that is: what is older never comes last.
    writing: Mutex<()>,
    pub(super) ended: watch::Sender<bool>,
}

/// What changes.
pub(super) struct State {
    pub(super) parts: BTreeMap<i32, Part>,
    pub(super) ordered: bool,
    /// What keeps it from its servers.
    pub(super) trouble: Option<Error>,
    /// Why there will be nothing any more.
    pub(super) over: Option<Error>,
    /// The part that is looked at first.
    turn: i32,
    last_token: u64,
    last_generation: u64,
}

/// A message that was taken, and which part it is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) partition: i32,
    pub(super) number: u64,
    generation: u64,
    token: u64,
}

/// What comes next.
pub(super) enum Next {
    Message(Token, Taken),
    /// Something changes by itself after so long, or nothing does.
    Later(Option<Duration>),
}

impl State {
    /// Takes a part in.
    pub(super) fn give(&mut self, partition: i32, mut part: Part) {
        self.last_generation += 1;
        part.generation = self.last_generation;
        self.parts.insert(partition, part);
    }

    /// The part that a message is of, unless it went to another host since.
    fn part(&mut self, token: Token) -> Option<&mut Part> {
        self.parts.get_mut(&token.partition).filter(|part| part.generation == token.generation)
    }

    /// The next message, or when there may be one.
    fn take(&mut self, now: u64, until: u64) -> Result<Option<(Token, Taken)>> {
        let turn = self.turn;
        let order: Vec<i32> = self
            .parts
            .range(turn..)
            .chain(self.parts.range(..turn))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in order {
            let Some(part) = self.parts.get_mut(&partition) else { continue };
            let token = self.last_token + 1;
            let Some(taken) = part.take(now, (token, until))? else { continue };
            self.last_token = token;
            self.turn = partition + 1;
            let token =
                Token { partition, generation: part.generation, number: taken.number, token };
            return Ok(Some((token, taken)));
        }
        Ok(None)
    }
}

impl Shared {
    pub(super) fn new(
        topic: &Arc<Topic>,
        name: Option<String>,
        kafka_group: String,
        covers: (u64, String),
        ordered: bool,
    ) -> Self {
        Self {
            topic: Arc::clone(topic),
            name,
            kafka_group,
            covers,
            state: Mutex::new(State {
                parts: BTreeMap::new(),
                ordered,
                trouble: None,
                over: None,
                turn: 0,
                last_token: 0,
                last_generation: 0,
            }),
            wake: Arc::default(),
            is_closing: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            consumer: Mutex::default(),
            writing: Mutex::default(),
            ended: watch::Sender::new(false),
        }
    }

    /// Has it end, for a reason if somebody still waits.
    pub(super) fn close(&self, why: Option<Error>) {
        if why.is_some() {
            lock(&self.state).over = why;
        }
        self.is_closing.store(true, Relaxed);
        self.wake.notify_waiters();
    }

    /// Whether there is anything to write.
    fn is_unwritten(&self, is_hurry: bool) -> bool {
        lock(&self.state).parts.values().any(|part| part.unwritten(is_hurry).is_some())
    }

    /// Writes what is to be written of all parts. Blocks.
    pub(super) fn write(&self, consumer: &Consumer, is_hurry: bool) -> KafkaResult<()> {
        let _one_at_a_time = lock(&self.writing);
        let unwritten: Vec<_> = {
            let state = lock(&self.state);
            let unwritten = |(partition, part): (&i32, &Part)| {
                let (written, note) = part.unwritten(is_hurry)?;
                Some((*partition, part.generation, written, note))
            };
            state.parts.iter().filter_map(unwritten).collect()
        };
        if unwritten.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(unwritten.len());
        for (partition, _, written, note) in &unwritten {
            add_committed(&mut list, (&self.topic.name, *partition), written.offset, note)?;
        }
        consumer.commit(&list, CommitMode::Sync)?;
        let mut state = lock(&self.state);
        for (partition, generation, written, _) in unwritten {
            let part = state.parts.get_mut(&partition);
            if let Some(part) = part.filter(|part| part.generation == generation) {
                part.has_written(written);
            }
        }
        Ok(())
    }
}

/// Writes offsets, for all that wait for it together.
pub(super) struct Commits(Arc<Shared>);

impl Commits {
    async fn commit(&self, is_hurry: bool) -> Result<()> {
        let shared = &self.0;
        let server = &shared.topic.server;
        let away = || Error::unavailable(format!("{} is not joined yet", server.server()));
        let tries = server.patience().as_millis() / PAUSE.as_millis();
        for _ in 0..tries.max(1) {
            // What went to another host since is not for this one to write.
            if !shared.is_unwritten(is_hurry) {
                return Ok(());
            }
            let consumer = lock(&shared.consumer).clone().ok_or_else(away)?;
            let writing = Arc::clone(shared);
            let written = server.blocking(move || match writing.write(&consumer, is_hurry) {
                // While others join or leave; or it is out itself, and will hear of it.
                Err(KafkaError::ConsumerCommit(code))
                    if is_member_gone(code) || code == Code::RebalanceInProgress =>
                {
                    Ok(false)
                }
                written => written.map(|()| true),
            });
            if written.await? {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        Err(Error::unavailable(format!("{}: others join and leave", server.server())))
    }
}

impl Batch for Commits {
    type Call = ();
    type Answer = ();

    fn size((): &()) -> usize {
        1
    }

    async fn one(&self, (): &()) -> Result<()> {
        self.commit(true).await
    }

    async fn many(&self, calls: &[()]) -> Result<Vec<Result<()>>> {
        let outcome = self.commit(true).await;
        let each = |_call| outcome.as_ref().copied().map_err(Error::again);
        Ok(calls.iter().map(each).collect())
    }
}

impl Member {
    /// Begins to take part.
    pub(super) fn start(shared: Shared) -> Result<Arc<Self>> {
        let shared = Arc::new(shared);
        reader::start(&shared)?;
        let server = &shared.topic.server;
        // One at a time: each writes all that there is.
        let limits = Limits {
            lanes: 1,
            calls: 4096,
            bytes: usize::MAX,
            patience: server.patience(),
            timeout: 2 * server.patience(),
        };
        let commits = Batcher::new(server.server(), Commits(Arc::clone(&shared)), limits);
        let mut writing = JoinSet::new();
        if shared.name.is_some() {
            let shared = Arc::downgrade(&shared);
            writing.spawn(write_at_leisure(shared));
        }
        Ok(Arc::new(Self { shared, commits, _writing: writing }))
    }

    /// A further subscriber has come, with what it asks for.
    pub(super) fn joined_by(&self, subscription: &Subscription) {
        let mut state = lock(&self.shared.state);
        state.ordered = subscription.ordered;
        for part in state.parts.values_mut() {
            part.set_ordered(subscription.ordered);
        }
    }

    /// Whether it goes on.
    pub(super) fn is_there(&self) -> bool {
        !self.shared.is_closing.load(Relaxed)
    }

    /// Ends it, and waits until the servers know.
    pub(super) async fn end(&self, why: Error) {
        self.shared.close(Some(why));
        let mut ended = self.shared.ended.subscribe();
        // An error says that its thread is gone.
        let ending = async { drop(ended.wait_for(|ended| *ended).await) };
        drop(timeout(2 * self.shared.topic.server.patience(), ending).await);
    }

    /// The next message, or when to look again.
    pub(super) fn take(&self, deadline: Duration) -> Result<Next> {
        let clock = Clock::System;
        let mut state = lock(&self.shared.state);
        if let Some(over) = &state.over {
            return Err(over.again());
        }
        let now = clock.now();
        if let Some((token, taken)) = state.take(now, clock.deadline(deadline))? {
            return Ok(Next::Message(token, taken));
        }
        let next = state.parts.values().filter_map(Part::next_time).min();
        Ok(Next::Later(next.map(|next| Duration::from_millis(next.saturating_sub(now)))))
    }

    /// What keeps it from its servers, if something did just now.
    pub(super) fn is_in_trouble(&self) -> bool {
        lock(&self.shared.state).trouble.is_some()
    }

    /// Asks the servers whether they are there again, on the way that verdicts go.
    pub(super) async fn look_again(&self) -> Result<()> {
        let shared = &self.shared;
        let server = &shared.topic.server;
        let consumer = lock(&shared.consumer).clone();
        let Some(consumer) = consumer.filter(|_| shared.name.is_some()) else {
            server.reach().await?;
            lock(&shared.state).trouble = None;
            return Ok(());
        };
        let (topic, patience) = (shared.topic.name.clone(), server.patience());
        let ask = move || {
            let mut list = TopicPartitionList::new();
            list.add_partition(&topic, 0);
            consumer.committed_offsets(list, patience).map(drop)
        };
        server.blocking(ask).await?;
        lock(&shared.state).trouble = None;
        Ok(())
    }

    /// Takes an acknowledgement; returns once it is written.
    pub(super) async fn ack(&self, token: Token) -> Result<()> {
        let Token { number, token: of, .. } = token;
        {
            let mut state = lock(&self.shared.state);
            let part = state.part(token).ok_or_else(late)?;
            if !part.begin_ack(number, of) {
                return Err(late());
            }
        }
        let committed = self.commit().await;
        let mut state = lock(&self.shared.state);
        let Some(part) = state.part(token) else {
            // Nobody knows whether it was in time.
            return committed.and_then(|()| Err(late()));
        };
        match committed {
            Ok(()) => match part.end_ack(number, of) {
                true => Ok(()),
                false => Err(late()),
            },
            Err(error) => {
                part.undo_ack(number, of, Clock::System.now());
                Err(error)
            }
        }
    }

    /// Takes a message back; returns once that is written.
    pub(super) async fn nack(&self, token: Token, delay: Duration) -> Result<()> {
        if !self.give_back(token, delay) {
            return Err(late());
        }
        self.commit().await
    }

    /// Takes a message back. `false`: it is with another receiver.
    pub(super) fn give_back(&self, token: Token, delay: Duration) -> bool {
        let clock = Clock::System;
        let (now, time) = match delay {
            Duration::ZERO => (clock.now(), clock.now()),
            delay => (clock.now(), clock.deadline(delay)),
        };
        let mut state = lock(&self.shared.state);
        let part = state.part(token);
        part.is_some_and(|part| part.nack(token.number, token.token, now, time))
    }

    /// Puts the deadline off.
    pub(super) fn extend(&self, token: Token, deadline: Duration) -> Result<()> {
        let until = Clock::System.deadline(deadline);
        let mut state = lock(&self.shared.state);
        let part = state.part(token).ok_or_else(late)?;
        match part.extend(token.number, token.token, until) {
            true => Ok(()),
            false => Err(late()),
        }
    }

    async fn commit(&self) -> Result<()> {
        if self.shared.name.is_none() {
            return Ok(());
        }
        self.commits.call(|| (), || self.commits_alone()).await
    }

    async fn commits_alone(&self) -> Result<()> {
        Commits(Arc::clone(&self.shared)).commit(true).await
    }
}

/// Writes what nobody waits for.
async fn write_at_leisure(shared: Weak<Shared>) {
    for round in 1_u32.. {
        sleep(SOON).await;
        let Some(shared) = shared.upgrade() else { return };
        let is_hurry = !round.is_multiple_of(SELDOM);
        if let Err(error) = Commits(shared).commit(is_hurry).await {
            tracing::debug!(%error, "a group's offsets are written later");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.close(None);
    }
}

/// The parts that a list names.
pub(super) fn partitions(list: &TopicPartitionList) -> BTreeSet<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}
