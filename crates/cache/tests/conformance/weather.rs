//! Eight clients through a network that cuts, delays, halves and loses: whatever they read somebody
//! stored under that very key, and its time is not over.

use crate::faults::healed;
use crate::model::TOLERANCE;
use crate::{bound_at, impatient, place, trial};
use base::{Error, Result};
use bytes::Bytes;
use libtest_mimic::Trial;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::proxy::{self, Proxy, Weather};
use testkit::random::Random;
use testkit::servers::{CACHES, TIERED, Vendor};
use tokio::task::JoinSet;
use wharf_cache::{Cache, Entry};

const CLIENTS: u64 = 8;
const CALLS: u64 = 60;
const STORMS: u64 = 4;
const KEYS: [&str; 3] = ["a", "b b", "c"];
/// Clients wait up to this long between calls, so that a storm has several faults.
const PAUSE: u64 = 30;
/// The longest time to live.
const LONGEST: u64 = 150;
/// How much later than its call a write that failed may take effect.
const LATE: Duration = Duration::from_secs(1);

pub(crate) fn trials() -> Vec<Trial> {
    let trials = CACHES.iter().chain([TIERED]).map(|vendor| {
        let name = format!("weather::{}_serves_nothing_wrong_and_nothing_old", vendor.name);
        trial(name, through_storms(vendor))
    });
    trials.collect()
}

async fn through_storms(vendor: &'static Vendor) {
    let server = tokio::task::spawn_blocking(vendor.shared).await.unwrap();
    let notes = Arc::new(Mutex::new(Notes::default()));
    for seed in 0..STORMS {
        let proxy = Arc::new(Proxy::start(server.address()).await);
        // Two hosts, each with connections of its own.
        let (settings, place) = (impatient(vendor, proxy.address()), place());
        let mut caches: Vec<Arc<dyn Cache>> = Vec::new();
        for _ in 0..2 {
            caches.push(bound_at(&settings, place.clone()).await.unwrap());
        }
        let mut wind = JoinSet::new();
        wind.spawn(proxy::storm(Arc::clone(&proxy), seed));
        let clients = (0..CLIENTS).zip(caches.iter().cycle()).map(|(client, cache)| {
            let client = Client { number: seed << 8 | client, notes: Arc::clone(&notes) };
            client.play(Arc::clone(cache))
        });
        let clients: JoinSet<()> = clients.collect();
        clients.join_all().await;
        wind.shutdown().await;
        proxy.change(Weather::clear);
        proxy.cut();
        over(&caches, &notes).await;
    }
    let notes = notes.lock().unwrap();
    assert!(notes.failed > 0, "the network was not bad enough");
    // On a busy machine more fails, and still something is found between two gusts.
    assert!(notes.found > notes.failed / 8, "{} found, {} failed", notes.found, notes.failed);
}

/// Once the storm is over, what was for a short time is gone, whoever asks.
async fn over(caches: &[Arc<dyn Cache>], notes: &Mutex<Notes>) {
    tokio::time::sleep(LATE + Duration::from_millis(LONGEST) + TOLERANCE).await;
    for cache in caches {
        healed(cache).await;
        for key in KEYS {
            let asked = Instant::now();
            if let Some(found) = cache.get(key).await.unwrap() {
                notes.lock().unwrap().check(key, &found, asked);
            }
        }
    }
}

/// One write.
struct Written {
    key: &'static str,
    /// When it is over for sure, which is not known while it is being written.
    over: Option<Instant>,
}

/// What all clients did.
#[derive(Default)]
struct Notes {
    /// By their values: no two write the same.
    writes: HashMap<Bytes, Written>,
    found: usize,
    failed: usize,
}

impl Notes {
    /// Whether who asked for this key at this moment may have found this.
    fn check(&mut self, key: &str, found: &Bytes, asked: Instant) {
        self.found += 1;
        let written = self.writes.get(found).unwrap_or_else(|| panic!("nobody stored {found:?}"));
        assert_eq!(written.key, key, "{found:?} was stored elsewhere");
        if let Some(over) = written.over {
            assert!(asked <= over, "{found:?} is over for {:?}", asked - over);
        }
    }

    fn fail(&mut self, error: &Error) {
        assert!(error.kind().is_temporary(), "{error:?}");
        self.failed += 1;
    }
}

/// One of those who use a cache at once.
struct Client {
    number: u64,
    notes: Arc<Mutex<Notes>>,
}

impl Client {
    async fn play(self, cache: Arc<dyn Cache>) {
        let mut random = Random(self.number);
        for call in 0..CALLS {
            let key = KEYS[usize::try_from(random.below(3)).unwrap()];
            let value = Bytes::from(format!("{}/{call}", self.number));
            let short = Duration::from_millis(1 + random.below(LONGEST));
            let ttl = (random.below(4) > 0).then_some(short);
            let called = match random.below(10) {
                0..=4 => self.get(&*cache, key).await,
                5 | 6 => self.write(key, value.clone(), ttl, cache.set(key, value, ttl)).await,
                7 | 8 => self.make(&*cache, key, value, ttl).await,
                _ => cache.delete(key).await,
            };
            if let Err(error) = called {
                self.notes.lock().unwrap().fail(&error);
            }
            tokio::time::sleep(Duration::from_millis(random.below(PAUSE))).await;
        }
    }

    async fn get(&self, cache: &dyn Cache, key: &'static str) -> Result<()> {
        let asked = Instant::now();
        if let Some(found) = cache.get(key).await? {
            self.notes.lock().unwrap().check(key, &found, asked);
        }
        Ok(())
    }

    async fn make(
        &self,
        cache: &dyn Cache,
        key: &'static str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<()> {
        let asked = Instant::now();
        match cache.get_or_set(key).await? {
            Entry::Occupied(found) => {
                self.notes.lock().unwrap().check(key, &found, asked);
                Ok(())
            }
            Entry::Vacant(vacancy) => {
                self.write(key, value.clone(), ttl, vacancy.fill(value, ttl)).await
            }
        }
    }

    /// Notes a write before it begins, and once it ended when it is over.
    async fn write(
        &self,
        key: &'static str,
        value: Bytes,
        ttl: Option<Duration>,
        write: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let written = Written { key, over: None };
        self.notes.lock().unwrap().writes.insert(value.clone(), written);
        let outcome = write.await;
        let slack = if outcome.is_ok() { TOLERANCE } else { LATE };
        let over = ttl.map(|ttl| Instant::now() + ttl + slack);
        if let Some(written) = self.notes.lock().unwrap().writes.get_mut(&value) {
            written.over = over;
        }
        outcome
    }
}
