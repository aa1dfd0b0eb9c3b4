//! Data that filters share, in a key-value store, so that several hosts have the same.
//!
//! A filter calls in the middle of its callback and cannot wait long. What was read or written a
//! moment ago is answered from memory; for everything else the store is asked on another thread,
//! and the filter's own waits for it, but never longer than a part of what a callback may take.

use base::Result;
use bytes::Bytes;
use filter::{SharedData, Status};
use keyvalue::{Expect, Store, Version, Versioned, WriteOptions, is_unmet};
use std::collections::{HashMap, VecDeque};
use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How long nobody asks a store that did not answer in time.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an answer is as good as a new one: writes of other hosts show this much later.
const FRESH: Duration = Duration::from_secs(1);
/// So many keys, and so many bytes of values, are remembered.
const MOST_KEYS: usize = 4096;
const MOST_BYTES: usize = 16 << 20;
/// So many numbers of one key are remembered.
const NUMBERS: usize = 16;

/// The next number. One for all stores, because filters outlive what keeps their data.
static NUMBER: AtomicU32 = AtomicU32::new(1);

/// The next call.
static CALL: AtomicU64 = AtomicU64::new(0);

/// Shared data in a store.
pub(crate) struct Kept {
    store: Arc<dyn Store>,
    /// Where the store is asked: never the thread of a filter.
    runtime: Handle,
    /// How long a call waits for the store.
    wait: Duration,
    known: Mutex<HashMap<String, Known>>,
    away: Mutex<Option<Instant>>,
}

/// What is known of one key.
#[derive(Default)]
struct Known {
    /// What the store said last, and when it was asked.
    last: Option<(Option<Versioned>, Instant)>,
    /// The numbers that filters were given for versions, the newest behind.
    numbers: VecDeque<(u32, Version)>,
    /// The call that began or ended last, by which those are known that ran beside another.
    call: u64,
}

impl Known {
    /// The number of a version.
    fn number(&mut self, version: Version) -> u32 {
        if let Some((number, _)) = self.numbers.iter().find(|(_, known)| *known == version) {
            return *number;
        }
        let mut number = NUMBER.fetch_add(1, Relaxed);
        if number == 0 {
            // Which stands for "whatever it is".
            number = NUMBER.fetch_add(1, Relaxed);
        }
        if self.numbers.len() >= NUMBERS {
            self.numbers.pop_front();
        }
        self.numbers.push_back((number, version));
        number
    }

    fn answer(&mut self, found: Option<Versioned>) -> Option<(Bytes, u32)> {
        let found = found?;
        Some((found.value, self.number(found.version)))
    }

    fn bytes(&self) -> usize {
        let value = self.last.as_ref().and_then(|(value, _)| value.as_ref());
        value.map_or(0, |value| value.value.len())
    }
}

impl Kept {
    /// Data in `store`, which is asked as tasks of the current runtime; a call waits for it for
    /// `wait` at most.
    pub(crate) fn new(store: &Arc<dyn Store>, wait: Duration) -> Arc<Self> {
        let (known, away) = Default::default();
        let (store, runtime) = (Arc::clone(store), Handle::current());
        Arc::new(Self { store, runtime, wait, known, away })
    }

