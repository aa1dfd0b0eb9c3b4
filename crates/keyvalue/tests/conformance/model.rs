//! Random calls in a row, each answered as a map with a clock would answer.

use crate::{embedded, trial};
use base::Kind;
use base::offer::Ttl;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use libtest_mimic::Trial;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use testkit::disk::Disk;
use wharf_keyvalue::backend::embedded::Durability;
use wharf_keyvalue::backend::memory::Memory;
use wharf_keyvalue::{Clock, Cursor, Expect, ListOptions, Store, Version, WriteOptions, is_unmet};

const KEYS: [&str; 10] = ["a", "ab", "abc", "b", "b\0", "ba", "c/1", "c/2", "é", "😀"];

/// What opens the store under test; again for what survives that.
type Open = Box<dyn Fn(Clock) -> BoxFuture<'static, Arc<dyn Store>> + Send + Sync>;

/// What a kind of store can be tried with.
#[derive(Clone, Copy)]
struct Kinds {
    /// Random sequences of calls.
    cases: u32,
    /// Whether it is there again when it is opened again.
    reopens: bool,
    /// Whether its time is that of a clock that the test moves.
    timed: bool,
}

pub(crate) fn trials() -> Vec<Trial> {
    let memory = || -> Open {
        Box::new(|clock| {
            let store = toml::from_str::<Memory>("url = 'memory:'").unwrap().store(clock);
            std::future::ready(Arc::new(store) as Arc<dyn Store>).boxed()
        })
    };
    let file = |durability| {
        move || -> Open {
            let disk = Disk::new(Vec::new(), 0);
            Box::new(move |clock| {
                let opened = embedded(durability).store("disk".to_owned(), disk.opener(), clock);
                std::future::ready(Arc::new(opened.unwrap()) as Arc<dyn Store>).boxed()
            })
        }
    };
    let kinds = |cases, reopens| Kinds { cases, reopens, timed: true };
    let (strict, relaxed) = (file(Durability::Strict), file(Durability::Relaxed));
    let mut trials = vec![
        trial("model::memory_answers_as_a_map", check(kinds(300, false), memory)),
        trial("model::embedded_answers_as_a_map", check(kinds(100, true), strict)),
        trial("model::relaxed_answers_as_a_map", check(kinds(200, true), relaxed)),
    ];
    for (server, open) in crate::servers() {
        let kinds = Kinds { cases: 20, reopens: true, timed: false };
        let make = move || -> Open {
            // As much its own as a new folder is.
            let (folder, open) = (tempfile::tempdir().unwrap(), Arc::clone(&open));
            Box::new(move |_clock| open(folder.path()))
        };
        let name = format!("model::{server}_answers_as_a_map");
        trials.push(trial(name, check(kinds, make)));
    }
    trials
}

#[derive(Clone, Debug)]
enum Call {
    Get(usize),
    GetMany(Vec<usize>),
    Set(usize, Bytes, Option<u16>),
    /// For so long that the end is never seen.
    SetLong(usize, Bytes),
    Create(usize, Bytes),
    /// Expects the version that the key had so many writes ago.
    Swap(usize, Bytes, usize),
    DeleteIf(usize, usize),
    SetMany(Vec<(usize, Bytes)>),
    Delete(usize),
    DeleteMany(Vec<usize>),
    Increment(usize, i64),
    List(ListOptions),
    /// A page of a listing that goes on while the other calls are made.
    Turn(usize),
    Wait(u16),
    Reopen,
}

