//! The statements, as text for one binding's table.
//!
//! Times are microseconds since 1970 by the database's clock. What a write finds is judged by the
//! clock once it holds the row (`SYSDATE`), not when it began to wait for it (`NOW`).
//!
//! A write belongs to the newest epoch, whose row it locks, shared, until it has ended. So an epoch
//! that is no longer the newest, and whose row nobody locks, has all of its writes.

use std::time::Duration;

/// The statements on one table.
pub(super) struct Statements {
    pub(super) get: String,
    pub(super) versioned: String,
    pub(super) exists: String,
    pub(super) list: String,
    pub(super) put: String,
    pub(super) insert: String,
    pub(super) replace_nothing: String,
    pub(super) replace_version: String,
    pub(super) look: String,
    pub(super) change: String,
    pub(super) delete: String,
    pub(super) delete_version: String,
    pub(super) raise: String,
    pub(super) token: String,
    pub(super) over: String,
    pub(super) old: String,
    pub(super) horizon: String,
    pub(super) state: String,
    pub(super) changes: String,
    pub(super) next_epoch: String,
    pub(super) add_epoch: String,
    pub(super) close_epochs: String,
    table: String,
    epoch: String,
    mark: String,
}

const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', SYSDATE(6))";
/// The same for the whole of a statement, so that an index can be asked.
const BEGUN: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', NOW(6))";

/// A name as SQL takes it, whatever it is made of.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Whether a row is an entry: neither deleted nor over.
fn live() -> String {
    format!("value IS NOT NULL AND (ends IS NULL OR ends > {NOW})")
}

impl Statements {
    /// Those for the table `name`. A deletion leaves its mark for `retention`.
    pub(super) fn new(name: &str, retention: Duration) -> Self {
        let of = |suffix: &str| quoted(&format!("{name}{suffix}"));
        let (table, epochs, fences, meta) = (of(""), of("_epochs"), of("_fences"), of("_meta"));
        let live = live();
        let epoch = format!(
            "(SELECT number FROM {epochs} ORDER BY number DESC LIMIT 1 LOCK IN SHARE MODE)"
        );
        let mark = format!(
            "value = NULL, ends = {NOW} + {}, epoch = {epoch}, nth = {NOW}",
            retention.as_micros()
        );
        let get = |columns: &str| format!("SELECT {columns} FROM {table} WHERE k = ? AND {live}");
        // `? + NULL` is none, as the end of what stays.
        let set = format!("value = ?, version = ?, ends = {NOW} + ?, epoch = {epoch}, nth = {NOW}");
        let row = row(&epoch);
        let insert = format!("INSERT INTO {table} (k, value, version, ends, epoch, nth) VALUES");
        let delete = format!("UPDATE {table} SET {mark} WHERE k = ? AND {live}");
        let batch = |which: &str| {
            format!(
                "SELECT k, epoch FROM {table} WHERE ends <= {BEGUN} AND value IS {which} \
                 AND epoch <= ? ORDER BY ends LIMIT ? FOR UPDATE SKIP LOCKED"
            )
        };
        Self {
            get: get("value"),
            versioned: get("value, version"),
            exists: get("1"),
            list: format!(
                "SELECT k FROM {table} WHERE k >= ? AND k < ? AND {live} ORDER BY k LIMIT ?"
            ),
            put: put(&insert, &row, 1),
            insert: format!("{insert} {row}"),
            replace_nothing: format!("UPDATE {table} SET {set} WHERE k = ? AND NOT ({live})"),
            replace_version: format!(
                "UPDATE {table} SET {set} WHERE k = ? AND version = ? AND {live}"
            ),
            look: format!("SELECT value, version, ({live}) FROM {table} WHERE k = ? FOR UPDATE"),
            // Only `ends` stays where it is said to.
            change: format!(
                "UPDATE {table} SET value = ?, version = ?, ends = IF(?, ends, {NOW} + ?), \
                 epoch = {epoch}, nth = {NOW} WHERE k = ?"
            ),
            delete_version: format!("{delete} AND version = ?"),
            delete,
            raise: format!(
                "INSERT INTO {fences} (name, token) VALUES (?, ?) \
                 ON DUPLICATE KEY UPDATE token = GREATEST(token, VALUES(token))"
            ),
            token: format!("SELECT token FROM {fences} WHERE name = ? FOR UPDATE"),
            over: batch("NOT NULL"),
            old: batch("NULL"),
            horizon: format!("UPDATE {meta} SET horizon = GREATEST(horizon, ?)"),
            state: state(&table, &epochs, &meta),
            changes: changes(&table),
            next_epoch: format!(
                "SELECT CAST(GREATEST(MAX(number) + 1, {NOW}) AS UNSIGNED) FROM {epochs}"
            ),
            add_epoch: format!("INSERT INTO {epochs} (number) VALUES (?)"),
            close_epochs: format!("DELETE FROM {epochs} WHERE number < ?"),
            table,
            epoch,
            mark,
        }
    }

