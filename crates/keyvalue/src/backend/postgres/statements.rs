//! The statements, as text for one binding's table.
//!
//! Every one reaches its rows through an index. Times are the database's own. What a write finds
//! is judged by the clock once it holds the row, not when it began to wait for it.

use crate::Expect;
use connect::postgres::quoted;
use std::time::Duration;

/// The statements on one table, for connections that run [`SESSION`].
pub(super) struct Statements {
    pub(super) get: String,
    pub(super) versioned: String,
    pub(super) exists: String,
    pub(super) get_many: String,
    pub(super) list: String,
    set: [String; 3],
    increment: [String; 3],
    pub(super) set_many: String,
    delete: [String; 2],
    pub(super) delete_many: String,
    pub(super) raise: String,
    pub(super) token: String,
    pub(super) expire: String,
    pub(super) forget: String,
    pub(super) changes: String,
    pub(super) now: String,
}

/// What every connection is told first: a plan that was made while a table was small must not read
/// the whole of it when it is large. Whatever the planner makes of the cost of that, no statement
/// here is worth compiling.
pub(super) const SESSION: &str = "SET enable_seqscan = off; SET jit = off; \
                                  SET default_transaction_isolation = 'read committed'";

/// Which history of the write-ahead log the server is in: one that took over has a new one.
pub(super) const TIMELINE: &str =
    "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint";

impl Statements {
    /// Those for the table `name`. A deletion leaves its mark for `retention`.
    pub(super) fn new(name: &str, retention: Duration, timeline: &str) -> Self {
        let (table, fences) = (quoted(name), quoted(&format!("{name}_fences")));
        let meta = quoted(&format!("{name}_meta"));
        let live = live("t");
        let get = |columns: &str, key: &str| {
            format!("SELECT {columns} FROM {table} t WHERE {key} AND {live}")
        };
        Self {
            get: get("value", "key = $1"),
            versioned: get("value, version", "key = $1"),
            exists: get("1", "key = $1"),
            get_many: get(
                "key, CASE WHEN sum(octet_length(value)) OVER () <= $2 THEN value END",
                "key = ANY ($1)",
            ),
            list: get("key", "key >= $1 AND key < $2") + " ORDER BY key LIMIT $3",
            set: writes(&table, "$2", "$2", "clock_timestamp() + $4::float8 * interval '1 ms'", ""),
            increment: increments(&table),
            set_many: set_many(&table),
            delete: deletes(&table, retention),
            delete_many: delete_many(&table, retention),
            raise: format!(
                "INSERT INTO {fences} AS f (lock, token) VALUES ($1, $2::text::numeric)
                 ON CONFLICT (lock) DO UPDATE SET token = excluded.token
                 WHERE f.token <= excluded.token"
            ),
            token: format!("SELECT token::text FROM {fences} WHERE lock = $1"),
            expire: expire(&table, retention),
            forget: forget(&table, &meta),
            changes: changes(&table, &meta, timeline),
            now: format!("SELECT {timeline}, pg_current_snapshot()::text"),
        }
    }

    /// Writes `$2` under the key `$1` with the version `$3`, for `$4` milliseconds; with
    /// [`Expect::Version`] that is `$5`.
    pub(super) fn set(&self, expect: Option<&Expect>) -> &str {
        by_expectation(&self.set, expect)
    }

    /// Adds `$2` to the counter `$1`, and returns it; else as [`set`](Self::set).
    pub(super) fn increment(&self, expect: Option<&Expect>) -> &str {
        by_expectation(&self.increment, expect)
    }

    /// Deletes the key `$1`, of the version `$2` if one is expected.
    pub(super) fn delete(&self, expects_version: bool) -> &str {
        let [plain, version] = &self.delete;
        if expects_version { version } else { plain }
    }
}

fn by_expectation<'a>(forms: &'a [String; 3], expect: Option<&Expect>) -> &'a str {
    let [plain, absent, version] = forms;
    match expect {
        None => plain,
        Some(Expect::Absent) => absent,
        Some(Expect::Version(_)) => version,
    }
}

/// Whether a row is an entry: neither deleted nor over.
fn live(row: &str) -> String {
    format!("{row}.value IS NOT NULL AND ({row}.ends IS NULL OR {row}.ends > clock_timestamp())")
}

/// When the mark of a deletion may go.
fn mark_ends(retention: Duration) -> String {
    format!("clock_timestamp() + interval '{} ms'", retention.as_millis())
}

/// A write of one key in three forms: on whatever is there, on nothing, on a version.
fn writes(table: &str, new: &str, next: &str, ends: &str, suffix: &str) -> [String; 3] {
    let live = live("t");
    let set = |value: &str, ends: &str| {
        format!("value = {value}, version = $3, ends = {ends}, tx = pg_current_xact_id(), nth = 0")
    };
    let insert = format!(
        "INSERT INTO {table} AS t (key, value, version, ends, tx, nth)
         VALUES ($1, {new}, $3, clock_timestamp() + $4::float8 * interval '1 ms',
                 pg_current_xact_id(), 0)
         ON CONFLICT (key) DO UPDATE SET "
    );
    let on_nothing = set(new, "clock_timestamp() + $4::float8 * interval '1 ms'");
    let condition = if suffix.is_empty() { String::new() } else { format!(" WHERE {suffix}") };
    let and = if suffix.is_empty() { String::new() } else { format!(" AND ({suffix})") };
    let returning = if suffix.is_empty() { "" } else { " RETURNING encode(value, 'escape')" };
    [
        format!("{insert}{}{condition}{returning}", set(next, ends)),
        format!("{insert}{on_nothing} WHERE NOT ({live}){returning}"),
        format!(
            "UPDATE {table} t SET {} WHERE key = $1 AND version = $5 AND {live}{and}{returning}",
            set(next, ends)
        ),
    ]
}

