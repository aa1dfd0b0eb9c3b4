//! What the stores in tables have in common, whichever database keeps the tables.

use crate::local::relay::{Failures, Told};
use crate::local::rules;
use crate::{ListOptions, WriteOptions, counter, unmet};
use base::{Error, Kind, Result};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Longer than this is for ever: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// How many rows are read, or tidied up, at once.
pub(crate) const BATCH: i64 = 512;

/// Bytes of values that are written by one statement, or read for watchers at once.
pub(crate) const PORTION: usize = 8 << 20;

/// The shortest and the longest pause between two looks for changes.
const SOON: Duration = Duration::from_millis(2);
const LATE: Duration = Duration::from_millis(100);

/// How often a host looks for what is over while nobody watches, at most and at least.
const TIDY: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(30)];

/// How long deletions are remembered where the deployment says nothing else.
pub(crate) fn usual_retention() -> Duration {
    Duration::from_secs(600)
}

/// Which keys to list: from the first of these on, up to the second, which is not among them.
pub(crate) fn range(options: &ListOptions) -> Option<(Vec<u8>, Vec<u8>)> {
    let (first, last) = options.bounds()?;
    let first = match first {
        Bound::Included(key) => key.as_bytes().to_vec(),
        // The next one that there can be.
        Bound::Excluded(key) => [key.as_bytes(), b"\0"].concat(),
        Bound::Unbounded => Vec::new(),
    };
    // No UTF-8 has this byte, so it stands behind everything that begins with the prefix.
    let prefix = [options.prefix.as_bytes(), b"\xff"].concat();
    let last = match last {
        Bound::Included(key) | Bound::Excluded(key) => prefix.min(key.as_bytes().to_vec()),
        Bound::Unbounded => prefix,
    };
    Some((first, last))
}

/// As many keys as are asked for, to see whether there are more.
pub(crate) fn limit(options: &ListOptions) -> i64 {
    i64::try_from(options.limit.min(ListOptions::LIMIT)).unwrap_or(i64::MAX).saturating_add(1)
}

/// A key that was read.
pub(crate) fn key(bytes: &[u8]) -> Result<String> {
    let text = str::from_utf8(bytes);
    let text = text.map_err(|error| Error::corrupt("a key of the store").with_source(error))?;
    Ok(text.to_owned())
}

/// A version that no other write has.
pub(crate) fn version() -> [u8; 16] {
    fastrand::u128(..).to_be_bytes()
}

/// A time to live in milliseconds, where it is not for ever.
pub(crate) fn ttl(options: &WriteOptions) -> Option<i64> {
    let ttl = options.ttl.filter(|ttl| *ttl < LONGEST)?;
    i64::try_from(ttl.as_nanos().div_ceil(1_000_000)).ok()
}

/// Entries as one transaction writes them: each key once, and in order, so that two transactions
/// never wait for each other; in portions of at most so many bytes, but for one larger entry.
pub(crate) fn portions(entries: Vec<(String, Bytes)>, most: usize) -> Vec<Vec<(String, Bytes)>> {
    let entries: BTreeMap<String, Bytes> = entries.into_iter().collect();
    let mut portions = Vec::new();
    let (mut portion, mut size) = (Vec::new(), 0);
    for (key, value) in entries {
        if size + key.len() + value.len() > most && !portion.is_empty() {
            portions.push(std::mem::take(&mut portion));
            size = 0;
        }
        size += key.len() + value.len();
        portion.push((key, value));
    }
    if !portion.is_empty() {
        portions.push(portion);
    }
    portions
}

/// Wakes readers up that look for changes.
pub(crate) struct Bell(watch::Sender<()>);

impl Bell {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Something was written here.
    pub(crate) fn ring(&self) {
        if self.0.receiver_count() > 0 {
            self.0.send_replace(());
        }
    }

    pub(crate) fn listen(&self) -> Pace {
        Pace { pause: SOON, written: self.0.subscribe() }
    }
}

/// How often a reader looks: often while something happens, and ten times a second while nothing
/// does, unless something is written here.
pub(crate) struct Pace {
    pause: Duration,
    written: watch::Receiver<()>,
}

impl Pace {
    /// What a look for changes found, once it is time for the next one.
    pub(crate) async fn keep(
        &mut self,
        read: Result<Vec<Told>>,
        failures: &mut Failures,
    ) -> Vec<Told> {
        match read {
            Ok(told) => {
                failures.end();
                if told.is_empty() {
                    self.rest().await;
                } else {
                    self.pause = SOON;
                }
                told
            }
            Err(error) => {
                failures.wait(&error).await;
                Vec::new()
            }
        }
    }

    /// Waits for a while, or until something is written here.
    async fn rest(&mut self) {
        tokio::select! {
            () = tokio::time::sleep(self.pause) => self.pause = (self.pause * 2).min(LATE),
            // The store is gone where this fails, and then nobody waits for the rest.
            _ = self.written.changed() => self.pause = SOON,
        }
    }
}

/// Tables that need it from time to time.
pub(crate) trait Tidy: Send + Sync + 'static {
    /// Marks what is over, and removes marks that are old enough.
    fn tidy(&self) -> impl Future<Output = Result<()>> + Send;
}

/// Tidies up from time to time, as long as the tables are there. Marks stay for `retention`.
pub(crate) async fn keep_tidy(tables: Arc<impl Tidy>, retention: Duration) {
    let [least, most] = TIDY;
    let pause = (retention / 2).clamp(least, most);
    loop {
        // Not every host of a deployment at the same moment.
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        match tables.tidy().await {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::NotFound => return,
            Err(error) => tracing::debug!(%error, "tidying up a store failed"),
        }
    }
}

/// Why an addition changed nothing, by what the key has: `None` if it should have.
pub(crate) fn why_not_added(
    found: Option<(&[u8], &[u8])>,
    delta: i64,
    options: &WriteOptions,
) -> Option<Error> {
    if !rules::holds(found.map(|(_, version)| version), options) {
        return Some(unmet());
    }
    let (value, _) = found?;
    counter::read(value).and_then(|before| counter::add(before, delta)).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_order_and_in_portions() {
        let entry = |key: &str, size: usize| (key.to_owned(), Bytes::from(vec![0; size]));
        let all = vec![
            entry("c", PORTION),
            entry("a", 1),
            entry("b", 1),
            entry("a", 2),
            entry("d", PORTION + 1),
        ];
        let portions = portions(all, PORTION);
        let keys: Vec<Vec<&str>> = portions
            .iter()
            .map(|portion| portion.iter().map(|(key, _)| key.as_str()).collect())
            .collect();
        assert_eq!(keys, [vec!["a", "b"], vec!["c"], vec!["d"]]);
        assert_eq!(portions[0][0].1.len(), 2);
        assert!(super::portions(Vec::new(), 1).is_empty());
    }
}
