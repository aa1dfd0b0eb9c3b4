//! Random calls in a row, with a clock that the test moves: what was published is held against what
//! comes.

mod postgres;

use base::Clock;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use libtest_mimic::Trial;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use testkit::disk::Disk;
use wharf_messaging::backend::memory::Memory;
use wharf_messaging::backend::redis::Redis;
use wharf_messaging::{
    Broker, Delivery, Filter, Message, PublishOptions, Subscriber, Subscription,
};

const TOPICS: [&str; 4] = ["a", "a.b", "a.c", "b"];
const FILTERS: [&[&str]; 4] = [&["a"], &["a.*"], &[">"], &["a", "b"]];
const KEYS: [Option<&str>; 3] = [None, Some("k"), Some("l")];
/// How long a subscriber has for a message.
const DEADLINE: u64 = 1000;

/// What opens the broker under test.
type Open = Arc<dyn Fn(Clock) -> BoxFuture<'static, Arc<dyn Broker>> + Send + Sync>;

/// A broker under test.
#[derive(Clone)]
struct Subject {
    open: Open,
    /// What has to come comes within this time.
    patience: Duration,
    /// What must not come would have come within this time.
    silence: Duration,
    /// Told that so many milliseconds passed, where the clock is not enough.
    pass: fn(u64),
}

pub(crate) fn trials() -> Vec<Trial> {
    let memory: Open = Arc::new(|clock| {
        let broker = toml::from_str::<Memory>("url = 'memory:'").unwrap().broker(clock);
        std::future::ready(broker).boxed()
    });
    let file = |durability: &'static str| -> Open {
        Arc::new(move |clock| {
            let more = format!("durability = '{durability}'");
            let opener = Disk::new(Vec::new(), 0).opener();
            let broker = crate::embedded(&more).broker("disk".to_owned(), opener, clock);
            std::future::ready(broker.unwrap()).boxed()
        })
    };
    let folder: Open = Arc::new(|clock| {
        let folder = Arc::new(crate::folder::Folder::default());
        let broker = crate::file("").broker("disk".to_owned(), folder, clock);
        std::future::ready(broker.unwrap()).boxed()
    });
    let redis: Open = Arc::new(|clock| {
        let (url, name) = (testkit::servers::url("redis").unwrap(), base::incarnation());
        let settings = format!("url = '{url}'\nprefix = 'model {name:x}'");
        let settings = toml::from_str::<Redis>(&settings).unwrap();
        let place = crate::place(std::path::Path::new("."));
        async move { settings.broker(place, clock).await.unwrap() }.boxed()
    });
    let at_once = |open| {
        let (patience, silence) = (Duration::ZERO, Duration::ZERO);
        Subject { open, patience, silence, pass: |_| {} }
    };
    let on_a_server = |open| Subject {
        open,
        patience: Duration::from_secs(20),
        silence: Duration::from_millis(20),
        pass: |_| {},
    };
    let postgres = Subject { pass: postgres::pass, ..on_a_server(postgres::opener()) };
    let all = [
        ("memory", 300, at_once(memory)),
        ("embedded", 60, at_once(file("strict"))),
        ("relaxed", 150, at_once(file("relaxed"))),
        ("file", 60, at_once(folder)),
        ("postgres", 12, postgres),
        ("redis", 40, on_a_server(redis)),
    ];
    all.into_iter()
        .map(|(name, cases, subject)| {
            let name = format!("model::{name}_hands_out_what_a_model_does");
            testkit::conformance::trial(name, move || check(cases, subject).boxed())
        })
        .collect()
}

#[derive(Clone, Debug)]
enum Call {
    Publish { topic: usize, key: usize, delay: Option<u16> },
    Take(usize),
    Ack(usize, usize),
    Nack(usize, usize, u16),
    Extend(usize, usize),
    Drop(usize, usize),
    Wait(u16),
    Resubscribe(usize),
    Forget(usize),
}

