//! The keys of a binding in order, in this host's memory, for listings.
//!
//! NATS lists the subjects of a stream in no order and without pages. So the first listing begins
//! to read the stream, without values, and from then on the index follows it. Each page waits until
//! the index has seen what was stored before the page was asked for.

use super::bucket::Bucket;
use super::reader::{Reader, Told};
use crate::local::{lock, page};
use crate::{ListOptions, Page};
use base::{Error, Result};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// The most bytes of keys that are kept.
const MOST: usize = 256 << 20;
/// What a key costs besides its bytes.
const EACH: usize = 48;
/// After so long without a listing the index is dropped.
const IDLE: Duration = Duration::from_secs(600);

/// Made when it is first needed.
pub(super) struct Index {
    bucket: Arc<Bucket>,
    current: AsyncMutex<Current>,
}

#[derive(Default)]
struct Current {
    keys: Option<Arc<Keys>>,
    follower: JoinSet<()>,
}

struct Keys {
    kept: Mutex<Kept>,
    /// The highest sequence number that somebody waits for.
    wanted: AtomicU64,
    state: watch::Sender<State>,
}

struct Kept {
    keys: BTreeSet<String>,
    bytes: usize,
    used: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Everything up to this sequence number is in.
    Seen(u64),
    /// There are too many keys.
    Full,
    /// It does not follow the stream any more.
    Ended,
}

impl Index {
    pub(super) fn new(bucket: Arc<Bucket>) -> Self {
        Self { bucket, current: AsyncMutex::default() }
    }

    pub(super) async fn page(&self, options: &ListOptions) -> Result<Page> {
        let Some(bounds) = options.bounds() else { return Ok(Page::default()) };
        let keys = self.until(self.bucket.last_sequence().await?).await?;
        let mut kept = lock(&keys.kept);
        kept.used = Instant::now();
        let found = kept
            .keys
            .range::<str, _>(bounds)
            .take_while(|key| key.starts_with(&options.prefix))
            .map(|key| Ok(key.clone()));
        page(found, options)
    }

    /// The keys as they were when the stream was at `sequence`, or later.
    async fn until(&self, sequence: u64) -> Result<Arc<Keys>> {
        let limit = self.bucket.server.timeout();
        // One that ends just now is made once more.
        for _ in 0..2 {
            let keys = self.keys().await?;
            keys.wanted.fetch_max(sequence, Relaxed);
            let mut state = keys.state.subscribe();
            loop {
                let now = *state.borrow_and_update();
                match now {
                    State::Seen(seen) if seen >= sequence => return Ok(keys),
                    State::Full => {
                        return Err(Error::exhausted("the store has too many keys to list them"));
                    }
                    State::Ended => break,
                    State::Seen(_) => {}
                }
                // As long as keys come in, there is hope.
                if timeout(limit, state.changed()).await.is_err() {
                    return Err(Error::timeout(format!(
                        "{} did not send the keys within {}",
                        self.bucket.server.server(),
                        base::units::show_duration(limit)
                    )));
                }
            }
        }
        Err(Error::unavailable("the store's keys are read anew"))
    }

    async fn keys(&self) -> Result<Arc<Keys>> {
        let mut current = self.current.lock().await;
        if let Some(keys) = &current.keys {
            let is_of_use = match *keys.state.borrow() {
                State::Seen(_) => true,
                // They are not all read again for each who asks.
                State::Full => lock(&keys.kept).used.elapsed() < IDLE,
                State::Ended => false,
            };
            if is_of_use {
                return Ok(Arc::clone(keys));
            }
        }
        current.follower.abort_all();
        let reader = Reader::open(&self.bucket, 0, true).await?;
        let kept = Kept { keys: BTreeSet::new(), bytes: 0, used: Instant::now() };
        let keys = Arc::new(Keys {
            kept: Mutex::new(kept),
            wanted: AtomicU64::new(0),
            state: watch::Sender::new(State::Seen(reader.seen())),
        });
        let mut follower = JoinSet::new();
        follower.spawn(follow(reader, Arc::clone(&keys)));
        *current = Current { keys: Some(Arc::clone(&keys)), follower };
        Ok(keys)
    }
}

async fn follow(mut reader: Reader, keys: Arc<Keys>) {
    let end = loop {
        match reader.next().await {
            Told::Entry(entry) => {
                if let Some(key) = entry.key
                    && !keys.take(key, entry.value.is_some())
                {
                    break State::Full;
                }
            }
            // Keys may have gone that are in the index.
            Told::Missed(_) => break State::Ended,
            Told::Quiet => {
                let wanted = keys.wanted.load(Relaxed);
                if wanted > reader.seen() && reader.is_at_end().await {
                    reader.has_seen(wanted);
                }
                if lock(&keys.kept).used.elapsed() > IDLE {
                    break State::Ended;
                }
            }
        }
        keys.state.send_replace(State::Seen(reader.seen()));
    };
    let mut kept = lock(&keys.kept);
    kept.keys.clear();
    drop(kept);
    keys.state.send_replace(end);
}

impl Keys {
    /// Takes a key in or out. `false`: there is no room for it.
    fn take(&self, key: String, is_there: bool) -> bool {
        let size = key.len() + EACH;
        let mut kept = lock(&self.kept);
        if is_there {
            if kept.bytes + size > MOST {
                return false;
            }
            if kept.keys.insert(key) {
                kept.bytes += size;
            }
        } else if kept.keys.remove(&key) {
            kept.bytes -= size;
        }
        true
    }
}
