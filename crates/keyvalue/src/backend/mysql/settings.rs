//! The settings of a binding in MySQL or MariaDB, and what the live server adds to its offer.

use crate::Best;
use crate::{Emulated, Levels, Offer, tables};
use base::offer::{Atomicity, Consistency, Durability, Fence, List, Ttl, Watch};
use base::{Backend as _, Error, Place, Result};
use connect::mysql::{Mysql as Server, Settings, column};
use connect::names;
use connect::tls::Trust;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The most bytes of a table's name: an identifier has 64, and there are `_fences` besides.
const LONGEST_NAME: usize = 54;

/// So much of a packet is not the value.
const OVERHEAD: usize = 64 << 10;

/// What every connection is told first. Times are counted in UTC; what a column cannot hold is an
/// error; and nothing is locked but rows that are there.
const SESSION: &[&str] = &[
    "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES', autocommit = 1",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
];

/// What it offers at most.
pub(in crate::backend) const BEST: Best = Best {
    backend: Mysql::NAME,
    levels: Levels {
        durability: Durability::Fsync,
        atomicity: Atomicity::Binding,
        ttl: Ttl::Milliseconds,
        list: List::Ordered,
        watch: Watch::Resumable,
        fence: Fence::SingleNode,
        consistency: Consistency::Primary,
    },
    lowered: &[(
        "durability",
        "os-buffer unless `innodb_flush_log_at_trx_commit = 1`, and `sync_binlog = 1` where there \
         is a binary log; none with 0",
    )],
    emulated: &[WATCH, TTL],
};

const WATCH: Emulated = Emulated {
    ability: "watch",
    how: "writes belong to epochs, which are read once all of their writes have ended, ten times a \
          second at least",
};

const TTL: Emulated = Emulated {
    ability: "ttl",
    how: "its end is kept beside the value and judged by the database's clock",
};

/// `mysql:` — entries in a table of MariaDB or MySQL.
///
/// Needs MariaDB 10.6 or MySQL 8.0, and the right to create tables where the binding's are not
/// there yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mysql {
    /// `mysql://[user[:password]@]host[:port]/database[?ssl-mode=…]`, where `ssl-mode` is
    /// `disabled` (the default without `ca`) or `required`; a server's certificate is always
    /// verified
    pub url: String,
    /// The table. Others, with `_epochs`, `_fences` and `_meta` behind the name, come with it.
    /// Default `"wharf_<app>_<binding>"`.
    #[serde(default)]
    pub table: Option<String>,
    /// The file of the certificate authorities that are trusted with TLS, in PEM. Default: the
    /// system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The file of the certificate to show to a server that asks for one, in PEM.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// The file of its private key, in PEM.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// How long deletions are remembered for watchers that come back. Default `"10m"`.
    #[serde(
        default = "tables::usual_retention",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub retention: Duration,
    /// The most connections of this host. Default `16`.
    #[serde(default = "connect::gate::usual_connections")]
    pub connections: usize,
    /// How long a call may take. Default `"5s"`.
    #[serde(
        default = "connect::gate::usual_timeout",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub timeout: Duration,
    /// How many calls are on their way at once, or wait for a connection. Default `1024`.
    #[serde(default = "connect::gate::usual_in_flight")]
    pub in_flight: usize,
}

/// What the live server says of itself.
pub(super) struct Probed {
    pub(super) offer: Offer,
    /// The most bytes of values in one statement.
    pub(super) portion: usize,
}

impl Mysql {
    /// What can be said without the server.
    pub(super) fn verify(&self) -> Result<()> {
        if self.connections == 0 {
            return Err(Error::invalid("there is at least one connection"));
        }
        names::check_table(self.table.as_deref(), LONGEST_NAME)?;
        connect::mysql::check(&self.url, self.ca.is_some())
    }

    /// The name of the binding's table.
    pub(super) fn name(&self, place: &Place) -> Result<String> {
        names::table(self.table.as_deref(), "wharf", place, LONGEST_NAME)
    }

    /// The way to the server, over which nothing went yet.
    pub(super) fn connection(&self, place: &Place) -> Result<Server> {
        let Self { ca, certificate, key, .. } = self;
        let trust =
            Trust::read(&place.base, ca.as_deref(), certificate.as_deref(), key.as_deref())?;
        Server::new(&Settings {
            url: self.url.clone(),
            trust,
            connections: self.connections,
            timeout: self.timeout,
            in_flight: self.in_flight,
            session: SESSION,
        })
    }
}