fn call(Kinds { reopens, timed, .. }: Kinds) -> impl Strategy<Value = Call> {
    let key = || 0..KEYS.len();
    let keys = || prop::collection::vec(key(), 0..5);
    let value = || {
        let number = (-3_i64..1000).prop_map(|number| Bytes::from(number.to_string()));
        let bytes = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        prop_oneof![number, bytes, Just(Bytes::from(vec![7; 5000]))]
    };
    let end = || prop::option::of(prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned));
    let list = (prop::sample::select(vec!["", "a", "b", "c/", "x"]), end(), end(), 1_usize..4)
        .prop_map(|(prefix, start, end, limit)| ListOptions {
            prefix: prefix.to_owned(),
            start,
            end,
            after: None,
            limit,
        });
    prop_oneof![
        4 => key().prop_map(Call::Get),
        2 => keys().prop_map(Call::GetMany),
        6 => (key(), value(), prop::option::weighted(0.3, 1_u16..50))
            .prop_map(move |(key, value, ttl)| match ttl {
                Some(_) if !timed => Call::SetLong(key, value),
                ttl => Call::Set(key, value, ttl),
            }),
        2 => (key(), value()).prop_map(|(key, value)| Call::Create(key, value)),
        4 => (key(), value(), 0_usize..3).prop_map(|(key, value, ago)| Call::Swap(key, value, ago)),
        2 => (key(), 0_usize..3).prop_map(|(key, ago)| Call::DeleteIf(key, ago)),
        2 => prop::collection::vec((key(), value()), 0..5).prop_map(Call::SetMany),
        3 => key().prop_map(Call::Delete),
        1 => keys().prop_map(Call::DeleteMany),
        3 => (key(), prop_oneof![-5_i64..50, Just(i64::MAX)])
            .prop_map(|(key, delta)| Call::Increment(key, delta)),
        2 => list.prop_map(Call::List),
        4 => (1_usize..4).prop_map(Call::Turn),
        3 => (1_u16..40).prop_map(Call::Wait),
        1 => Just(if reopens { Call::Reopen } else { Call::Wait(1) }),
    ]
}

async fn check<M: Fn() -> Open + Send + 'static>(kinds: Kinds, make: M) {
    let checking = move || {
        let config = Config { cases: kinds.cases, failure_persistence: None, ..Config::default() };
        let calls = prop::collection::vec(call(kinds), 1..80);
        TestRunner::new(config).run(&calls, |calls| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run(&make(), calls)).map_err(TestCaseError::fail)
        })
    };
    let outcome = tokio::task::spawn_blocking(checking).await.unwrap();
    outcome.unwrap_or_else(|found| panic!("{found}"));
}

/// What the store should hold.
#[derive(Default)]
struct Model {
    now: u64,
    entries: BTreeMap<usize, (Bytes, u64)>,
    /// The versions that were seen of each key, the last one first.
    versions: BTreeMap<usize, Vec<Version>>,
    turns: Option<Turns>,
}

/// A listing that goes on.
struct Turns {
    after: Option<Cursor>,
    seen: BTreeSet<String>,
    /// The keys that were there all the time.
    stayed: BTreeSet<String>,
}

impl Model {
    fn live(&self, key: usize) -> Option<&Bytes> {
        self.entries.get(&key).filter(|(_, end)| *end > self.now).map(|(value, _)| value)
    }

    fn put(&mut self, key: usize, value: Bytes, ttl: Option<u16>) {
        let end = ttl.map_or(u64::MAX, |ttl| self.now + u64::from(ttl));
        self.entries.insert(key, (value, end));
    }

    fn remove(&mut self, key: usize) {
        self.entries.remove(&key);
        self.gone();
    }

    /// What is gone did not stay.
    fn gone(&mut self) {
        let live = self.keys(&ListOptions::default());
        if let Some(turns) = &mut self.turns {
            turns.stayed.retain(|key| live.contains(key));
        }
    }

    fn keys(&self, options: &ListOptions) -> Vec<String> {
        let asked = |key: &&str| {
            key.starts_with(&options.prefix)
                && options.start.as_deref().is_none_or(|start| *key >= start)
                && options.end.as_deref().is_none_or(|end| *key < end)
        };
        let live = (0..KEYS.len()).filter(|key| self.live(*key).is_some());
        let mut keys: Vec<String> =
            live.map(|key| KEYS[key]).filter(asked).map(str::to_owned).collect();
        keys.sort_unstable();
        keys
    }

