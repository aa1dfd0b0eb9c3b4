//! What eight clients at once were told could have happened one after the other.

mod weather;

use crate::trial;
use async_trait::async_trait;
use base::Result;
use bytes::Bytes;
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::random::Random;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::{Specification, WGLChecker};
use wharf_keyvalue::{
    Changes, Expect, ListOptions, Offer, Page, Store, Version, Versioned, WatchOptions,
    WriteOptions, is_unmet,
};

const CLIENTS: usize = 8;
const CALLS: usize = 30;
const HISTORIES: u64 = 8;
/// A history ends early at so many writes whose outcome nobody knows: with each one there are twice
/// as many orders to check.
const OPEN: usize = 12;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = crate::stores()
        .map(|(name, open)| {
            let name = format!("linear::{name}_is_linearizable");
            trial(name, async move {
                let folder = tempfile::tempdir().unwrap();
                for seed in 0..HISTORIES {
                    let store = open(&folder.path().join(seed.to_string())).await;
                    let played = play(&[store], seed, Duration::ZERO).await;
                    assert_eq!(played.open, 0, "history {seed}");
                    assert!(played.could_have_happened(), "history {seed}");
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
            let played = play(&[Arc::new(store)], seed, Duration::ZERO).await;
            found += u64::from(!played.could_have_happened());
        }
        assert_eq!(found, HISTORIES, "the checker lets stale reads through");
    }));
    trials.extend(weather::trials());
    trials
}

/// What a client is about to do to the only key.
#[derive(Clone, Debug)]
enum Intent {
    Get,
    Read,
    Put(Bytes),
    Set(Bytes),
    Swap(Expect, Bytes),
    Add(i64),
    Delete,
}

/// A call on one key, with what came of it.
#[derive(Clone, Debug)]
enum Call {
    Asked,
    Get(Option<Bytes>),
    Read(Option<(Bytes, Version)>),
    Put(Bytes),
    Set(Bytes, Version),
    Swapped(Expect, Bytes, Version),
    Refused(Expect),
    Deleted,
    Added(i64, i64),
    NoCounter,
    /// A write of which nobody knows whether and when it took effect. Its answer comes after all
    /// others, so one that never did can be thought to come last.
    Open(Intent),
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
            Call::Put(value) => (true, Some((value.clone(), None))),
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
            Call::Open(Intent::Get | Intent::Read) => (true, state.clone()),
            Call::Open(Intent::Put(value) | Intent::Set(value)) => {
                (true, Some((value.clone(), None)))
            }
            Call::Open(Intent::Swap(expect, value)) => match is(expect) {
                Some(false) => (true, state.clone()),
                Some(true) | None => (true, Some((value.clone(), None))),
            },
            Call::Open(Intent::Add(delta)) => match number {
                Some(number) => (true, Some((Bytes::from((number + delta).to_string()), None))),
                None => (true, state.clone()),
            },
            Call::Open(Intent::Delete) => (true, None),
        }
    }
}

/// What clients did and heard.
struct Played {
    history: History<Call>,
    /// How many writes are open.
    open: usize,
    /// How many calls were answered.
    answered: usize,
}

impl Played {
    /// Whether there is an order in which every answer is right.
    fn could_have_happened(self) -> bool {
        WGLChecker::<Key>::is_linearizable(self.history)
    }
}

/// What one client after the other wrote down, in the order in which it was called and answered.
#[derive(Default)]
struct Notes {
    actions: Vec<(usize, Action<Call>)>,
    /// Reads that were not answered, and what never began. It is the last call of its process.
    void: BTreeSet<usize>,
    open: Vec<(usize, Intent)>,
}

impl Notes {
    /// Whether the call was answered.
    fn answer(&mut self, process: usize, intent: Intent, answer: Result<Call>) -> bool {
        match (answer, intent) {
            (Ok(answer), _) => {
                self.actions.push((process, Action::Response(answer)));
                return true;
            }
            (Err(error), _) if !error.kind().is_temporary() => panic!("{error:?}"),
            // It never began.
            (Err(error), _) if error.kind() == base::Kind::Exhausted => {
                self.void.insert(process);
            }
            (Err(_), Intent::Get | Intent::Read) => {
                self.void.insert(process);
            }
            (Err(_), intent) => self.open.push((process, intent)),
        }
        false
    }

