//! The tables of a binding, and what is asked of them by groups.

use super::rows::{self, milliseconds, number};
use super::statements::{LAYOUT, LOCK, Statements, TABLES};
use super::topics::Covered;
use crate::delivery::forgotten;
use crate::{Message, Position, Start, Subscription};
use base::{Error, Result};
use connect::postgres::{
    Commit, Parameters, Postgres as Server, ToSql, column, lock_number, quoted,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The most bytes of messages that are handed out at once, but for a first one that is larger.
const LARGEST: usize = 1 << 20;
/// So many messages at least become a group's at once, if there are so many.
const PORTION: usize = 64;
/// The year 9000, from 1970 on.
const FAR: Duration = Duration::from_secs(221_845_392_000);

/// The tables of one binding.
pub(super) struct Tables {
    pub(super) server: Server,
    /// The way of those who publish: nobody else keeps them waiting.
    pub(super) publisher: Server,
    pub(super) sql: Statements,
    name: String,
    /// Positions in other tables are refused.
    incarnation: u64,
    /// Room for all messages, where it is bounded.
    pub(super) room: Option<i64>,
    /// The lock of those who publish, and of groups while they begin.
    pub(super) publishers: i64,
}

/// A group that is there.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub(super) id: i64,
    /// The lock of those who take messages for it.
    lock: i64,
}

/// How many messages are to be handed out, to whom.
pub(super) struct Wanted {
    pub(super) group: Group,
    pub(super) most: usize,
    /// Whether the group is to go on in the log.
    pub(super) is_hungry: bool,
    pub(super) token: i64,
    pub(super) deadline: Duration,
}

/// A message that is handed out.
pub(super) struct Found {
    pub(super) topic: String,
    pub(super) message: Message,
    pub(super) seq: i64,
    pub(super) attempt: u32,
    /// Since when it could be.
    pub(super) was: SystemTime,
    pub(super) time: SystemTime,
}

impl Tables {
    /// Finds the tables, or makes them. `now` is SQL for the time.
    pub(super) async fn open(
        (server, publisher): (Server, Server),
        name: String,
        now: &str,
        room: Option<i64>,
    ) -> Result<Self> {
        server.find_or_make(&name, LAYOUT, &create(&name)).await?;
        let meta = quoted(&format!("{name}_meta"));
        let rows = server.read(&format!("SELECT incarnation FROM {meta}"), &[]).await?;
        let row =
            rows.first().ok_or_else(|| Error::corrupt(format!("the table {meta} is empty")))?;
        let incarnation = column::<i64>(row, 0)?.cast_unsigned();
        let (sql, publishers) = (Statements::new(&name, now), lock_number(&name, "publishers"));
        Ok(Self { server, publisher, sql, name, incarnation, room, publishers })
    }

    pub(super) fn group(&self, id: i64) -> Group {
        Group { id, lock: lock_number(&self.name, &format!("group {id}")) }
    }

    pub(super) fn position(&self, seq: i64) -> Position {
        Position(format!("{:x}-{seq}", self.incarnation))
    }

    /// The number of the message at a position.
    async fn number_at(&self, Position(text): &Position) -> Result<i64> {
        let wrong = || Error::invalid("this is no position of this broker");
        let (incarnation, number) = text.split_once('-').ok_or_else(wrong)?;
        match u64::from_str_radix(incarnation, 16) {
            Ok(incarnation) if incarnation == self.incarnation => {}
            _ => return Err(wrong()),
        }
        let number: i64 = number.parse().ok().ok_or_else(wrong)?;
        let rows = self.server.read(&self.sql.last, &[]).await?;
        let last: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
        if (0..=last).contains(&number) { Ok(number) } else { Err(wrong()) }
    }

