//! What eight clients at once were told could have happened one after the other.

use crate::trial;
use async_trait::async_trait;
use base::Result;
use bytes::Bytes;
use libtest_mimic::Trial;
use std::sync::{Arc, Mutex};
use todc_utils::linearizability::history::{Action, History};
use todc_utils::{Specification, WGLChecker};
use wharf_keyvalue::{
    Changes, Expect, ListOptions, Offer, Page, Store, Version, Versioned, WatchOptions,
    WriteOptions, is_unmet,
};

use crate::disk::Random;

const CLIENTS: usize = 8;
const CALLS: usize = 30;
const HISTORIES: u64 = 8;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = crate::stores()
        .map(|(name, open)| {
            let name = format!("linear::{name}_is_linearizable");
            trial(name, async move {
                let folder = tempfile::tempdir().unwrap();
                for seed in 0..HISTORIES {
                    let store = open(&folder.path().join(seed.to_string())).await;
                    let history = play(store, seed).await;
                    assert!(WGLChecker::<Key>::is_linearizable(history), "history {seed}");
                }
            })
        })
        .collect();
    trials.push(trial("linear::a_stale_store_is_found_out", async {
        let mut found = 0;
        for seed in 0..HISTORIES {
            let folder = tempfile::tempdir().unwrap();
            let (_, open) = crate::stores().next().unwrap();
            let store = Stale { store: open(folder.path()).await, before: Mutex::default() };
            let history = play(Arc::new(store), seed).await;
            found += u64::from(!WGLChecker::<Key>::is_linearizable(history));
        }
        assert_eq!(found, HISTORIES, "the checker lets stale reads through");
    }));
    trials
}

/// A call on one key, with what came of it.
#[derive(Clone, Debug)]
enum Call {
    Asked,
    Get(Option<Bytes>),
    Read(Option<(Bytes, Version)>),
    Set(Bytes, Version),
    Swapped(Expect, Bytes, Version),
    Refused(Expect),
    Deleted,
    Added(i64, i64),
    NoCounter,
}

/// One key, as the contract has it. A counter's version is not known until it is read.
struct Key;

impl Specification for Key {
    type State = Option<(Bytes, Option<Version>)>;
    type Operation = Call;

    fn init() -> Self::State {
        None
    }

    fn apply(call: &Call, state: &Self::State) -> (bool, Self::State) {
        let value = state.as_ref().map(|(value, _)| value);
        let number = value.map_or(Some(0), |value| str::from_utf8(value).ok()?.parse().ok());
        let is = |expect: &Expect| match (expect, state) {
            (Expect::Absent, state) => Some(state.is_none()),
            (Expect::Version(_), None) => Some(false),
            (Expect::Version(wanted), Some((_, version))) => version.map(|found| found == *wanted),
        };
        match call {
            Call::Asked => (false, state.clone()),
            Call::Get(found) => (value == found.as_ref(), state.clone()),
            Call::Read(None) => (state.is_none(), state.clone()),
            Call::Read(Some((found, version))) => {
                let same = state.as_ref().is_some_and(|(value, known)| {
                    value == found && known.is_none_or(|known| known == *version)
                });
                let after =
                    if same { Some((found.clone(), Some(*version))) } else { state.clone() };
                (same, after)
            }
            Call::Set(value, version) => (true, Some((value.clone(), Some(*version)))),
            Call::Swapped(expect, value, version) => match is(expect) {
                Some(false) => (false, state.clone()),
                Some(true) | None => (true, Some((value.clone(), Some(*version)))),
            },
            Call::Refused(expect) => (is(expect) != Some(true), state.clone()),
            Call::Deleted => (true, None),
            Call::Added(delta, sum) => match number == Some(sum - delta) {
                true => (true, Some((Bytes::from(sum.to_string()), None))),
                false => (false, state.clone()),
            },
            Call::NoCounter => (number.is_none(), state.clone()),
        }
    }
}

/// What eight clients did and heard, in the order in which it was called and answered.
async fn play(store: Arc<dyn Store>, seed: u64) -> History<Call> {
    let actions = Arc::new(Mutex::new(Vec::new()));
    let clients = (0..CLIENTS).map(|client| {
        let (store, actions) = (Arc::clone(&store), Arc::clone(&actions));
        let mut random = Random(seed << 8 | client as u64);
        let play = async move {
            let mut seen = Expect::Absent;
            for call in 0..CALLS {
                actions.lock().unwrap().push((client, Action::Call(Call::Asked)));
                let value = Bytes::from(format!("{}", client * 1000 + call));
                let answer = one(&*store, random.below(8), value, &mut seen).await.unwrap();
                actions.lock().unwrap().push((client, Action::Response(answer)));
                tokio::task::yield_now().await;
            }
        };
        std::thread::spawn({
            let runtime = tokio::runtime::Handle::current();
            move || runtime.block_on(play)
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        tokio::task::block_in_place(|| client.join()).unwrap();
    }
    let actions = Arc::into_inner(actions).unwrap().into_inner().unwrap();
    History::from_actions(actions)
}

/// One call on the only key. `seen` is the version that this client saw last.
async fn one(store: &dyn Store, which: u64, value: Bytes, seen: &mut Expect) -> Result<Call> {
    let (key, plain) = ("key", WriteOptions::default());
    Ok(match which {
        0 | 1 => Call::Get(store.get(key).await?),
        2 => {
            let found = store.versioned(key).await?;
            *seen = found.as_ref().map_or(Expect::Absent, |it| Expect::Version(it.version));
            Call::Read(found.map(|found| (found.value, found.version)))
        }
        3 => Call::Set(value.clone(), store.set(key, value, &plain).await?),
        4 | 5 => {
            let expect = *seen;
            match store.set(key, value.clone(), &WriteOptions::expecting(expect)).await {
                Ok(version) => {
                    *seen = Expect::Version(version);
                    Call::Swapped(expect, value, version)
                }
                Err(error) if is_unmet(&error) => Call::Refused(expect),
                Err(error) => return Err(error),
            }
        }
        6 => match store.increment(key, 7, &plain).await {
            Ok(sum) => Call::Added(7, sum),
            Err(error) if error.kind() == base::Kind::Invalid => Call::NoCounter,
            Err(error) => return Err(error),
        },
        _ => {
            store.delete(key, &plain).await?;
            Call::Deleted
        }
    })
}

/// A store that is wrong on purpose: it answers with what the last reader was told.
struct Stale {
    store: Arc<dyn Store>,
    before: Mutex<Option<Bytes>>,
}

#[async_trait]
impl Store for Stale {
    fn offer(&self) -> &Offer {
        self.store.offer()
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let now = self.store.get(key).await?;
        Ok(std::mem::replace(&mut *self.before.lock().unwrap(), now))
    }

    async fn versioned(&self, key: &str) -> Result<Option<Versioned>> {
        self.store.versioned(key).await
    }

    async fn set(&self, key: &str, value: Bytes, options: &WriteOptions) -> Result<Version> {
        self.store.set(key, value, options).await
    }

    async fn delete(&self, key: &str, options: &WriteOptions) -> Result<()> {
        self.store.delete(key, options).await
    }

    async fn increment(&self, key: &str, delta: i64, options: &WriteOptions) -> Result<i64> {
        self.store.increment(key, delta, options).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Page> {
        self.store.list(options).await
    }

    async fn watch(&self, options: &WatchOptions) -> Result<Changes> {
        self.store.watch(options).await
    }
}