    fn played(mut self) -> Played {
        for process in &self.void {
            let last = self.actions.iter().rposition(|(of, _)| of == process);
            self.actions.remove(last.unwrap());
        }
        let open = self.open.len();
        let calls = self.actions.len() - open;
        for (process, intent) in self.open {
            self.actions.push((process, Action::Response(Call::Open(intent))));
        }
        Played { history: History::from_actions(self.actions), open, answered: calls / 2 }
    }
}

/// What eight clients of these stores did and heard, each waiting up to `pause` between calls.
///
/// A client whose call is not answered goes on as another process.
async fn play(stores: &[Arc<dyn Store>], seed: u64, pause: Duration) -> Played {
    let notes = Arc::new(Mutex::new(Notes::default()));
    let processes = Arc::new(AtomicUsize::new(CLIENTS));
    let clients = (0..CLIENTS).zip(stores.iter().cycle()).map(|(client, store)| {
        let (store, notes) = (Arc::clone(store), Arc::clone(&notes));
        let processes = Arc::clone(&processes);
        let mut random = Random(seed << 8 | client as u64);
        let play = async move {
            let (mut seen, mut process) = (Expect::Absent, client);
            for call in 0..CALLS {
                if notes.lock().unwrap().open.len() >= OPEN {
                    break;
                }
                let value = Bytes::from(format!("{}", client * 1000 + call));
                let intent = intend(seed, random.below(10), value, seen);
                notes.lock().unwrap().actions.push((process, Action::Call(Call::Asked)));
                let answer = one(&*store, intent.clone(), &mut seen).await;
                if !notes.lock().unwrap().answer(process, intent, answer) {
                    process = processes.fetch_add(1, Relaxed);
                }
                let pause = pause.mul_f64(random.below(100) as f64 / 100.0);
                match pause.is_zero() {
                    true => tokio::task::yield_now().await,
                    false => tokio::time::sleep(pause).await,
                }
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
    Arc::into_inner(notes).unwrap().into_inner().unwrap().played()
}

/// Of three histories one is mixed. In the others most clients do the same, as what waits for its
/// turn with others is made together with them.
fn intend(history: u64, which: u64, value: Bytes, seen: Expect) -> Intent {
    match (history % 3, which) {
        (0, 0 | 1) | (1, 0..=7) | (2, 0) => Intent::Get,
        (0, 2) => Intent::Read,
        (0, 3) | (1, 8) | (2, 1..=7) => Intent::Put(value),
        (0, 4) => Intent::Set(value),
        (0, 5 | 6) | (2, 8) => Intent::Swap(seen, value),
        (0, 7) => Intent::Add(7),
        _ => Intent::Delete,
    }
}

/// One call on the only key. `seen` is the version that this client saw last.
async fn one(store: &dyn Store, intent: Intent, seen: &mut Expect) -> Result<Call> {
    let (key, plain) = ("key", WriteOptions::default());
    Ok(match intent {
        Intent::Get => Call::Get(store.get(key).await?),
        Intent::Read => {
            let found = store.versioned(key).await?;
            *seen = found.as_ref().map_or(Expect::Absent, |it| Expect::Version(it.version));
            Call::Read(found.map(|found| (found.value, found.version)))
        }
        Intent::Put(value) => {
            store.put(key, value.clone()).await?;
            Call::Put(value)
        }
        Intent::Set(value) => Call::Set(value.clone(), store.set(key, value, &plain).await?),
        Intent::Swap(expect, value) => {
            match store.set(key, value.clone(), &WriteOptions::expecting(expect)).await {
                Ok(version) => {
                    *seen = Expect::Version(version);
                    Call::Swapped(expect, value, version)
                }
                Err(error) if is_unmet(&error) => Call::Refused(expect),
                Err(error) => return Err(error),
            }
        }
        Intent::Add(delta) => match store.increment(key, delta, &plain).await {
            Ok(sum) => Call::Added(delta, sum),
            Err(error) if error.kind() == base::Kind::Invalid => Call::NoCounter,
            Err(error) => return Err(error),
        },
        Intent::Delete => {
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
