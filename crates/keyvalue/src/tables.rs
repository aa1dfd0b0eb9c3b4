//! What the stores in tables have in common, whichever database keeps the tables.

use crate::local::relay::{Failures, Told};
use crate::local::rules;
use crate::{ListOptions, WriteOptions, counter, unmet};
use base::{Error, Kind, Place, Result};
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

/// The most connections of a host where the deployment says nothing else.
pub(crate) fn usual_connections() -> usize {
    16
}

/// The name of a binding's table, of at most `most` bytes.
///
/// # Errors
/// As [`check`].
pub(crate) fn name(chosen: Option<&str>, place: &Place, most: usize) -> Result<String> {
    check(chosen, most)?;
    Ok(chosen.map_or_else(|| usual(place, most), str::to_owned))
}

/// Checks the name of a table that the deployment file chose.
///
/// # Errors
/// `Invalid` where it cannot be.
pub(crate) fn check(chosen: Option<&str>, most: usize) -> Result<()> {
    match chosen {
        Some(name) if name.is_empty() || name.contains('\0') => {
            Err(Error::invalid("a table has a name"))
        }
        Some(name) if name.len() > most => {
            Err(Error::invalid(format!("the table's name is longer than {most} bytes")))
        }
        _ => Ok(()),
    }
}

/// `wharf_<app>_<binding>`; with a hash behind it where that would be ambiguous or too long.
fn usual(place: &Place, most: usize) -> String {
    let is_plain = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !name.is_empty() && name.bytes().all(plain)
    };
    let Place { app, binding, .. } = place;
    let name = format!("wharf_{app}_{binding}");
    if is_plain(app) && is_plain(binding) && name.len() <= most {
        return name;
    }
    let hash = crate::backend::digest(app.bytes().chain([0]).chain(binding.bytes()));
    let word = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let room = most.saturating_sub(17);
    let name: String = name.to_lowercase().chars().map(word).take(room).collect();
    format!("{name}_{hash:016x}")
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

    fn name(app: &str, binding: &str) -> String {
        let place = Place {
            base: "/".into(),
            data: "/".into(),
            app: app.to_owned(),
            capability: "keyvalue",
            binding: binding.to_owned(),
        };
        super::name(None, &place, 54).unwrap()
    }

    #[test]
    fn every_binding_has_a_table_of_its_own() {
        assert_eq!(name("guestbook", "default"), "wharf_guestbook_default");
        let names = [
            name("a_b", "c"),
            name("a", "b_c"),
            name("a-b", "c"),
            name("A", "b_c"),
            name("a", ""),
            name(&"a".repeat(60), "b"),
            name(&"a".repeat(60), "c"),
            name("ä", "b"),
            name("ö", "b"),
        ];
        for (index, name) in names.iter().enumerate() {
            assert!(name.len() <= 54, "{name}");
            assert!(!names.iter().skip(index + 1).any(|other| other == name), "{name}");
        }
    }

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