fn call() -> impl Strategy<Value = Call> {
    let group = || 0..FILTERS.len();
    let nth = || 0_usize..4;
    prop_oneof![
        6 => (0..TOPICS.len(), 0..KEYS.len(), prop::option::weighted(0.2, 1_u16..2000))
            .prop_map(|(topic, key, delay)| Call::Publish { topic, key, delay }),
        8 => group().prop_map(Call::Take),
        4 => (group(), nth()).prop_map(|(group, nth)| Call::Ack(group, nth)),
        3 => (group(), nth(), prop_oneof![Just(0), 1_u16..2000])
            .prop_map(|(group, nth, delay)| Call::Nack(group, nth, delay)),
        1 => (group(), nth()).prop_map(|(group, nth)| Call::Extend(group, nth)),
        1 => (group(), nth()).prop_map(|(group, nth)| Call::Drop(group, nth)),
        3 => (1_u16..1500).prop_map(Call::Wait),
        1 => group().prop_map(Call::Resubscribe),
        1 => group().prop_map(Call::Forget),
    ]
}

impl Subject {
    /// How long to wait for a message that has to come, or must not.
    fn wait(&self, comes: bool) -> Duration {
        if comes { self.patience } else { self.silence }
    }
}

async fn check(cases: u32, subject: Subject) -> Result<(), String> {
    let checking = move || {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let calls = prop::collection::vec(call(), 1..120);
        TestRunner::new(config).run(&calls, |calls| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run(&subject, calls)).map_err(TestCaseError::fail)
        })
    };
    tokio::task::spawn_blocking(checking).await.unwrap().map_err(|found| found.to_string())
}

/// What a group should do with a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    /// Nobody gets it before then.
    Waits(u64),
    /// With a subscriber, until then.
    Out(u64),
}

struct Stored {
    topic: usize,
    key: usize,
    text: String,
}

/// What a group has not done with, by the messages' numbers.
#[derive(Default)]
struct Group {
    left: BTreeMap<usize, (Standing, u32)>,
}

struct Model {
    now: u64,
    messages: Vec<Stored>,
    groups: Vec<Group>,
}

/// Odd groups keep the order of keys.
fn is_ordered(group: usize) -> bool {
    group % 2 == 1
}

impl Model {
    /// The messages that the group may be handed now.
    fn may_come(&self, group: usize) -> BTreeSet<usize> {
        let left = &self.groups[group].left;
        let is_due = |standing: Standing| match standing {
            Standing::Waits(time) | Standing::Out(time) => time <= self.now,
        };
        let due = left.iter().filter(|(_, (standing, _))| is_due(*standing));
        due.map(|(number, _)| *number).filter(|number| !self.is_behind(group, *number)).collect()
    }

    /// Whether one with the same key was handed out before and is not done with.
    fn is_behind(&self, group: usize, number: usize) -> bool {
        let message = &self.messages[number];
        if !is_ordered(group) || KEYS[message.key].is_none() {
            return false;
        }
        let same = |other: &usize| {
            let other = &self.messages[*other];
            (other.topic, other.key) == (message.topic, message.key)
        };
        let left = &self.groups[group].left;
        left.iter().any(|(other, (standing, attempts))| {
            let was_out = matches!(standing, Standing::Out(_)) || *attempts > 0;
            *other != number && same(other) && was_out
        })
    }
}

fn subscription(group: usize) -> Subscription {
    let topics = FILTERS[group].iter().map(|text| Filter::parse(text).unwrap()).collect();
    Subscription {
        prefetch: 1000,
        deadline: Duration::from_millis(DEADLINE),
        ordered: is_ordered(group),
        ..Subscription::new(topics).of_group(group.to_string())
    }
}

/// A message that is held, with the number of its model and until when it is out.
type Held = (usize, u64, Delivery);

/// The broker under test, and what should come of it.
struct Run {
    subject: Subject,
    clock: Clock,
    broker: Arc<dyn Broker>,
    model: Model,
    subscribers: Vec<Box<dyn Subscriber>>,
    held: Vec<Vec<Held>>,
}