    /// A version of the key, and whether the key still has it.
    fn version(&self, key: usize, ago: usize) -> Option<(Version, bool)> {
        let version = *self.versions.get(&key)?.get(ago)?;
        Some((version, ago == 0 && self.live(key).is_some()))
    }
}

async fn run(open: &Open, calls: Vec<Call>) -> Result<(), String> {
    let clock = Clock::manual();
    let mut store = open(clock.clone()).await;
    let mut model = Model { now: 1000, ..Model::default() };
    for (at, call) in calls.into_iter().enumerate() {
        let shown = format!("call {at}, {call:?}");
        match call {
            Call::Reopen => {
                drop(store);
                store = open(clock.clone()).await;
            }
            Call::Wait(time) => {
                clock.advance(Duration::from_millis(time.into()));
                model.now += u64::from(time);
                model.gone();
            }
            call => {
                one(&*store, &mut model, call)
                    .await
                    .map_err(|wrong| format!("{shown}: {wrong}"))?;
            }
        }
        note_versions(&*store, &mut model)
            .await
            .map_err(|wrong| format!("after {shown}: {wrong}"))?;
    }
    Ok(())
}

/// Compares every key, and remembers its version.
async fn note_versions(store: &dyn Store, model: &mut Model) -> Result<(), String> {
    for (key, name) in KEYS.iter().enumerate() {
        let found = store.versioned(name).await.map_err(|error| error.to_string())?;
        same(&found.as_ref().map(|found| &found.value), &model.live(key))?;
        let seen = model.versions.entry(key).or_default();
        if let Some(found) = found
            && seen.first() != Some(&found.version)
        {
            same(&seen.contains(&found.version), &false)?;
            seen.insert(0, found.version);
        }
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("found {found:?}, wanted {wanted:?}")) }
}