/// What the server can do.
pub(super) async fn probe(server: &Server) -> Result<Probed> {
    let sql = "SELECT VERSION(), @@GLOBAL.read_only, @@GLOBAL.innodb_flush_log_at_trx_commit,
                      @@GLOBAL.log_bin, @@GLOBAL.sync_binlog, @@SESSION.binlog_format,
                      CAST(@@GLOBAL.max_allowed_packet AS UNSIGNED)";
    let mut rows = server.recognised(server.rows(sql, &[]).await).await?;
    let row = rows.first_mut();
    let row = row.ok_or_else(|| Error::corrupt("the server said nothing of itself"))?;
    let version: String = column(row, 0)?;
    let (name, number) = admit(&version, server.server())?;
    if column::<i64>(row, 1)? != 0 {
        return Err(Error::unavailable(format!("{} is a read-only replica", server.server()))
            .with_hint("name its primary"));
    }
    let has_log = column::<i64>(row, 3)? != 0;
    if has_log && column::<String>(row, 5)? == "STATEMENT" {
        return Err(Error::unsupported(format!(
            "{} writes statements to its binary log, which other servers would answer in their \
             own way",
            server.server()
        ))
        .with_hint("set its binlog_format to ROW or MIXED"));
    }
    // Locks hold on one node of it, so of two that write neither would know.
    if !server
        .rows("SHOW VARIABLES WHERE Variable_name = 'wsrep_on' AND Value = 'ON'", &[])
        .await?
        .is_empty()
    {
        return Err(Error::unsupported(format!("{} is a node of Galera", server.server()))
            .with_hint("name a server that is not, or use another backend"));
    }
    let durability = match (column::<i64>(row, 2)?, has_log, column::<i64>(row, 4)?) {
        (0, ..) => Durability::None,
        (2, ..) => Durability::OsBuffer,
        // What is not in the log after a loss of power is rolled back.
        (_, true, sync) if sync != 1 => Durability::OsBuffer,
        _ => Durability::Fsync,
    };
    let packet = usize::try_from(column::<u64>(row, 6)?).unwrap_or(usize::MAX);
    let offer = Offer {
        backend: format!("{name} {number}").into(),
        levels: Levels { durability, ..BEST.levels },
        max_key: Offer::MAX_KEY,
        max_value: Offer::MAX_VALUE.min(packet.saturating_sub(OVERHEAD)),
        emulated: BEST.emulated.to_vec(),
    };
    Ok(Probed { offer, portion: tables::PORTION.min(packet / 2) })
}

/// The server's name and number, if it can keep the entries.
fn admit<'a>(version: &'a str, server: &str) -> Result<(&'static str, &'a str)> {
    // An old habit of MariaDB's: it says 5.5.5 first.
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let number = version.split('-').next().unwrap_or_default();
    let (name, needed) = match version.contains("MariaDB") {
        true => ("mariadb", (10, 6)),
        false => ("mysql", (8, 0)),
    };
    if connect::version::is_older(number, needed) {
        return Err(connect::version::too_old(&format!("{server} is {name} {number}"), needed));
    }
    Ok((name, number))
}

#[cfg(test)]
mod tests {
    use super::admit;
    use base::Kind;

    #[test]
    fn a_server_that_is_too_old_is_refused_with_what_is_needed() {
        for (old, words) in [
            ("8.0.36", None),
            ("8.4.0-log", None),
            ("10.6.0-MariaDB", None),
            ("11.4.2-MariaDB-log", None),
            ("5.5.5-10.6.16-MariaDB", None),
            ("5.7.44-log", Some("h is mysql 5.7.44, and 8.0 is needed")),
            ("10.5.23-MariaDB", Some("h is mariadb 10.5.23, and 10.6 is needed")),
            ("5.5.5-10.5.23-MariaDB", Some("h is mariadb 10.5.23, and 10.6 is needed")),
        ] {
            let refused = admit(old, "h").err();
            assert_eq!(refused.as_ref().map(ToString::to_string).as_deref(), words, "{old}");
            assert!(refused.is_none_or(|it| it.kind() == Kind::Unsupported), "{old}");
        }
        assert_eq!(admit("5.5.5-10.11.6-MariaDB-1", "h").unwrap(), ("mariadb", "10.11.6"));
    }
}
