//! The tables of a binding: found, or made once for all hosts.

use super::{Postgres, column};
use base::{Error, Kind, Result};

/// A name as SQL takes it, whatever it is made of.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The number of a lock of the server's that stands for `what` of a table.
pub fn lock_number(table: &str, what: &str) -> i64 {
    let hash = crate::names::digest(table.bytes().chain([0]).chain(what.bytes()));
    i64::from_be_bytes(hash.to_be_bytes())
}

/// The statement that takes the lock under which the tables beside `name` are made and dropped.
fn lock(name: &str) -> String {
    format!("SELECT pg_advisory_xact_lock({})", lock_number(name, ""))
}

impl Postgres {
    /// Finds the tables beside `name`, or makes them with the statements `make`. One of them,
    /// `<name>_meta`, says in its column `layout` what they hold.
    ///
    /// # Errors
    /// `Unsupported` where another version made them; as [`query`](Self::query).
    pub async fn find_or_make(&self, name: &str, layout: i32, make: &str) -> Result<()> {
        let found = match self.layout(name).await {
            Err(error) if error.kind() == Kind::NotFound => {
                self.script(&format!("{}; {make}", lock(name))).await?;
                self.layout(name).await?
            }
            found => found?,
        };
        if found == layout {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "the table {} has layout {found}, and this program knows {layout}",
            quoted(name)
        ))
        .with_hint("it was made by another version of Wharf: use that, or another `table`"))
    }

    async fn layout(&self, name: &str) -> Result<i32> {
        let meta = quoted(&format!("{name}_meta"));
        let rows = self.read(&format!("SELECT layout FROM {meta}"), &[]).await?;
        let row =
            rows.first().ok_or_else(|| Error::corrupt(format!("the table {meta} is empty")))?;
        column(row, 0)
    }

    /// Drops tables beside `name`, with these behind the name; those that are there.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn drop_tables(&self, name: &str, suffixes: &[&str]) -> Result<()> {
        let tables = suffixes.iter().map(|suffix| quoted(&format!("{name}{suffix}")));
        let tables: Vec<String> = tables.collect();
        self.script(&format!("{}; DROP TABLE IF EXISTS {}", lock(name), tables.join(", "))).await
    }

    /// Runs statements under the lock under which the tables beside `name` are made; they take
    /// effect together.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn script_alone(&self, name: &str, sql: &str) -> Result<()> {
        self.script(&format!("{}; {sql}", lock(name))).await
    }
}
