//! The statements, as text for one binding's tables.
//!
//! Messages are numbered in the order in which they are published: who publishes holds a lock until
//! that has taken effect, so behind a message that can be seen none comes later with a lower
//! number. A group has come up to its cursor, and what it is not done with before that are rows of
//! their own. Times are the database's.

use connect::postgres::quoted;

/// What every connection is told first: every statement reaches its rows through an index, in its
/// order, however large or small the tables were when it was planned.
pub(super) const SESSION: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; \
     SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
     SET plan_cache_mode = force_generic_plan; \
     SET default_transaction_isolation = 'read committed'";

/// The time by the database's clock, once a statement has begun.
pub(super) const NOW: &str = "statement_timestamp()";

/// Takes a lock until the transaction ends.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock($1::bigint)";

/// What the tables of today hold.
pub(super) const LAYOUT: i32 = 1;

/// What is behind the binding's name in the names of its tables.
pub(super) const TABLES: &[&str] = &["", "_groups", "_pending", "_inboxes", "_replies", "_meta"];

/// So many messages are looked at in one go, whomever they are for.
const AHEAD: u32 = 1024;
/// With so many messages that could be handed out but for others of their key, a group goes no
/// further.
const BEHIND: u32 = 4096;
/// So long an id is known, in SQL.
const WINDOW: &str = "interval '120 s'";

/// The columns in which a message is, as they are read: see `rows`.
const MESSAGE: &str = "topic, data, content_type, headers::text, key, id, reply_to";

/// The statements on one binding's tables, for connections that run [`SESSION`].
pub(super) struct Statements {
    pub(super) publish: String,
    pub(super) admit: String,
    pub(super) take: String,
    pub(super) release: String,
    pub(super) settle: String,
    pub(super) find: String,
    /// By where they begin: with what is new, or a number; or a time.
    pub(super) join: [String; 2],
    pub(super) last: String,
    pub(super) alive: String,
    pub(super) named: String,
    pub(super) forget: [String; 2],
    pub(super) topics: String,
    pub(super) listen: String,
    pub(super) reply: String,
    pub(super) replies: String,
    pub(super) leave: String,
    pub(super) stale: String,
    pub(super) old: String,
    pub(super) remove: String,
    pub(super) behind: String,
    pub(super) claim: String,
    pub(super) tidy: [String; 2],
}

/// The tables, as SQL names them, and what stands for the time.
struct Names<'a> {
    log: String,
    groups: String,
    pending: String,
    inboxes: String,
    replies: String,
    meta: String,
    now: &'a str,
}

impl<'a> Names<'a> {
    fn new(name: &str, now: &'a str) -> Self {
        let beside = |what: &str| quoted(&format!("{name}_{what}"));
        Self {
            log: quoted(name),
            groups: beside("groups"),
            pending: beside("pending"),
            inboxes: beside("inboxes"),
            replies: beside("replies"),
            meta: beside("meta"),
            now,
        }
    }

    /// The number of the last message, whether it is still there or not.
    fn last(&self) -> String {
        let Self { log, meta, .. } = self;
        format!(
            "(SELECT greatest((SELECT seq FROM {log} ORDER BY seq DESC LIMIT 1), swept) \
             FROM {meta})"
        )
    }
}