async fn run(subject: &Subject, calls: Vec<Call>) -> Result<(), String> {
    let clock = Clock::manual();
    let (subject, broker) = (subject.clone(), (subject.open)(clock.clone()).await);
    let model = Model { now: 0, messages: Vec::new(), groups: Vec::new() };
    let (subscribers, held) = (Vec::new(), Vec::new());
    let mut run = Run { subject, clock, broker, model, subscribers, held };
    for group in 0..FILTERS.len() {
        run.model.groups.push(Group::default());
        run.held.push(Vec::new());
        run.subscribers.push(run.broker.subscribe(&subscription(group)).await.unwrap());
    }
    for (at, call) in calls.into_iter().enumerate() {
        let shown = format!("call {at}, {call:?}");
        run.one(call).await.map_err(|wrong| format!("{shown}: {wrong}"))?;
    }
    run.end().await?;
    // What is made in memory is gone anyway.
    drop(run.broker.destroy().await);
    Ok(())
}

/// The next message, if there is one within this time.
async fn within(time: Duration, subscriber: &dyn Subscriber) -> Result<Option<Delivery>, String> {
    match tokio::time::timeout(time, subscriber.next()).await {
        Ok(Ok(delivery)) => Ok(delivery),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Ok(None),
    }
}

fn number_of(model: &Model, group: usize, delivery: &Delivery) -> Result<usize, String> {
    let text = String::from_utf8_lossy(&delivery.message.data).into_owned();
    let unknown = || format!("`{text}` was never published");
    let number = text.parse::<usize>().ok().ok_or_else(unknown)?;
    let stored = model.messages.get(number).ok_or_else(unknown)?;
    if stored.text != text || TOPICS[stored.topic] != delivery.topic {
        return Err(format!("`{text}` came with another topic"));
    }
    match model.groups[group].left.contains_key(&number) {
        true => Ok(number),
        false => Err(format!("`{text}` came, and the group was done with it")),
    }
}

impl Run {
    /// In the end everything comes that was not done with.
    async fn end(&mut self) -> Result<(), String> {
        self.held.iter_mut().for_each(Vec::clear);
        let (mut left, mut rounds) = (true, 0);
        while left && rounds < 200 {
            self.wait(5000);
            left = false;
            for (group, subscriber) in self.subscribers.iter().enumerate() {
                loop {
                    let is_done = self.model.groups[group].left.is_empty();
                    let wait = self.subject.wait(!is_done);
                    let Some(delivery) = within(wait, &**subscriber).await? else { break };
                    let number = number_of(&self.model, group, &delivery)?;
                    self.model.groups[group].left.remove(&number);
                    delivery.ack().await.map_err(|error| error.to_string())?;
                    left = true;
                }
            }
            rounds += 1;
        }
        let lost: Vec<Vec<&usize>> =
            self.model.groups.iter().map(|group| group.left.keys().collect()).collect();
        match lost.iter().all(Vec::is_empty) {
            true => Ok(()),
            false => Err(format!("these never came: {lost:?}")),
        }
    }

    fn wait(&mut self, time: u64) {
        self.clock.advance(Duration::from_millis(time));
        (self.subject.pass)(time);
        self.model.now += time;
    }

    fn pick(&mut self, group: usize, nth: usize) -> Option<Held> {
        let held = &mut self.held[group];
        (nth < held.len()).then(|| held.swap_remove(nth))
    }

    /// How the group stands to a message, if it is still out as it was handed out.
    fn out(&mut self, group: usize, number: usize, until: u64) -> Option<&mut Standing> {
        let (standing, _) = self.model.groups[group].left.get_mut(&number)?;
        (*standing == Standing::Out(until)).then_some(standing)
    }

