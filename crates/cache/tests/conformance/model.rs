//! Random calls in a row, each answered as a map with a clock would answer that may forget: a miss
//! is always right, another value or one past its time never is.

use crate::{place, trial};
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use libtest_mimic::Trial;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use wharf_cache::{BACKENDS, Cache, Entries, Entry, Expiring, Front, Offer, Reach};

/// Random sequences of calls.
const CASES: u32 = 20;

/// What the clocks of a server and of this program may differ in, after both were read.
pub(crate) const TOLERANCE: Duration = Duration::from_millis(5);

/// Names, some of which memcached does not take as they are.
static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let (long, other) = ("k".repeat(300), "k".repeat(299) + "l");
    ["a", "b", "a b", "é", &long, &other].map(str::to_owned).to_vec()
});

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = BACKENDS
        .iter()
        .map(|entry| {
            let name = format!("model::{}_answers_as_a_map_that_may_forget", entry.name);
            let open: Open = Arc::new(|| open(entry.name).boxed());
            trial(name, async {
                let tally = check(open).await.unwrap_or_else(|found| panic!("{found}"));
                let (there, found) = (tally.there.into_inner(), tally.found.into_inner());
                // Where nothing is kept, whatever is found is wrong already.
                let tried = there == 0 || found > there / 2;
                assert!(tried, "{found} of {there} were found: nothing was tried");
            })
        })
        .collect();
    trials.push(trial("model::a_cache_that_serves_what_is_over_is_found_out", async {
        let open: Open = Arc::new(|| {
            async {
                let timeless = Timeless(open("memory").await);
                Arc::new(Front::new(timeless, Duration::from_secs(1))) as Arc<dyn Cache>
            }
            .boxed()
        });
        let Err(found) = check(open).await else { panic!("the model lets old values through") };
        // What has no end is seen as late before its time is over.
        assert!(["over for", "late"].iter().any(|wrong| found.contains(wrong)), "{found}");
    }));
    trials
}

/// What opens a cache with nothing in it.
type Open = Arc<dyn Fn() -> BoxFuture<'static, Arc<dyn Cache>> + Send + Sync>;

async fn open(backend: &str) -> Arc<dyn Cache> {
    let url = testkit::servers::url(backend).unwrap_or_else(|| format!("{backend}:"));
    base::backend::open(BACKENDS, &url, place()).await.unwrap()
}

#[derive(Clone, Debug)]
enum Call {
    Get(usize),
    Exists(usize),
    Expiring(usize),
    Set(usize, Bytes, Option<Duration>),
    Delete(usize),
    /// Gets, or makes the value.
    Make(usize, Bytes, Option<Duration>),
    GiveUp(usize),
    Wait(Duration),
}

fn call() -> impl Strategy<Value = Call> {
    let key = || 0..KEYS.len();
    let value = || {
        let bytes = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        let long = any::<u8>().prop_map(|byte| Bytes::from(vec![byte; 5000]));
        prop_oneof![3 => bytes, 1 => long]
    };
    let ttl = || {
        let time = prop_oneof![3 => 1_u64..60, 1 => Just(60_000)];
        prop::option::of(time.prop_map(Duration::from_millis))
    };
    prop_oneof![
        3 => key().prop_map(Call::Get),
        1 => key().prop_map(Call::Exists),
        2 => key().prop_map(Call::Expiring),
        6 => (key(), value(), ttl()).prop_map(|(key, value, ttl)| Call::Set(key, value, ttl)),
        2 => key().prop_map(Call::Delete),
        3 => (key(), value(), ttl()).prop_map(|(key, value, ttl)| Call::Make(key, value, ttl)),
        1 => key().prop_map(Call::GiveUp),
        3 => (1_u64..40).prop_map(|time| Call::Wait(Duration::from_millis(time))),
    ]
}

/// What was asked for and found, or what was wrong.
async fn check(open: Open) -> Result<Tally, String> {
    let checking = move || {
        let tally = Tally::default();
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        let calls = prop::collection::vec(call(), 1..60);
        let outcome = TestRunner::new(config).run(&calls, |calls| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run(&open, calls, &tally)).map_err(TestCaseError::fail)
        });
        outcome.map(|()| tally).map_err(|found| found.to_string())
    };
    tokio::task::spawn_blocking(checking).await.unwrap()
}

/// How often a value was asked for that a map would have had, and how often it was found.
#[derive(Default)]
struct Tally {
    there: AtomicUsize,
    found: AtomicUsize,
}

/// What was stored under a key.
struct Stored {
    value: Bytes,
    /// Until this moment at least it lives, unless it is forgotten, and until the other at most.
    lives: Option<(Instant, Instant)>,
}

/// What a map would hold.
struct Model<'a> {
    entries: BTreeMap<usize, Stored>,
    /// Whether the cache keeps anything.
    keeps: bool,
    tally: &'a Tally,
}