/// What a write with an expectation came to: whether it took effect.
fn effect<T>(outcome: base::Result<T>) -> Result<bool, String> {
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if is_unmet(&error) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

async fn one(store: &dyn Store, model: &mut Model, call: Call) -> Result<(), String> {
    let plain = WriteOptions::default();
    let failed = |error: base::Error| error.to_string();
    let name = |key: usize| KEYS[key].to_owned();
    match call {
        Call::Get(key) => {
            same(&store.get(KEYS[key]).await.map_err(failed)?.as_ref(), &model.live(key))?;
            same(&store.exists(KEYS[key]).await.map_err(failed)?, &model.live(key).is_some())?;
        }
        Call::GetMany(keys) => {
            let names: Vec<String> = keys.iter().copied().map(name).collect();
            let wanted: Vec<_> = keys.iter().map(|key| model.live(*key).cloned()).collect();
            same(&store.get_many(&names, usize::MAX).await.map_err(failed)?, &wanted)?;
        }
        Call::Set(key, value, ttl) => {
            let written = match ttl {
                None => store.put(KEYS[key], value.clone()).await,
                Some(ttl) => {
                    let ttl = Some(Duration::from_millis(ttl.into()));
                    let options = WriteOptions { ttl, ..plain };
                    store.set(KEYS[key], value.clone(), &options).await.map(drop)
                }
            };
            written.map_err(failed)?;
            model.put(key, value, ttl);
        }
        Call::SetLong(key, value) => {
            store.set(KEYS[key], value.clone(), &long(store)).await.map_err(failed)?;
            model.put(key, value, None);
        }
        Call::Create(key, value) => {
            let absent = model.live(key).is_none();
            swap(store, model, key, value, (Expect::Absent, absent)).await?;
        }
        Call::Swap(key, value, ago) => {
            if let Some((version, holds)) = model.version(key, ago) {
                swap(store, model, key, value, (Expect::Version(version), holds)).await?;
            }
        }
        Call::DeleteIf(key, ago) => {
            if let Some((version, holds)) = model.version(key, ago) {
                let options = WriteOptions::expecting(Expect::Version(version));
                same(&effect(store.delete(KEYS[key], &options).await)?, &holds)?;
                if holds {
                    model.remove(key);
                }
            }
        }
        Call::SetMany(entries) => {
            let batch = entries.iter().map(|(key, value)| (name(*key), value.clone())).collect();
            store.set_many(batch, &plain).await.map_err(failed)?;
            entries.into_iter().for_each(|(key, value)| model.put(key, value, None));
        }
        Call::Delete(key) => {
            store.delete(KEYS[key], &plain).await.map_err(failed)?;
            model.remove(key);
        }
        Call::DeleteMany(keys) => {
            let names: Vec<String> = keys.iter().copied().map(name).collect();
            store.delete_many(&names, &plain).await.map_err(failed)?;
            keys.into_iter().for_each(|key| model.remove(key));
        }
        Call::Increment(key, delta) => increment(store, model, key, delta).await?,
        Call::List(options) => list(store, model, &options).await?,
        Call::Turn(limit) => turn(store, model, limit).await?,
        Call::Wait(_) | Call::Reopen => {}
    }
    Ok(())
}

/// A write that lives long, where the store keeps time.
fn long(store: &dyn Store) -> WriteOptions {
    let living = store.offer().levels.ttl >= Ttl::Seconds;
    WriteOptions { ttl: living.then_some(Duration::from_secs(3600)), ..WriteOptions::default() }
}

async fn swap(
    store: &dyn Store,
    model: &mut Model,
    key: usize,
    value: Bytes,
    (expect, holds): (Expect, bool),
) -> Result<(), String> {
    let options = WriteOptions::expecting(expect);
    same(&effect(store.set(KEYS[key], value.clone(), &options).await)?, &holds)?;
    if holds {
        model.put(key, value, None);
    }
    Ok(())
}

async fn list(store: &dyn Store, model: &Model, asked: &ListOptions) -> Result<(), String> {
    let mut found = Vec::new();
    let mut options = asked.clone();
    loop {
        let page = store.list(&options).await.map_err(|error| error.to_string())?;
        found.extend(page.keys);
        options.after = page.next;
        if options.after.is_none() {
            return same(&found, &model.keys(asked));
        }
    }
}

async fn increment(
    store: &dyn Store,
    model: &mut Model,
    key: usize,
    delta: i64,
) -> Result<(), String> {
    let before = match model.live(key) {
        None => Some(0),
        Some(value) => str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse().ok().filter(|number: &i64| number.to_string() == text)),
    };
    let wanted = before.and_then(|before| before.checked_add(delta));
    match store.increment(KEYS[key], delta, &WriteOptions::default()).await {
        Ok(sum) => {
            same(&Some(sum), &wanted)?;
            let end = model.live(key).and_then(|_| model.entries.get(&key)).map(|(_, end)| *end);
            let value = Bytes::from(sum.to_string());
            model.entries.insert(key, (value, end.unwrap_or(u64::MAX)));
        }
        Err(error) => same(&(error.kind(), wanted), &(Kind::Invalid, None))?,
    }
    Ok(())
}

/// The next page of the listing that goes on; at its end, whether it kept what listings promise.
async fn turn(store: &dyn Store, model: &mut Model, limit: usize) -> Result<(), String> {
    let stayed = model.keys(&ListOptions::default()).into_iter().collect();
    let begin = Turns { after: None, seen: BTreeSet::new(), stayed };
    let mut turns = model.turns.take().unwrap_or(begin);
    let options = ListOptions { after: turns.after.take(), limit, ..ListOptions::default() };
    let page = store.list(&options).await.map_err(|error| error.to_string())?;
    for key in page.keys {
        same(&model.keys(&ListOptions::default()).contains(&key), &true)?;
        same(&turns.seen.insert(key), &true)?;
    }
    match page.next {
        None => same(&turns.stayed.is_subset(&turns.seen), &true)?,
        after => model.turns = Some(Turns { after, ..turns }),
    }
    Ok(())
}