    async fn one(&mut self, call: Call) -> Result<(), String> {
        let failed = |error: base::Error| error.to_string();
        let now = self.model.now;
        match call {
            Call::Publish { topic, key, delay } => self.publish(topic, key, delay).await?,
            Call::Take(group) => self.take(group).await?,
            Call::Ack(group, nth) => {
                let Some((number, until, delivery)) = self.pick(group, nth) else { return Ok(()) };
                let is_out = self.out(group, number, until).is_some();
                settled(is_out, delivery.ack().await)?;
                if is_out {
                    self.model.groups[group].left.remove(&number);
                }
            }
            Call::Nack(group, nth, delay) => {
                let Some((number, until, delivery)) = self.pick(group, nth) else { return Ok(()) };
                let nacked = delivery.nack(Duration::from_millis(delay.into())).await;
                let standing = self.out(group, number, until);
                settled(standing.is_some(), nacked)?;
                if let Some(standing) = standing {
                    *standing = Standing::Waits(now + u64::from(delay));
                }
            }
            Call::Extend(group, nth) => {
                let Some((number, until, delivery)) = self.pick(group, nth) else { return Ok(()) };
                let extended = delivery.extend().await;
                let standing = self.out(group, number, until);
                settled(standing.is_some(), extended)?;
                let mut until = until;
                if let Some(standing) = standing {
                    until = now + DEADLINE;
                    *standing = Standing::Out(until);
                }
                self.held[group].push((number, until, delivery));
            }
            Call::Drop(group, nth) => {
                let Some((number, until, delivery)) = self.pick(group, nth) else { return Ok(()) };
                drop(delivery);
                if let Some(standing) = self.out(group, number, until) {
                    *standing = Standing::Waits(now);
                }
            }
            Call::Wait(time) => self.wait(time.into()),
            Call::Resubscribe(group) => {
                let subscribed = self.broker.subscribe(&subscription(group)).await;
                self.subscribers[group] = subscribed.map_err(failed)?;
            }
            Call::Forget(group) => {
                self.broker.forget(&group.to_string()).await.map_err(failed)?;
                self.held[group].clear();
                self.model.groups[group] = Group::default();
                let subscribed = self.broker.subscribe(&subscription(group)).await;
                self.subscribers[group] = subscribed.map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn publish(
        &mut self,
        topic: usize,
        key: usize,
        delay: Option<u16>,
    ) -> Result<(), String> {
        let number = self.model.messages.len();
        let (text, delay) = (number.to_string(), delay.map(u64::from));
        let message = Message { key: KEYS[key].map(str::to_owned), ..Message::new(text.clone()) };
        let options = PublishOptions { delay: delay.map(Duration::from_millis), beyond: false };
        let published = self.broker.publish(TOPICS[topic], message, &options).await;
        published.map_err(|error| error.to_string())?;
        self.model.messages.push(Stored { topic, key, text });
        for (group, filters) in FILTERS.iter().enumerate() {
            if filters.iter().any(|text| Filter::parse(text).unwrap().covers(TOPICS[topic])) {
                let standing = Standing::Waits(self.model.now + delay.unwrap_or_default());
                self.model.groups[group].left.insert(number, (standing, 0));
            }
        }
        Ok(())
    }

    async fn take(&mut self, group: usize) -> Result<(), String> {
        let may_come = self.model.may_come(group);
        let wait = self.subject.wait(!may_come.is_empty());
        let Some(delivery) = within(wait, &*self.subscribers[group]).await? else {
            return match may_come.is_empty() {
                true => Ok(()),
                false => Err(format!("none came of {may_come:?}")),
            };
        };
        let number = number_of(&self.model, group, &delivery)?;
        if !may_come.contains(&number) {
            return Err(format!("{number} came, and {may_come:?} may"));
        }
        let until = self.model.now + DEADLINE;
        let left = self.model.groups[group].left.get_mut(&number).unwrap();
        *left = (Standing::Out(until), left.1 + 1);
        if delivery.attempt != left.1 {
            return Err(format!("attempt {}, and it is {}", delivery.attempt, left.1));
        }
        self.held[group].push((number, until, delivery));
        Ok(())
    }
}

/// A verdict takes effect as long as nobody else was handed the message, and only then.
fn settled(is_out: bool, outcome: base::Result<()>) -> Result<(), String> {
    match (is_out, outcome) {
        (true, Err(error)) => Err(format!("nobody else has it, and it was refused: {error}")),
        (false, Ok(())) => Err("another has it, and its verdict was taken".to_owned()),
        _ => Ok(()),
    }
}
