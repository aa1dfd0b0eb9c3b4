//! What a live server says of itself.

use super::{Postgres, column};
use base::offer::Durability;
use base::{Error, Result};

/// The oldest version that has all that is needed here, 13, as it counts them itself.
const OLDEST: i32 = 130_000;

/// A server that takes writes and is new enough.
#[derive(Debug)]
pub struct Probed {
    /// Its version, e.g. `15.18`.
    pub version: String,
    /// What survives when an acknowledged write meets a crash.
    pub durability: Durability,
    /// How its database writes text, e.g. `UTF8`.
    pub encoding: String,
}

impl Postgres {
    /// Asks the server what it is and what it keeps. Makes nothing there.
    ///
    /// # Errors
    /// `Invalid` of another kind of server, `Unsupported` of one that is too old, `Unavailable` of
    /// a standby; as [`read`](Self::read) besides.
    pub async fn probe(&self) -> Result<Probed> {
        let sql = "SELECT version(), current_setting('server_version_num')::integer,
                          current_setting('server_version'), pg_is_in_recovery(),
                          current_setting('fsync'), current_setting('synchronous_commit'),
                          current_setting('synchronous_standby_names'),
                          current_setting('server_encoding')";
        let rows = self.recognised(self.read(sql, &[]).await).await?;
        let row =
            rows.first().ok_or_else(|| Error::corrupt("the server said nothing of itself"))?;
        let version: &str = column(row, 2)?;
        let number = version.split(' ').next().unwrap_or_default();
        admit(column(row, 0)?, column(row, 1)?, number, self.server())?;
        if column(row, 3)? {
            return Err(Error::unavailable(format!("{} is a read-only standby", self.server()))
                .with_hint("name its primary, or all of them: postgres://one,other/…"));
        }
        let durability = match (column(row, 4)?, column(row, 5)?, column::<&str>(row, 6)?) {
            // A crash of the server itself loses what was acknowledged last.
            (_, "off", _) => Durability::None,
            ("off", _, _) => Durability::OsBuffer,
            (_, "on" | "remote_apply", names) if !names.trim().is_empty() => Durability::Replicated,
            _ => Durability::Fsync,
        };
        let encoding = column::<&str>(row, 7)?.to_owned();
        Ok(Probed { version: number.to_owned(), durability, encoding })
    }
}

/// Whether a server that calls itself this, and counts its version so, can do what is needed.
fn admit(full: &str, count: i32, number: &str, server: &str) -> Result<()> {
    if !full.starts_with("PostgreSQL") || full.contains("-YB-") {
        return Err(Error::unsupported(format!("{server} is no PostgreSQL: {full}")));
    }
    if count < OLDEST {
        return Err(Error::unsupported(format!("{server} is version {number}, and 13 is needed"))
            .with_hint("update the server to 13 or newer"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::admit;
    use base::Kind;

    #[test]
    fn a_server_that_is_too_old_is_refused_with_what_is_needed() {
        let refused = |full: &str, count, number: &str| {
            let refused = admit(full, count, number, "h").unwrap_err();
            assert_eq!(refused.kind(), Kind::Unsupported, "{refused}");
            refused.to_string()
        };
        for (full, count, number) in [
            ("PostgreSQL 13.0 on x86_64", 130_000, "13.0"),
            ("PostgreSQL 13.14 on x86_64", 130_014, "13.14"),
            ("PostgreSQL 18beta1 on x86_64", 180_000, "18beta1"),
        ] {
            admit(full, count, number, "h").unwrap();
        }
        let old = "h is version 12.22, and 13 is needed";
        assert_eq!(refused("PostgreSQL 12.22 on x86_64", 120_022, "12.22"), old);
        let yugabyte = "PostgreSQL 15.2-YB-2.25.0.0-b0 on x86_64";
        assert_eq!(refused(yugabyte, 150_002, "15.2"), format!("h is no PostgreSQL: {yugabyte}"));
        let other = "CockroachDB CCL v23.1.0";
        assert_eq!(refused(other, 130_000, "13.0.0"), format!("h is no PostgreSQL: {other}"));
    }
}
