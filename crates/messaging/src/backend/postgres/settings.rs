//! The settings of a binding in PostgreSQL, and what the live server adds to its offer.

use super::statements::SESSION;
use super::sweep::Retention;
use super::tables::Tables;
use crate::{Best, Emulated, Levels, Offer};
use base::offer::{
    Attempts, Dedup, Delay, Durability, Groups, Ordering, Redelivery, Replay, Reply, Wildcards,
};
use base::units::Size;
use base::{Backend as _, Error, Place, Result};
use connect::names;
use connect::postgres::{Postgres as Server, Settings};
use connect::tls::Trust;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The most bytes of a table's name: an identifier has 63, and there are `_inboxes` besides.
const LONGEST_NAME: usize = 54;

/// What it offers at most.
pub(in crate::backend) const BEST: Best = Best {
    backend: Postgres::NAME,
    levels: Levels {
        durability: Durability::Replicated,
        groups: Groups::Shared,
        wildcards: Wildcards::Words,
        redelivery: Redelivery::Deadline,
        attempts: Attempts::Group,
        retry: Delay::Milliseconds,
        delay: Delay::Milliseconds,
        replay: Replay::Log,
        dedup: Dedup::Window,
        ordering: Ordering::Topic,
        request: Reply::Inbox,
    },
    lowered: &[(
        "durability",
        "fsync without synchronous standbys, os-buffer with `fsync = off`, \
         none with `synchronous_commit = off`",
    )],
    emulated: &[REDELIVERY, REQUEST],
};

const REDELIVERY: Emulated = Emulated {
    ability: "redelivery",
    how: "deadlines and delays are kept beside messages and judged by the database's clock; what \
          other hosts published or gave back is looked for ten times a second at least",
};

const REQUEST: Emulated = Emulated {
    ability: "request",
    how: "replies are rows, which are looked for ten times a second at least",
};

/// `postgres:` — messages in tables of PostgreSQL.
///
/// Needs version 13 or newer, a database whose encoding is UTF8, and the right to create tables
/// where the binding's are not there yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Postgres {
    /// `postgres://[user[:password]@]host[:port][,host…]/database[?sslmode=…]`, where `sslmode` is
    /// `disable`, `prefer` (the default) or `require`; a server's certificate is always verified
    pub url: String,
    /// The table of messages. Others, with `_groups`, `_pending`, `_inboxes`, `_replies` and
    /// `_meta` behind the name, come with it. Default `"wharf_messaging_<app>_<binding>"`.
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
    /// Room for all messages together, at least `"64KiB"`. What every group is done with makes room
    /// for what comes; where there is none of it, publishing fails. Default: as much as the
    /// database has.
    #[serde(default)]
    pub max_size: Option<Size>,
    /// For how long a message is kept that every group is done with, for those that come later.
    /// Default `"1h"`.
    #[serde(default = "Postgres::hour", deserialize_with = "base::units::deserialize_duration")]
    pub max_age: Duration,
    /// After how long without a subscriber a group is forgotten; at least `"1m"`. Default `"30d"`.
    #[serde(default = "Postgres::month", deserialize_with = "base::units::deserialize_duration")]
    pub forget_groups: Duration,
    /// The most connections of this host; at least 2. Default `16`.
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

impl Postgres {
    fn hour() -> Duration {
        Duration::from_secs(3600)
    }

    fn month() -> Duration {
        Duration::from_secs(30 * 24 * 3600)
    }

    /// What can be said without the server.
    pub(super) fn verify(&self) -> Result<()> {
        if self.connections < 2 {
            return Err(Error::invalid("`connections` is at least 2: to publish, and to take"));
        }
        if self.max_size.is_some_and(|size| !(0x1_0000..1 << 62).contains(&size.0)) {
            return Err(Error::invalid("`max-size` is at least 64KiB"));
        }
        if self.max_age < Duration::from_secs(1) {
            return Err(Error::invalid("`max-age` is at least a second"));
        }
        if self.forget_groups < Duration::from_secs(60) {
            return Err(Error::invalid("`forget-groups` is at least 1m"));
        }
        names::check_table(self.table.as_deref(), LONGEST_NAME)?;
        connect::postgres::check(&self.url, self.ca.is_some())
    }

    pub(super) fn retention(&self) -> Retention {
        Retention { age: self.max_age, groups: self.forget_groups }
    }

    /// Finds the tables or makes them, and tells what the server behind them can do. `now` is SQL
    /// for the time.
    pub(super) async fn open_tables(&self, place: &Place, now: &str) -> Result<(Tables, Offer)> {
        let Self { ca, certificate, key, .. } = self;
        let trust =
            Trust::read(&place.base, ca.as_deref(), certificate.as_deref(), key.as_deref())?;
        let way = |connections| {
            Server::new(&Settings {
                url: self.url.clone(),
                trust: trust.clone(),
                connections,
                timeout: self.timeout,
                in_flight: self.in_flight,
                session: SESSION,
            })
        };
        // One batch is published at a time, and a second where the first takes long.
        let publishing = if self.connections < 4 { 1 } else { 2 };
        let (server, publishers) = (way(self.connections - publishing)?, way(publishing)?);
        let found = server.probe().await?;
        if found.encoding != "UTF8" {
            let encoding = &found.encoding;
            return Err(Error::unsupported(format!(
                "the encoding of the database on {} is {encoding}, and UTF8 is needed",
                server.server()
            ))
            .with_hint("CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"));
        }
        let room = self.max_size.map(|size| i64::try_from(size.0).unwrap_or(i64::MAX));
        let most = self.max_size.map_or(Offer::MAX_MESSAGE, |size| size.bytes() / 8);
        let offer = Offer {
            backend: format!("postgres {}", found.version).into(),
            levels: Levels { durability: found.durability, ..BEST.levels },
            max_message: most.min(Offer::MAX_MESSAGE),
            emulated: BEST.emulated.to_vec(),
        };
        let name = names::table(self.table.as_deref(), "wharf_messaging", place, LONGEST_NAME)?;
        Ok((Tables::open((server, publishers), name, now, room).await?, offer))
    }
}