impl Statements {
    /// Those for the tables called `name`, with an expression of SQL for the time.
    pub(super) fn new(name: &str, now: &str) -> Self {
        let names = Names::new(name, now);
        let Names { groups, pending, inboxes, replies, meta, .. } = &names;
        let last = names.last();
        Self {
            publish: publish(&names),
            admit: admit(&names),
            take: take(&names),
            release: release(&names),
            settle: settle(&names),
            find: format!(
                "UPDATE {groups} SET topics = $2, words = $3, patterns = $4, ordered = $5,
                        seen = {now}
                 WHERE name = $1 RETURNING id"
            ),
            join: joins(&names),
            last: format!("SELECT {last}"),
            alive: format!("UPDATE {groups} SET seen = {now} WHERE id = $1 RETURNING id"),
            named: format!("SELECT id FROM {groups} WHERE name = $1"),
            forget: [
                format!(
                    "DELETE FROM {groups} WHERE id = $1 AND seen = coalesce($2::timestamptz, seen)"
                ),
                format!(
                    "DELETE FROM {pending} p
                     WHERE grp = $1 AND NOT EXISTS (SELECT FROM {groups} WHERE id = $1)"
                ),
            ],
            topics: format!("SELECT topics FROM {groups}"),
            listen: format!(
                "INSERT INTO {inboxes} (name, ends, places, room)
                 VALUES ($1, {now} + $2::float8 * interval '1 ms', $3, $4)"
            ),
            reply: reply(&names),
            replies: format!(
                "WITH gone AS (DELETE FROM {replies} WHERE inbox = $1 RETURNING *)
                 SELECT {MESSAGE}, (SELECT room FROM {inboxes} WHERE name = $1), nr
                 FROM (SELECT) one LEFT JOIN gone ON true ORDER BY nr"
            ),
            leave: format!(
                "WITH gone AS (DELETE FROM {inboxes} WHERE name = $1)
                 DELETE FROM {replies} WHERE inbox = $1"
            ),
            stale: format!(
                "SELECT id, seen FROM {groups}
                 WHERE seen < {now} - CASE WHEN name IS NULL THEN $1::float8 ELSE $2::float8 END
                                      * interval '1 ms'"
            ),
            old: old(&names),
            remove: remove(&names),
            behind: format!(
                "SELECT name FROM {groups} g WHERE name IS NOT NULL
                 ORDER BY least(cursor, (SELECT min(seq) FROM {pending} WHERE grp = g.id)) LIMIT 1"
            ),
            claim: format!(
                "UPDATE {meta} SET tidied = {now}
                 WHERE tidied IS NULL OR tidied < {now} - $1::float8 * interval '1 ms'
                 RETURNING 1"
            ),
            tidy: [
                format!("DELETE FROM {inboxes} WHERE ends < {now}"),
                format!(
                    "DELETE FROM {replies} r
                     WHERE NOT EXISTS (SELECT FROM {inboxes} WHERE name = r.inbox)"
                ),
            ],
        }
    }
}

/// Publishes messages in the order in which they are given: topics, contents, types, headers, keys,
/// ids, topics for replies, delays, sizes, and whether they are taken in although there is no room,
/// which is `$11` bytes. A row for each: whether it was published, and its number; or the number of
/// the one that was published before with its id; or neither, where there is no room. Under the
/// lock of publishers.
///
/// The times of messages never go back, so that a time stands for a place in the log; where the
/// clock was put back nobody waits for it to come there again.
fn publish(names: &Names<'_>) -> String {
    let Names { log, meta, now, .. } = names;
    let newest = |column: &str| format!("(SELECT {column} FROM {log} ORDER BY seq DESC LIMIT 1)");
    format!(
        "WITH last AS MATERIALIZED (
             SELECT {last} AS seq, coalesce({total}, removed) AS total, removed,
                    greatest({time}, {now}) AS now
             FROM {meta}
         ), said AS MATERIALIZED (
             SELECT n, size, beyond,
                    CASE WHEN id IS NOT NULL THEN (
                        SELECT seq FROM {log} l
                        WHERE l.id = s.id AND l.time > (SELECT now FROM last) - {WINDOW}
                        ORDER BY l.time DESC LIMIT 1
                    ) END AS known,
                    id IS NOT NULL AND row_number() OVER (PARTITION BY id ORDER BY n) > 1 AS again
             FROM unnest($6::text[], $9::bigint[], $10::boolean[])
                  WITH ORDINALITY AS s (id, size, beyond, n)
         ), new AS (
             SELECT *, known IS NULL AND NOT again AS is_new,
                    sum(size) FILTER (WHERE known IS NULL AND NOT again) OVER (ORDER BY n)
                        AS running
             FROM said
         ), fit AS (
             SELECT new.*, is_new AND (beyond OR $11::bigint IS NULL
                                       OR total - removed + running <= $11) AS fits
             FROM new, last
         ), placed AS MATERIALIZED (
             SELECT n, fits, again, known, size, now,
                    seq + count(*) FILTER (WHERE fits) OVER before AS seq,
                    total + coalesce(sum(size) FILTER (WHERE fits) OVER before, 0) AS total
             FROM fit, last WINDOW before AS (ORDER BY n)
         ), put AS (
             INSERT INTO {log} (seq, topic, time, due, total, size, data, content_type, headers,
                                key, id, reply_to)
             SELECT seq, ($1::text[])[n], now, {now} + ($8::float8[])[n] * interval '1 ms',
                    total, size, ($2::bytea[])[n], ($3::text[])[n], (($4::text[])[n])::json,
                    ($5::text[])[n], ($6::text[])[n], ($7::text[])[n]
             FROM placed WHERE fits
         )
         SELECT fits, CASE WHEN fits THEN seq
                           WHEN again AND known IS NULL
                           THEN max(seq) FILTER (WHERE fits) OVER (PARTITION BY ($6::text[])[n])
                           ELSE known END
         FROM placed ORDER BY n",
        last = names.last(),
        total = newest("total"),
        time = newest("time"),
    )
}