    /// Finds the group of a subscription or makes it, and has it cover the topics.
    pub(super) async fn join(&self, subscription: &Subscription) -> Result<Group> {
        let Covered { topics, words, patterns } = Covered::new(&subscription.topics);
        let (name, ordered) = (subscription.group.as_deref(), subscription.ordered);
        if name.is_some() {
            let find = &self.sql.find;
            let found =
                self.server.query(find, &[&name, &topics, &words, &patterns, &ordered]).await?;
            if let Some(row) = found.first() {
                return Ok(self.group(column(row, 0)?));
            }
        }
        let [by_number, by_time] = &self.sql.join;
        let number = match &subscription.start {
            Start::New | Start::Since(_) => None,
            Start::Beginning => Some(0),
            Start::After(position) => Some(self.number_at(position).await?),
        };
        let time = match &subscription.start {
            Start::Since(time) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                Some(UNIX_EPOCH + since.min(FAR))
            }
            _ => None,
        };
        let (sql, from): (_, &(dyn ToSql + Sync)) = match &time {
            Some(time) => (by_time, time),
            None => (by_number, &number),
        };
        let steps: &[(&str, Parameters<'_>)] = &[
            (LOCK, &[&self.publishers]),
            (sql, &[&name, &topics, &words, &patterns, &ordered, from]),
        ];
        let rows = self.server.at_once(Commit::Safe, steps).await?;
        let row = rows.last().and_then(|rows| rows.first());
        let row = row.ok_or_else(|| Error::internal("a group was not made"))?;
        Ok(self.group(column(row, 0)?))
    }

    /// Hands messages out. Also whether there are more to look at.
    pub(super) async fn take(&self, wanted: &Wanted) -> Result<(Vec<Found>, bool)> {
        let Wanted { group, most, is_hungry, token, deadline } = wanted;
        let (id, portion) = (group.id, number((*most).max(PORTION)));
        let (most, bytes) = (number(*most), number(LARGEST));
        let deadline = milliseconds(*deadline);
        let (lock, admit): (Parameters<'_>, Parameters<'_>) = (&[&group.lock], &[&id, &portion]);
        let take: Parameters<'_> = &[&id, &most, &bytes, token, &deadline];
        let lock = (LOCK, lock);
        let (admit, take) = ((self.sql.admit.as_str(), admit), (self.sql.take.as_str(), take));
        let (hungry, sated) = ([lock, admit, take], [lock, take]);
        let steps = if *is_hungry { hungry.as_slice() } else { &sated };
        let mut rows = self.server.at_once(Commit::Lazy, steps).await?;
        let taken = rows.pop().unwrap_or_default();
        let has_more = match rows.pop() {
            Some(admitted) if *is_hungry => column(admitted.first().ok_or_else(forgotten)?, 0)?,
            _ => true,
        };
        let mut found = Vec::with_capacity(taken.len());
        for row in &taken {
            let (topic, message) = rows::message(row)?;
            let attempt = u32::try_from(column::<i32>(row, 8)?).unwrap_or(1);
            let (seq, was, time) = (column(row, 7)?, column(row, 9)?, column(row, 10)?);
            found.push(Found { topic, message, seq, attempt, was, time });
        }
        found.sort_by_key(|found| (found.was, found.seq));
        Ok((found, has_more))
    }