fn increments(table: &str) -> [String; 3] {
    let live = live("t");
    let range = "BETWEEN -9223372036854775808 AND 9223372036854775807";
    let number = "encode(t.value, 'escape')";
    // In this order, because a value may be long and need be no number.
    let can_be_added_to = format!(
        "CASE WHEN NOT ({live}) THEN true
              WHEN octet_length(t.value) NOT BETWEEN 1 AND 20 THEN false
              WHEN {number} !~ '^(0|-?[1-9][0-9]*)$' THEN false
              WHEN {number}::numeric NOT {range} THEN false
              ELSE {number}::numeric + $2::bigint {range} END"
    );
    let new = "decode($2::bigint::text, 'escape')";
    let next = format!(
        "CASE WHEN {live} THEN decode(({number}::numeric + $2::bigint)::text, 'escape')
              ELSE {new} END"
    );
    let ends = format!(
        "CASE WHEN $4::float8 IS NULL AND {live} THEN t.ends
              ELSE clock_timestamp() + $4::float8 * interval '1 ms' END"
    );
    writes(table, new, &next, &ends, &can_be_added_to)
}

/// Writes `$2` under the keys `$1` with the versions `$3`, for `$4` milliseconds. They are the
/// `$5`th and following of their transaction.
fn set_many(table: &str) -> String {
    format!(
        "INSERT INTO {table} (key, value, version, ends, tx, nth)
         SELECT key, value, version, clock_timestamp() + $4::float8 * interval '1 ms',
                pg_current_xact_id(), $5::integer + number::integer
         FROM unnest($1::bytea[], $2::bytea[], $3::bytea[])
              WITH ORDINALITY AS entries (key, value, version, number)
         ON CONFLICT (key) DO UPDATE
         SET value = excluded.value, version = excluded.version,
             ends = clock_timestamp() + $4::float8 * interval '1 ms',
             tx = excluded.tx, nth = excluded.nth"
    )
}

fn deletes(table: &str, retention: Duration) -> [String; 2] {
    let (live, ends) = (live("t"), mark_ends(retention));
    let delete = format!(
        "UPDATE {table} t SET value = NULL, ends = {ends}, tx = pg_current_xact_id(), nth = 0
         WHERE key = $1 AND {live}"
    );
    [delete.clone(), delete + " AND version = $2"]
}

/// Takes the rows that `found` selects as keys, in an order that is the same for everybody, and
/// leaves marks in their place.
fn mark(table: &str, found: &str, retention: Duration) -> String {
    let ends = mark_ends(retention);
    format!(
        "WITH found AS ({found})
         UPDATE {table} t
         SET value = NULL, ends = {ends}, tx = pg_current_xact_id(), nth = numbered.number::integer
         FROM (SELECT key, row_number() OVER () AS number FROM found) numbered
         WHERE t.key = numbered.key"
    )
}

fn delete_many(table: &str, retention: Duration) -> String {
    let live = live("t");
    let found = format!(
        "SELECT key FROM {table} t WHERE key = ANY ($1) AND {live} ORDER BY key FOR UPDATE"
    );
    mark(table, &found, retention)
}

/// Marks at most `$1` entries that are over, so that watchers hear of it; only those that were
/// written before the transaction `$2`.
fn expire(table: &str, retention: Duration) -> String {
    let found = format!(
        "SELECT key FROM {table}
         WHERE ends <= statement_timestamp() AND value IS NOT NULL AND tx < $2::text::xid8
         ORDER BY ends LIMIT $1 FOR UPDATE SKIP LOCKED"
    );
    mark(table, &found, retention)
}

/// Removes at most `$1` marks that are old enough, and keeps in mind up to where; how many.
fn forget(table: &str, meta: &str) -> String {
    format!(
        "WITH old AS (
             SELECT key FROM {table}
             WHERE ends <= statement_timestamp() AND value IS NULL
             ORDER BY ends LIMIT $1 FOR UPDATE SKIP LOCKED
         ), gone AS (
             DELETE FROM {table} t USING old WHERE t.key = old.key RETURNING t.tx
         ), kept AS (
             UPDATE {meta} SET horizon = greatest(horizon, last.tx)
             FROM (SELECT tx FROM gone ORDER BY tx DESC LIMIT 1) last
         )
         SELECT count(*) FROM gone"
    )
}

/// What happened after the `$2`th change of the transaction `$1`, as far as every transaction up to
/// there has ended: at most `$3` changes and, but for a first one that is larger, `$4` bytes of
/// values. One row at least, for the places before and behind.
fn changes(table: &str, meta: &str, timeline: &str) -> String {
    format!(
        "SELECT {timeline}, m.horizon::text, pg_current_snapshot()::text,
                c.tx::text, c.nth, c.key, c.value, c.version
         FROM {meta} m LEFT JOIN LATERAL (
             SELECT * FROM (
                 SELECT *, sum(coalesce(octet_length(value), 0)) OVER (ORDER BY tx, nth)
                           - coalesce(octet_length(value), 0) AS before
                 FROM (
                     SELECT * FROM {table}
                     WHERE (tx, nth) > ($1::text::xid8, $2)
                       AND tx < pg_snapshot_xmin(pg_current_snapshot())
                     ORDER BY tx, nth LIMIT $3
                 ) next
             ) summed WHERE before < $4
         ) c ON true
         ORDER BY c.tx, c.nth"
    )
}