/// Has the group `$1` look at the log until it has found `$2` messages that are for it. Whether
/// there are more to look at; no row where the group is not there. Under the group's lock.
fn admit(names: &Names<'_>) -> String {
    let Names { log, groups, pending, now, .. } = names;
    format!(
        "WITH g AS MATERIALIZED (
             SELECT cursor, words, patterns,
                    greatest(cursor, (SELECT seq FROM {log} ORDER BY seq DESC LIMIT 1)) AS last,
                    (SELECT count(*) FROM (
                         SELECT FROM {pending} WHERE grp = $1 AND visible <= {now} LIMIT {BEHIND}
                     ) ready) < {BEHIND} AS goes
             FROM {groups} WHERE id = $1
         ), mine AS MATERIALIZED (
             SELECT l.seq, l.topic, l.key, coalesce(l.due, least(l.time, {now})) AS visible
             FROM g, LATERAL (
                 SELECT * FROM {log} l
                 WHERE l.seq > g.cursor AND l.seq <= g.cursor + {AHEAD}
                   AND (l.topic = ANY (g.words) OR l.topic ~ ANY (g.patterns))
                 ORDER BY l.seq LIMIT $2::bigint
             ) l WHERE g.goes
         ), aim AS MATERIALIZED (
             SELECT cursor AS before, last, goes,
                    CASE WHEN NOT goes THEN cursor
                         WHEN (SELECT count(*) FROM mine) >= $2::bigint
                         THEN (SELECT max(seq) FROM mine)
                         ELSE least(cursor + {AHEAD}, last) END AS cursor
             FROM g
         ), moved AS (
             UPDATE {groups} SET cursor = aim.cursor, seen = {now}
             FROM aim WHERE id = $1 AND aim.cursor > before
         ), put AS (
             INSERT INTO {pending} (grp, seq, visible, attempts, topic, key)
             SELECT $1, seq, visible, 0, topic, key FROM mine
         )
         SELECT goes AND cursor < last FROM aim"
    )
}

/// Hands out at most `$2` messages to the group `$1`, and but for a first one `$3` bytes of them,
/// under the token `$4`, for `$5` milliseconds. Under the group's lock.
///
/// In an ordered group one waits for another of its key that is out; then for those that were out
/// before, and then for those with a lower number.
fn take(names: &Names<'_>) -> String {
    let Names { log, groups, pending, now, .. } = names;
    format!(
        "WITH due AS MATERIALIZED (
             SELECT p.seq, p.visible AS was, l.size
             FROM {pending} p JOIN {log} l ON l.seq = p.seq
             WHERE p.grp = $1 AND p.visible <= {now}
               AND (p.key IS NULL OR NOT (SELECT ordered FROM {groups} WHERE id = $1)
                    OR NOT EXISTS (
                 SELECT FROM {pending} q
                 WHERE q.grp = $1 AND q.topic = p.topic AND q.key = p.key AND q.seq <> p.seq
                   AND CASE WHEN q.token IS NOT NULL AND q.visible > {now} THEN true
                            WHEN (q.attempts > 0) <> (p.attempts > 0) THEN q.attempts > 0
                            ELSE q.seq < p.seq AND (q.attempts > 0 OR q.visible <= {now}) END
               ))
             ORDER BY p.visible, p.seq LIMIT $2::bigint FOR UPDATE OF p SKIP LOCKED
         ), fit AS MATERIALIZED (
             SELECT seq, was
             FROM (SELECT *, sum(size) OVER (ORDER BY was, seq) - size AS before FROM due) summed
             WHERE before < $3::bigint
         )
         UPDATE {pending} p
         SET attempts = p.attempts + 1, token = $4::bigint,
             visible = {now} + $5::float8 * interval '1 ms'
         FROM fit JOIN {log} l ON l.seq = fit.seq
         WHERE p.seq = fit.seq AND p.grp = $1
         RETURNING l.topic, l.data, l.content_type, l.headers::text, l.key, l.id, l.reply_to,
                   p.seq, p.attempts, fit.was, l.time"
    )
}

/// Has messages `$3` of the group `$1` that are out under the token `$2` be as if they had never
/// been, each since `$4`.
fn release(names: &Names<'_>) -> String {
    let Names { pending, .. } = names;
    format!(
        "UPDATE {pending} p SET attempts = p.attempts - 1, token = NULL, visible = r.was
         FROM unnest($3::bigint[], $4::timestamptz[]) AS r (seq, was)
         WHERE p.grp = $1 AND p.seq = r.seq AND p.token = $2"
    )
}

