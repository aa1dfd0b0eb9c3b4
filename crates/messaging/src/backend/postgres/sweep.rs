//! Removes what nobody needs any more: old messages, groups and subscribers that are gone, replies
//! that nobody waits for. One host at a time does, whichever comes first.

use super::pump::ALIVE;
use super::rows::milliseconds;
use super::statements::LOCK;
use super::tables::Tables;
use base::{Kind, Result};
use connect::postgres::{Commit, Parameters, column};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// The pause between two sweeps, at least and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(60)];
/// After so long without a word the one subscriber of a group without a name is gone.
const ALONE: Duration = Duration::from_secs(300);
/// So soon room is not made again.
const PAUSE: Duration = Duration::from_millis(100);

/// What is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    /// For so long a message that every group is done with.
    pub(super) age: Duration,
    /// For so long a group in which nobody takes part.
    pub(super) groups: Duration,
}

/// What makes room.
#[derive(Default)]
pub(super) struct Room(Mutex<Option<Instant>>);

impl Room {
    /// Removes what every group is done with, however new, and says which group is behind all
    /// others.
    pub(super) async fn make(&self, tables: &Tables) -> Result<Option<String>> {
        let mut last = self.0.lock().await;
        // Others have just done so.
        if last.is_none_or(|last| last.elapsed() >= PAUSE) {
            while remove_old(tables, Duration::ZERO).await? > 0 {}
            *last = Some(Instant::now());
        }
        let rows = tables.server.read(&tables.sql.behind, &[]).await?;
        rows.first().map(|row| column(row, 0)).transpose()
    }
}

/// Groups that were silent for too long when they were looked at, by number: since when, and when
/// that was. While the database was away nobody could say that he is there.
type Silent = HashMap<i64, (SystemTime, Instant)>;

/// Sweeps as long as the tables are there.
pub(super) async fn run(tables: Arc<Tables>, retention: Retention) {
    let [least, most] = PAUSES;
    let pause = (retention.age / 8).clamp(least, most);
    let mut silent = Silent::new();
    loop {
        // Not every host of a deployment at the same moment.
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        match sweep(&tables, retention, pause, &mut silent).await {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::NotFound => return,
            Err(error) => {
                silent.clear();
                tracing::debug!(%error, "sweeping old messages is tried again");
            }
        }
    }
}

async fn sweep(
    tables: &Tables,
    retention: Retention,
    pause: Duration,
    silent: &mut Silent,
) -> Result<()> {
    let claim: Parameters<'_> = &[&milliseconds(pause / 2)];
    let claimed = tables.server.at_once(Commit::Lazy, &[(&tables.sql.claim, claim)]).await?;
    if claimed.iter().all(Vec::is_empty) {
        return Ok(());
    }
    forget_silent(tables, retention.groups, silent).await?;
    while remove_old(tables, retention.age).await? > 0 {}
    let [inboxes, replies] = &tables.sql.tidy;
    let tidy: &[(&str, Parameters<'_>)] = &[(inboxes, &[]), (replies, &[])];
    tables.server.at_once(Commit::Lazy, tidy).await.map(drop)
}

/// Removes some messages that every group is done with and that are old enough; how many.
async fn remove_old(tables: &Tables, age: Duration) -> Result<i64> {
    let old = tables.server.read(&tables.sql.old, &[&milliseconds(age)]).await?;
    let old = old.iter().map(|row| column(row, 0)).collect::<Result<Vec<i64>>>()?;
    if old.is_empty() {
        return Ok(0);
    }
    let steps: &[(&str, Parameters<'_>)] =
        &[(LOCK, &[&tables.publishers]), (&tables.sql.remove, &[&old])];
    let rows = tables.server.at_once(Commit::Lazy, steps).await?.pop().unwrap_or_default();
    rows.first().map_or(Ok(0), |row| column(row, 0))
}

/// Forgets groups that were silent for too long, and silent still when they are looked at again.
async fn forget_silent(tables: &Tables, groups: Duration, silent: &mut Silent) -> Result<()> {
    let (alone, groups) = (milliseconds(ALONE), milliseconds(groups));
    let rows = tables.server.read(&tables.sql.stale, &[&alone, &groups]).await?;
    let mut found = Silent::new();
    for row in &rows {
        let (id, seen) = (column::<i64>(row, 0)?, column::<SystemTime>(row, 1)?);
        let since = match silent.get(&id) {
            Some((before, since)) if *before == seen => *since,
            _ => Instant::now(),
        };
        found.insert(id, (seen, since));
    }
    *silent = found;
    for (id, (seen, since)) in &*silent {
        if since.elapsed() > ALIVE + ALIVE / 4 {
            tables.forget(tables.group(*id), Some(*seen)).await?;
        }
    }
    Ok(())
}