    /// Has messages be as if they had never been handed out.
    pub(super) async fn release(
        &self,
        group: Group,
        token: i64,
        messages: &[(i64, SystemTime)],
    ) -> Result<()> {
        let (seqs, since): (Vec<i64>, Vec<SystemTime>) = messages.iter().copied().unzip();
        let steps: &[(&str, Parameters<'_>)] =
            &[(&self.sql.release, &[&group.id, &token, &seqs, &since])];
        self.server.at_once(Commit::Lazy, steps).await.map(drop)
    }

    /// Says that somebody takes part in a group. `false`: it is not there.
    pub(super) async fn is_alive(&self, group: Group) -> Result<bool> {
        let steps: &[(&str, Parameters<'_>)] = &[(&self.sql.alive, &[&group.id])];
        let rows = self.server.at_once(Commit::Lazy, steps).await?;
        Ok(rows.iter().any(|rows| !rows.is_empty()))
    }

    /// Forgets a group; one that was seen last at that time, if there is one.
    pub(super) async fn forget(&self, group: Group, seen: Option<SystemTime>) -> Result<()> {
        let [forget, pending] = &self.sql.forget;
        let steps: &[(&str, Parameters<'_>)] =
            &[(LOCK, &[&group.lock]), (forget, &[&group.id, &seen]), (pending, &[&group.id])];
        self.server.at_once(Commit::Safe, steps).await.map(drop)
    }

    /// Forgets the group of a name.
    pub(super) async fn forget_named(&self, name: &str) -> Result<()> {
        for row in &self.server.read(&self.sql.named, &[&name]).await? {
            self.forget(self.group(column(row, 0)?), None).await?;
        }
        Ok(())
    }

    pub(super) async fn destroy(&self) -> Result<()> {
        self.server.drop_tables(&self.name, TABLES).await
    }
}

/// What makes the tables of a binding.
fn create(name: &str) -> String {
    let beside = |what: &str| quoted(&format!("{name}_{what}"));
    let message = "data bytea NOT NULL, content_type text, headers json, key text COLLATE \"C\",
                   id text COLLATE \"C\", reply_to text";
    format!(
        "CREATE TABLE IF NOT EXISTS {log} (
             seq bigint PRIMARY KEY, topic text COLLATE \"C\" NOT NULL, time timestamptz NOT NULL,
             due timestamptz, total bigint NOT NULL, size bigint NOT NULL, {message}
         );
         ALTER TABLE {log} ALTER data SET STORAGE EXTERNAL;
         CREATE INDEX IF NOT EXISTS {times} ON {log} (time, seq);
         CREATE INDEX IF NOT EXISTS {ids} ON {log} (id, time) WHERE id IS NOT NULL;
         CREATE TABLE IF NOT EXISTS {groups} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             name text COLLATE \"C\" UNIQUE, topics text[] NOT NULL,
             words text[] COLLATE \"C\" NOT NULL, patterns text[] NOT NULL,
             ordered boolean NOT NULL, cursor bigint NOT NULL, seen timestamptz NOT NULL
         );
         CREATE TABLE IF NOT EXISTS {pending} (
             grp bigint NOT NULL, seq bigint NOT NULL, visible timestamptz NOT NULL,
             attempts integer NOT NULL, token bigint, topic text COLLATE \"C\" NOT NULL,
             key text COLLATE \"C\", PRIMARY KEY (seq, grp)
         );
         CREATE INDEX IF NOT EXISTS {due} ON {pending} (grp, visible, seq);
         CREATE INDEX IF NOT EXISTS {keys} ON {pending} (grp, topic, key, seq)
             WHERE key IS NOT NULL;
         CREATE UNLOGGED TABLE IF NOT EXISTS {inboxes} (
             name text COLLATE \"C\" PRIMARY KEY, ends timestamptz NOT NULL,
             places bigint NOT NULL, room bigint NOT NULL
         );
         CREATE UNLOGGED TABLE IF NOT EXISTS {replies} (
             nr bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             inbox text COLLATE \"C\" NOT NULL, topic text NOT NULL, {message}
         );
         CREATE INDEX IF NOT EXISTS {inbox} ON {replies} (inbox, nr);
         CREATE TABLE IF NOT EXISTS {meta} (
             layout integer PRIMARY KEY, incarnation bigint NOT NULL, swept bigint NOT NULL,
             removed bigint NOT NULL, tidied timestamptz
         );
         INSERT INTO {meta} SELECT {LAYOUT}, {incarnation}, 0, 0
         WHERE NOT EXISTS (SELECT FROM {meta})",
        log = quoted(name),
        times = beside("times"),
        ids = beside("ids"),
        groups = beside("groups"),
        pending = beside("pending"),
        due = beside("due"),
        keys = beside("keys"),
        inboxes = beside("inboxes"),
        replies = beside("replies"),
        inbox = beside("inbox"),
        meta = beside("meta"),
        incarnation = base::incarnation().cast_signed(),
    )
}
