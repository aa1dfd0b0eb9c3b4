//! The settings of a binding in PostgreSQL, and what the live server adds to its offer.

use super::statements::{SESSION, TIMELINE};
use crate::Best;
use crate::{Emulated, Levels, Offer, tables};
use base::offer::{Atomicity, Consistency, Durability, Fence, List, Ttl, Watch};
use base::{Backend as _, Error, Place, Result};
use connect::names;
use connect::postgres::{Postgres as Server, Settings};
use connect::tls::Trust;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The most bytes of a table's name: an identifier has 63, and there are `_fences` besides.
pub(super) const LONGEST_NAME: usize = 54;

/// What it offers at most.
pub(in crate::backend) const BEST: Best = Best {
    backend: Postgres::NAME,
    levels: Levels {
        durability: Durability::Replicated,
        atomicity: Atomicity::Binding,
        ttl: Ttl::Milliseconds,
        list: List::Ordered,
        watch: Watch::Resumable,
        fence: Fence::SingleNode,
        consistency: Consistency::Primary,
    },
    lowered: &[(
        "durability",
        "fsync without synchronous standbys, os-buffer with `fsync = off`, \
             none with `synchronous_commit = off`",
    )],
    emulated: &[WATCH, TTL],
};

const WATCH: Emulated = Emulated {
    ability: "watch",
    how: "the rows of transactions that have ended are read, ten times a second at least",
};

const TTL: Emulated = Emulated {
    ability: "ttl",
    how: "its end is kept beside the value and judged by the database's clock",
};

/// `postgres:` — entries in a table of PostgreSQL.
///
/// Needs version 13 or newer, and the right to create tables where the binding's are not there yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Postgres {
    /// `postgres://[user[:password]@]host[:port][,host…]/database[?sslmode=…]`, where `sslmode` is
    /// `disable`, `prefer` (the default) or `require`; a server's certificate is always verified
    pub url: String,
    /// The table. Others, with `_fences` and `_meta` behind the name, come with it. Default
    /// `"wharf_<app>_<binding>"`.
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
    /// The expression of SQL for the server's timeline.
    pub(super) timeline: &'static str,
}

impl Postgres {
    /// What can be said without the server.
    pub(super) fn verify(&self) -> Result<()> {
        if self.connections == 0 {
            return Err(Error::invalid("there is at least one connection"));
        }
        names::check_table(self.table.as_deref(), LONGEST_NAME)?;
        connect::postgres::check(&self.url, self.ca.is_some())
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
    let found = server.probe().await?;
    // Not every service that is made of PostgreSQL lets one ask this.
    let timeline = match server.read(&format!("SELECT {TIMELINE}"), &[]).await {
        Ok(_) => TIMELINE,
        Err(error) if error.kind().is_temporary() => return Err(error),
        Err(_) => "0::bigint",
    };
    let offer = Offer {
        backend: format!("postgres {}", found.version).into(),
        levels: Levels { durability: found.durability, ..BEST.levels },
        max_key: Offer::MAX_KEY,
        max_value: Offer::MAX_VALUE,
        emulated: BEST.emulated.to_vec(),
    };
    Ok(Probed { offer, timeline })
}
