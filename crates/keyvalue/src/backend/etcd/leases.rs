//! Leases, which give entries their end: shared by entries that end at about the same time.
//!
//! A lease belongs to the server, counts whole seconds by the leader's clock, and takes all its
//! entries with it when it ends. One for each write would double the writes, and pile up where keys
//! are written again and again. So a lease lasts up to a second longer than asked, and all writes
//! that would end within that second use it. None has to be given back: those of a write that
//! failed serve others, and end by themselves.

use crate::local::lock;
use base::Result;
use connect::etcd::Etcd as Server;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than this is for ever: servers take nothing above 9·10⁹ seconds.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The leases of one binding in this process, by their end.
pub(super) struct Leases {
    server: Arc<Server>,
    /// The shortest time that the server gives.
    shortest: Duration,
    by_end: Mutex<BTreeMap<Instant, i64>>,
}

impl Leases {
    pub(super) fn new(server: Arc<Server>, shortest: Duration) -> Self {
        Self { server, shortest, by_end: Mutex::default() }
    }

    /// A lease for an entry that is written now and lives for `ttl`; `None` for one that stays.
    pub(super) async fn find(&self, ttl: Option<Duration>) -> Result<Option<i64>> {
        let Some(ttl) = ttl.filter(|ttl| *ttl < LONGEST) else { return Ok(None) };
        let seconds = Duration::from_secs(ttl.as_secs() + 1).max(self.shortest);
        // Before the server hears of it, so the lease lasts at least until the end that is noted.
        let begun = Instant::now();
        let enough = begun + ttl..=begun + seconds;
        if let Some((_, lease)) = lock(&self.by_end).range(enough).next() {
            return Ok(Some(*lease));
        }
        let granted = self.server.grant(seconds).await?;
        let mut by_end = lock(&self.by_end);
        *by_end = by_end.split_off(&begun);
        let given = Duration::from_secs(granted.ttl().unsigned_abs());
        by_end.insert(begun + given, granted.id());
        Ok(Some(granted.id()))
    }

    /// Gives out new leases from now on, because the server does not know one of these any more.
    pub(super) fn forget(&self) {
        lock(&self.by_end).clear();
    }

    /// Ends all leases, with what is left of their entries.
    pub(super) async fn revoke_all(&self) -> Result<()> {
        let all = std::mem::take(&mut *lock(&self.by_end));
        for (_, id) in all {
            match self.server.revoke(id).await {
                Err(error) if error.kind() != base::Kind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