    /// Reads so many entries.
    pub(super) fn get_many(&self, number: usize) -> String {
        format!(
            "SELECT k, value FROM {} WHERE k IN ({}) AND {}",
            self.table,
            places("?", number),
            live()
        )
    }

    /// Writes so many entries, each of which is a key, a value, a version, and twice how long it
    /// lives.
    pub(super) fn set_many(&self, number: usize) -> String {
        let insert =
            format!("INSERT INTO {} (k, value, version, ends, epoch, nth) VALUES", self.table);
        put(&insert, &row(&self.epoch), number)
    }

    /// Leaves marks in the place of so many entries.
    pub(super) fn delete_many(&self, number: usize) -> String {
        let (keys, live) = (places("?", number), live());
        format!("UPDATE {} SET {} WHERE k IN ({keys}) AND {live}", self.table, self.mark)
    }

    /// Leaves marks in the place of so many entries that are over.
    pub(super) fn mark_many(&self, number: usize) -> String {
        let keys = places("?", number);
        format!("UPDATE {} SET {} WHERE k IN ({keys})", self.table, self.mark)
    }

    /// Removes so many marks.
    pub(super) fn forget_many(&self, number: usize) -> String {
        format!("DELETE FROM {} WHERE k IN ({})", self.table, places("?", number))
    }
}

fn places(one: &str, number: usize) -> String {
    vec![one; number].join(", ")
}

fn row(epoch: &str) -> String {
    format!("(?, ?, ?, {NOW} + ?, {epoch}, {NOW})")
}

/// Writes rows, whatever is there. They live as long from when they hold their row.
fn put(insert: &str, row: &str, number: usize) -> String {
    format!(
        "{insert} {} ON DUPLICATE KEY UPDATE value = VALUES(value), version = VALUES(version), \
         ends = VALUES(ends) + ({NOW} - CAST(VALUES(nth) AS SIGNED)), epoch = VALUES(epoch), \
         nth = {NOW}",
        places(row, number)
    )
}

/// Behind which epoch deletions are remembered; the newest epoch; whether it is the only one;
/// whether there are entries in it or behind the epoch `?`; whether some up to there are over.
fn state(table: &str, epochs: &str, meta: &str) -> String {
    format!(
        "SELECT m.horizon, (SELECT MAX(number) FROM {epochs}),
                (SELECT COUNT(*) FROM {epochs}) = 1,
                EXISTS (SELECT 1 FROM {table} WHERE epoch >= (SELECT MAX(number) FROM {epochs})),
                EXISTS (SELECT 1 FROM {table} WHERE epoch > ?),
                EXISTS (SELECT 1 FROM {table}
                        WHERE ends <= {BEGUN} AND value IS NOT NULL AND epoch <= ?)
         FROM {meta} m"
    )
}

/// What changed behind the epoch `?` and in it behind a place, up to an epoch: at most so many
/// changes and, but for a first one that is larger, so many bytes of values.
fn changes(table: &str) -> String {
    // Sizes are summed without the values, of which a server would make a table.
    format!(
        "SELECT t.epoch, t.nth, t.version, t.k, t.value FROM (
             SELECT k, SUM(size) OVER (ORDER BY epoch, nth, version) - size AS size_before
             FROM (
                 SELECT epoch, nth, version, k, COALESCE(LENGTH(value), 0) AS size FROM {table}
                 WHERE epoch >= ? AND epoch <= ?
                   AND (epoch > ? OR nth > ? OR (nth = ? AND LEFT(version, 7) > ?))
                 ORDER BY epoch, nth, version LIMIT ?
             ) found
         ) summed JOIN {table} t ON t.k = summed.k
         WHERE size_before < ? ORDER BY t.epoch, t.nth, t.version"
    )
}