impl Model<'_> {
    fn put(&mut self, key: usize, value: Bytes, ttl: Option<Duration>, begun: Instant) {
        let lives = ttl.map(|ttl| (begun + ttl, Instant::now() + ttl + TOLERANCE));
        self.entries.insert(key, Stored { value, lives });
    }

    /// What was stored there and may be found by who asked at this moment.
    fn found(&self, key: usize, asked: Instant) -> Result<&Stored, String> {
        if !self.keeps {
            return Err("it keeps nothing, and found something".to_owned());
        }
        let stored = self.entries.get(&key).ok_or("nobody stored that")?;
        match stored.lives {
            Some((_, most)) if asked > most => Err(format!("over for {:?}", asked - most)),
            _ => Ok(stored),
        }
    }

    fn value(&self, key: usize, asked: Instant, found: Option<&Bytes>) -> Result<(), String> {
        let least = |stored: &Stored| stored.lives.is_none_or(|(least, _)| Instant::now() < least);
        if self.keeps && self.entries.get(&key).is_some_and(least) {
            self.tally.there.fetch_add(1, Relaxed);
            self.tally.found.fetch_add(usize::from(found.is_some()), Relaxed);
        }
        let Some(found) = found else { return Ok(()) };
        match self.found(key, asked)?.value == *found {
            true => Ok(()),
            false => Err(format!("found {found:?}")),
        }
    }
}

async fn run(open: &Open, calls: Vec<Call>, tally: &Tally) -> Result<(), String> {
    let cache = open().await;
    let keeps = cache.offer().levels.reach > Reach::None;
    let mut model = Model { entries: BTreeMap::new(), keeps, tally };
    for (at, call) in calls.into_iter().enumerate() {
        let shown = format!("call {at}, {call:?}");
        one(&*cache, &mut model, call).await.map_err(|wrong| format!("{shown}: {wrong}"))?;
        for (key, name) in KEYS.iter().enumerate() {
            let asked = Instant::now();
            let found = cache.get(name).await.map_err(|error| error.to_string())?;
            let right = model.value(key, asked, found.as_ref());
            right.map_err(|wrong| format!("{name}, after {shown}: {wrong}"))?;
        }
    }
    Ok(())
}

async fn one(cache: &dyn Cache, model: &mut Model<'_>, call: Call) -> Result<(), String> {
    let (failed, asked) = (|error: base::Error| error.to_string(), Instant::now());
    match call {
        Call::Get(key) => {
            let found = cache.get(&KEYS[key]).await.map_err(failed)?;
            model.value(key, asked, found.as_ref())?;
        }
        Call::Exists(key) => {
            if cache.exists(&KEYS[key]).await.map_err(failed)? {
                model.found(key, asked)?;
            }
        }
        Call::Expiring(key) => {
            let Some(found) = cache.expiring(&KEYS[key]).await.map_err(failed)? else {
                return Ok(());
            };
            model.value(key, asked, Some(&found.value))?;
            let late = |most| found.until.is_none_or(|until| until > most);
            match model.found(key, asked)?.lives {
                Some((_, most)) if late(most) => return Err(format!("late: {:?}", found.until)),
                _ => {}
            }
        }
        Call::Set(key, value, ttl) => {
            cache.set(&KEYS[key], value.clone(), ttl).await.map_err(failed)?;
            model.put(key, value, ttl, asked);
        }
        Call::Delete(key) => {
            cache.delete(&KEYS[key]).await.map_err(failed)?;
            model.entries.remove(&key);
        }
        Call::Make(key, value, ttl) => match cache.get_or_set(&KEYS[key]).await.map_err(failed)? {
            Entry::Occupied(found) => model.value(key, asked, Some(&found))?,
            Entry::Vacant(vacancy) => {
                let begun = Instant::now();
                vacancy.fill(value.clone(), ttl).await.map_err(failed)?;
                model.put(key, value, ttl, begun);
            }
        },
        Call::GiveUp(key) => match cache.get_or_set(&KEYS[key]).await.map_err(failed)? {
            Entry::Occupied(found) => model.value(key, asked, Some(&found))?,
            Entry::Vacant(vacancy) => drop(vacancy),
        },
        Call::Wait(time) => tokio::time::sleep(time).await,
    }
    Ok(())
}

/// A cache that is wrong on purpose: it knows of no ends.
struct Timeless(Arc<dyn Cache>);

#[async_trait]
impl Entries for Timeless {
    fn offer(&self) -> &Offer {
        self.0.offer()
    }

    async fn expiring(&self, key: &str) -> base::Result<Option<Expiring>> {
        self.0.expiring(key).await
    }

    async fn set(&self, key: &str, value: Bytes, _ttl: Option<Duration>) -> base::Result<()> {
        self.0.set(key, value, None).await
    }

    async fn delete(&self, key: &str) -> base::Result<()> {
        self.0.delete(key).await
    }
}