    /// Whether it is in this store, which is waited for so long.
    pub(crate) fn is(&self, store: &Arc<dyn Store>, wait: Duration) -> bool {
        Arc::ptr_eq(&self.store, store) && self.wait == wait
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a call about a key begins.
    fn begin(&self, key: &str) -> u64 {
        let mut known = self.known();
        if known.values().map(Known::bytes).sum::<usize>() >= MOST_BYTES {
            known.values_mut().for_each(|known| known.last = None);
        }
        if known.len() >= MOST_KEYS {
            // A number that is forgotten is one that does not fit: its filter asks again.
            known.retain(|other, _| other == key);
        }
        let known = known.entry(key.to_owned()).or_default();
        known.call = CALL.fetch_add(1, Relaxed);
        known.call
    }

    /// Notes what the store said. Nobody knows in which order it saw calls that ran beside each
    /// other, so what they say is no later than any other.
    fn end(&self, key: &str, begun: u64, asked: Instant, found: Option<Option<Versioned>>) {
        let mut known = self.known();
        if let Some(known) = known.get_mut(key) {
            let is_alone = known.call == begun;
            known.call = CALL.fetch_add(1, Relaxed);
            known.last = found.filter(|_| is_alone).map(|found| (found, asked));
        }
    }

    /// Asks the store nothing for a while.
    fn leave_alone(&self, why: &dyn Display) -> Status {
        let until = Instant::now() + PAUSE;
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        tracing::warn!(%why, "the store of what filters share is left alone");
        Status::InternalFailure
    }

    /// What the store answers, in time.
    fn ask<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T, Status> {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if away.is_some_and(|until| Instant::now() < until) {
            return Err(Status::InternalFailure);
        }
        *away = None;
        drop(away);
        let (tell, told) = sync_channel(1);
        // Who does not wait any more is told in vain.
        let asking = self.runtime.spawn(async move { drop(tell.send(call.await)) });
        match told.recv_timeout(self.wait) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if is_unmet(&error) => Err(Status::CasMismatch),
            Ok(Err(error)) if !error.kind().is_temporary() => {
                tracing::debug!(%error, "a store refuses what a filter shares");
                Err(Status::InternalFailure)
            }
            Ok(Err(error)) => Err(self.leave_alone(&error)),
            Err(_late) => {
                asking.abort();
                Err(self.leave_alone(&"it did not answer in time"))
            }
        }
    }
}

impl SharedData for Kept {
    fn get(&self, vm_id: &str, key: &[u8]) -> Result<Option<(Bytes, u32)>, Status> {
        let key = name(vm_id, key);
        if let Some(known) = self.known().get_mut(&key)
            && let Some((found, asked)) = known.last.clone()
            && asked.elapsed() < FRESH
        {
            return Ok(known.answer(found));
        }
        let (begun, asked) = (self.begin(&key), Instant::now());
        let (store, of) = (Arc::clone(&self.store), key.clone());
        let found = self.ask(async move { store.versioned(&of).await });
        self.end(&key, begun, asked, found.as_ref().ok().cloned());
        let found = found?;
        Ok(self.known().entry(key).or_default().answer(found))
    }

    fn set(&self, vm_id: &str, key: &[u8], value: Bytes, cas: u32) -> Result<(), Status> {
        let key = name(vm_id, key);
        let (begun, asked) = (self.begin(&key), Instant::now());
        let version = self.known().get(&key).and_then(|known| {
            known.numbers.iter().find(|(number, _)| *number == cas).map(|(_, version)| *version)
        });
        let options = match (cas, version) {
            (0, _) => WriteOptions::default(),
            (_, Some(version)) => WriteOptions::expecting(Expect::Version(version)),
            // A new key takes any number, and one that is there has another.
            (_, None) => WriteOptions::expecting(Expect::Absent),
        };
        let (store, of, new) = (Arc::clone(&self.store), key.clone(), value.clone());
        let written = self.ask(async move { store.set(&of, new, &options).await });
        let found =
            written.as_ref().ok().map(|version| Some(Versioned { value, version: *version }));
        self.end(&key, begun, asked, found);
        written.map(drop)
    }
}

/// The key of the store, which is text: other bytes than a few are written as `%XX`.
fn name(vm_id: &str, key: &[u8]) -> String {
    let mut name = "filters/".to_owned();
    escape(&mut name, vm_id.as_bytes());
    name.push('/');
    escape(&mut name, key);
    name
}

fn escape(name: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'-' | b'_' | b'.' | b':' => name.push(char::from(*byte)),
            _ if byte.is_ascii_alphanumeric() => name.push(char::from(*byte)),
            // Writing to a string does not fail.
            _ => drop(write!(name, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests;