/// Takes verdicts: groups, numbers, tokens, whether they are done with; whether they stay out; and
/// for how long, or for how long not to come. Of each whether it was heard, or its group is gone.
fn settle(names: &Names<'_>) -> String {
    let Names { groups, pending, now, .. } = names;
    format!(
        "WITH said AS MATERIALIZED (
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[],
                                  $5::boolean[], $6::float8[])
                           WITH ORDINALITY AS s (grp, seq, token, is_done, stays, pause, n)
         ), done AS (
             DELETE FROM {pending} p USING said s
             WHERE s.is_done AND p.seq = s.seq AND p.grp = s.grp AND p.token = s.token
             RETURNING s.n
         ), put AS (
             UPDATE {pending} p
             SET visible = {now} + s.pause * interval '1 ms',
                 token = CASE WHEN s.stays THEN p.token END
             FROM said s
             WHERE NOT s.is_done AND p.seq = s.seq AND p.grp = s.grp AND p.token = s.token
             RETURNING s.n
         ), heard AS MATERIALIZED (
             SELECT n FROM done UNION ALL SELECT n FROM put
         )
         SELECT n = ANY (ARRAY(SELECT n FROM heard))
                OR NOT EXISTS (SELECT FROM {groups} WHERE id = s.grp)
         FROM said s ORDER BY n"
    )
}

/// Makes a group that begins behind a number, or with what is new where there is none; or with what
/// was published at a time or later. One that is there gets its topics. Under the lock of
/// publishers.
fn joins(names: &Names<'_>) -> [String; 2] {
    let Names { log, groups, now, .. } = names;
    let last = names.last();
    let join = |cursor: &str| {
        format!(
            "INSERT INTO {groups} (name, topics, words, patterns, ordered, cursor, seen)
             SELECT $1::text, $2::text[], $3::text[], $4::text[], $5::boolean,
                    coalesce({cursor}, {last}), {now}
             ON CONFLICT (name) DO UPDATE
             SET topics = excluded.topics, words = excluded.words, patterns = excluded.patterns,
                 ordered = excluded.ordered, seen = excluded.seen
             RETURNING id"
        )
    };
    let since = format!(
        "(SELECT seq - 1 FROM {log} WHERE time >= $6::timestamptz ORDER BY time, seq LIMIT 1)"
    );
    [join("$6::bigint"), join(&since)]
}

/// Hands a reply to whoever waits for it at `$1`, as long as it takes any: the columns of a message
/// without its topic, and its size.
fn reply(names: &Names<'_>) -> String {
    let Names { inboxes, replies, now, .. } = names;
    format!(
        "WITH open AS (
             UPDATE {inboxes} SET room = room - $8::bigint, places = places - 1
             WHERE name = $1 AND ends > {now} AND places > 0 AND room >= 0
             RETURNING room
         )
         INSERT INTO {replies} (inbox, topic, data, content_type, headers, key, id, reply_to)
         SELECT $1, '', $2::bytea, $3::text, $4::text::json, $5::text, $6::text, $7::text
         FROM open WHERE room >= 0"
    )
}

/// Finds some messages that every group is done with and that are older than `$1` milliseconds.
/// One with an id stays as long as that is known.
fn old(names: &Names<'_>) -> String {
    let Names { log, groups, pending, now, .. } = names;
    format!(
        "SELECT seq FROM (
             SELECT seq, sum(size) OVER (ORDER BY time, seq) - size AS before
             FROM (
                 SELECT seq, time, size FROM {log} l
                 WHERE time < {now} - $1::float8 * interval '1 ms'
                   AND seq <= coalesce((SELECT min(cursor) FROM {groups}), 9223372036854775807)
                   AND (id IS NULL OR time < {now} - {WINDOW})
                   AND NOT EXISTS (SELECT FROM {pending} p WHERE p.seq = l.seq)
                 ORDER BY time, seq LIMIT 512
             ) found
         ) summed WHERE before < 67108864"
    )
}

/// Removes those of the messages `$1` that every group is still done with; how many. Under the lock
/// of publishers, as no group may begin meanwhile.
fn remove(names: &Names<'_>) -> String {
    let Names { log, groups, pending, meta, .. } = names;
    format!(
        "WITH gone AS (
             DELETE FROM {log} l
             WHERE seq = ANY ($1::bigint[])
               AND seq <= coalesce((SELECT min(cursor) FROM {groups}), 9223372036854775807)
               AND NOT EXISTS (SELECT FROM {pending} p WHERE p.seq = l.seq)
             RETURNING seq, size
         ), kept AS (
             UPDATE {meta} SET swept = greatest(swept, last), removed = removed + sizes
             FROM (SELECT max(seq) AS last, sum(size) AS sizes FROM gone) all_gone
             WHERE last IS NOT NULL
         )
         SELECT count(*) FROM gone"
    )
}
