//! Random calls in a row, with a clock that the test moves: what was published is held against what
//! comes.

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
    let all = [
        ("memory", 300, memory),
        ("embedded", 60, file("strict")),
        ("relaxed", 150, file("relaxed")),
    ];
    all.into_iter()
        .map(|(name, cases, open)| {
            let name = format!("model::{name}_hands_out_what_a_model_does");
            testkit::conformance::trial(name, move || check(cases, open).boxed())
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

async fn check(cases: u32, open: Open) -> Result<(), String> {
    let checking = move || {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let calls = prop::collection::vec(call(), 1..120);
        TestRunner::new(config).run(&calls, |calls| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run(&open, calls)).map_err(TestCaseError::fail)
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

async fn run(open: &Open, calls: Vec<Call>) -> Result<(), String> {
    let clock = Clock::manual();
    let broker = open(clock.clone()).await;
    let mut model = Model { now: 0, messages: Vec::new(), groups: Vec::new() };
    let mut subscribers: Vec<Box<dyn Subscriber>> = Vec::new();
    for group in 0..FILTERS.len() {
        model.groups.push(Group::default());
        subscribers.push(broker.subscribe(&subscription(group)).await.unwrap());
    }
    let mut held: Vec<Vec<Held>> = FILTERS.iter().map(|_| Vec::new()).collect();
    for (at, call) in calls.into_iter().enumerate() {
        let shown = format!("call {at}, {call:?}");
        let parts = (&*broker, &clock, &mut model, &mut subscribers, &mut held);
        one(parts, call).await.map_err(|wrong| format!("{shown}: {wrong}"))?;
    }
    // In the end everything comes that was not done with.
    for group in &mut held {
        group.clear();
    }
    let (mut left, mut rounds) = (true, 0);
    while left && rounds < 200 {
        clock.advance(Duration::from_millis(5000));
        model.now += 5000;
        left = false;
        for group in 0..FILTERS.len() {
            while let Some(delivery) = now(&*subscribers[group]).await? {
                let number = number_of(&model, group, &delivery)?;
                model.groups[group].left.remove(&number);
                delivery.ack().await.map_err(|error| error.to_string())?;
                left = true;
            }
        }
        rounds += 1;
    }
    let lost: Vec<_> = model.groups.iter().map(|group| group.left.keys().collect()).collect();
    let lost: Vec<Vec<&usize>> = lost;
    if lost.iter().any(|lost| !lost.is_empty()) {
        return Err(format!("these never came: {lost:?}"));
    }
    Ok(())
}

/// The next message, if there is one now.
async fn now(subscriber: &dyn Subscriber) -> Result<Option<Delivery>, String> {
    match tokio::time::timeout(Duration::ZERO, subscriber.next()).await {
        Ok(Ok(delivery)) => Ok(delivery),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Ok(None),
    }
}

fn number_of(model: &Model, group: usize, delivery: &Delivery) -> Result<usize, String> {
    let text = String::from_utf8_lossy(&delivery.message.data).into_owned();
    let number = text.parse::<usize>().map_err(|_| format!("`{text}` was never published"))?;
    let stored = model.messages.get(number).ok_or(format!("`{text}` was never published"))?;
    if stored.text != text || TOPICS[stored.topic] != delivery.topic {
        return Err(format!("`{text}` came with another topic"));
    }
    match model.groups[group].left.contains_key(&number) {
        true => Ok(number),
        false => Err(format!("`{text}` came, and the group was done with it")),
    }
}

type Parts<'a> = (
    &'a dyn Broker,
    &'a Clock,
    &'a mut Model,
    &'a mut Vec<Box<dyn Subscriber>>,
    &'a mut Vec<Vec<Held>>,
);

async fn one(
    (broker, clock, model, subscribers, held): Parts<'_>,
    call: Call,
) -> Result<(), String> {
    let failed = |error: base::Error| error.to_string();
    let pick = |held: &mut Vec<Held>, nth: usize| (nth < held.len()).then(|| held.swap_remove(nth));
    match call {
        Call::Publish { topic, key, delay } => {
            let number = model.messages.len();
            let (text, delay) = (number.to_string(), delay.map(u64::from));
            let message =
                Message { key: KEYS[key].map(str::to_owned), ..Message::new(text.clone()) };
            let options = PublishOptions { delay: delay.map(Duration::from_millis) };
            broker.publish(TOPICS[topic], message, &options).await.map_err(failed)?;
            model.messages.push(Stored { topic, key, text });
            for (group, filters) in FILTERS.iter().enumerate() {
                if filters.iter().any(|text| Filter::parse(text).unwrap().covers(TOPICS[topic])) {
                    let standing = Standing::Waits(model.now + delay.unwrap_or_default());
                    model.groups[group].left.insert(number, (standing, 0));
                }
            }
        }
        Call::Take(group) => {
            let may_come = model.may_come(group);
            let Some(delivery) = now(&*subscribers[group]).await? else {
                return match may_come.is_empty() {
                    true => Ok(()),
                    false => Err(format!("none came of {may_come:?}")),
                };
            };
            let number = number_of(model, group, &delivery)?;
            if !may_come.contains(&number) {
                return Err(format!("{number} came, and {may_come:?} may"));
            }
            let until = model.now + DEADLINE;
            let left = model.groups[group].left.get_mut(&number).unwrap();
            *left = (Standing::Out(until), left.1 + 1);
            if delivery.attempt != left.1 {
                return Err(format!("attempt {}, and it is {}", delivery.attempt, left.1));
            }
            held[group].push((number, until, delivery));
        }
        Call::Ack(group, nth) => {
            let Some((number, until, delivery)) = pick(&mut held[group], nth) else {
                return Ok(());
            };
            let is_out = model.groups[group].left.get(&number).map(|left| left.0)
                == Some(Standing::Out(until));
            let acked = delivery.ack().await;
            settled(is_out, acked)?;
            if is_out {
                model.groups[group].left.remove(&number);
            }
        }
        Call::Nack(group, nth, delay) => {
            let Some((number, until, delivery)) = pick(&mut held[group], nth) else {
                return Ok(());
            };
            let is_out = model.groups[group].left.get(&number).map(|left| left.0)
                == Some(Standing::Out(until));
            let nacked = delivery.nack(Duration::from_millis(delay.into())).await;
            settled(is_out, nacked)?;
            if is_out {
                let left = model.groups[group].left.get_mut(&number).unwrap();
                left.0 = Standing::Waits(model.now + u64::from(delay));
            }
        }
        Call::Extend(group, nth) => {
            let now = model.now;
            let Some((number, until, delivery)) = held[group].get_mut(nth) else { return Ok(()) };
            let left = model.groups[group].left.get_mut(number);
            let is_out = left.as_ref().map(|left| left.0) == Some(Standing::Out(*until));
            settled(is_out, delivery.extend().await)?;
            if is_out {
                *until = now + DEADLINE;
                left.unwrap().0 = Standing::Out(*until);
            }
        }
        Call::Drop(group, nth) => {
            let Some((number, until, delivery)) = pick(&mut held[group], nth) else {
                return Ok(());
            };
            drop(delivery);
            if let Some(left) = model.groups[group].left.get_mut(&number)
                && left.0 == Standing::Out(until)
            {
                left.0 = Standing::Waits(model.now);
            }
        }
        Call::Wait(time) => {
            clock.advance(Duration::from_millis(time.into()));
            model.now += u64::from(time);
        }
        Call::Resubscribe(group) => {
            subscribers[group] = broker.subscribe(&subscription(group)).await.map_err(failed)?;
        }
        Call::Forget(group) => {
            broker.forget(&group.to_string()).await.map_err(failed)?;
            held[group].clear();
            model.groups[group] = Group::default();
            subscribers[group] = broker.subscribe(&subscription(group)).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// A verdict takes effect as long as nobody else was handed the message, and only then.
fn settled(is_out: bool, outcome: base::Result<()>) -> Result<(), String> {
    match (is_out, outcome) {
        (true, Err(error)) => Err(format!("nobody else has it, and it was refused: {error}")),
        (false, Ok(())) => Err("another has it, and its verdict was taken".to_owned()),
        _ => Ok(()),
    }
}
