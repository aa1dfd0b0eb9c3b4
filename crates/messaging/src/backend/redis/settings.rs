//! The settings of a binding in Redis, and what the live server adds to its offer.

use super::sweep::Retention;
use crate::{Best, Emulated, Levels, Offer};
use base::offer::{
    Attempts, Dedup, Delay, Durability, Groups, Ordering, Redelivery, Replay, Reply, Wildcards,
};
use base::units::Size;
use base::{Backend as _, Error, Place, Result, Secret};
use connect::redis::{Login, Mode, Redis as Server, Settings, word};
use connect::tls::Trust;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// One server alone, which writes to the disk before it answers.
pub(in crate::backend) const BEST: Best = Best {
    backend: Redis::NAME,
    levels: Levels {
        durability: Durability::Fsync,
        groups: Groups::Shared,
        wildcards: Wildcards::Words,
        redelivery: Redelivery::Deadline,
        attempts: Attempts::Group,
        retry: Delay::Milliseconds,
        delay: Delay::Milliseconds,
        replay: Replay::Log,
        dedup: Dedup::Window,
        // A host takes messages ahead of those that wait for them, so between two hosts one may
        // overtake another. Those that have a key and an order wait on the server.
        ordering: Ordering::Key,
        request: Reply::Inbox,
    },
    lowered: &[(
        "durability",
        "none unless `appendfsync always`, and where a replica may take over",
    )],
    emulated: &[
        Emulated { ability: "groups", how: "rows beside the stream, which scripts keep" },
        Emulated { ability: "wildcards", how: "scripts pass by what no topic of a group covers" },
        Emulated { ability: "delay", how: "each group keeps what is put off until its time" },
        Emulated { ability: "dedup", how: "ids are kept beside the stream for two minutes" },
        Emulated { ability: "ordering", how: "each group keeps the turns of its keys" },
    ],
};

/// `redis:` — messages in a stream of Redis, or of what speaks its protocol.
///
/// Needs version 6.2 or newer, which must not evict keys of its own accord.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Redis {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://…` for TLS
    pub url: String,
    /// Whether the URL leads to a node of a cluster.
    #[serde(default)]
    pub cluster: bool,
    /// The name of the master, where the URL leads to a Sentinel.
    #[serde(default)]
    pub sentinel: Option<String>,
    /// The user to log in to Sentinels as, where they have users. The URL's user and password are
    /// those of the master.
    #[serde(default)]
    pub sentinel_user: Option<String>,
    /// The password of the Sentinels, where they want one.
    #[serde(default)]
    pub sentinel_password: Option<Secret>,
    /// Further nodes of the cluster, or further Sentinels, as `"host:port"`.
    #[serde(default)]
    pub nodes: Vec<String>,
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
    /// What names begin with. Default `"wharf-messages:<app>:<binding>"`.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Room for all messages together, at least `"64KiB"`. What every group is done with makes room
    /// for what comes; where there is none of it, publishing fails. Default: as much as the server
    /// has.
    #[serde(default)]
    pub max_size: Option<Size>,
    /// For how long a message is kept that every group is done with, for those that come later.
    /// Default `"1h"`.
    #[serde(default = "Redis::hour", deserialize_with = "base::units::deserialize_duration")]
    pub max_age: Duration,
    /// After how long without a subscriber a group is forgotten; at least `"1m"`. Default `"30d"`.
    #[serde(default = "Redis::month", deserialize_with = "base::units::deserialize_duration")]
    pub forget_groups: Duration,
    /// How long a call may take. Default `"5s"`.
    #[serde(
        default = "connect::gate::usual_timeout",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub timeout: Duration,
    /// How many calls are on their way at once. Default `1024`.
    #[serde(default = "connect::gate::usual_in_flight")]
    pub in_flight: usize,
}

impl Redis {
    fn hour() -> Duration {
        Duration::from_secs(3600)
    }

    fn month() -> Duration {
        Duration::from_secs(30 * 24 * 3600)
    }

    /// The way to the server, over which nothing went yet.
    pub(super) fn connection(&self, trust: Trust) -> Result<Server> {
        let mode = Mode::of(self.cluster, self.sentinel.as_deref(), &self.nodes)?;
        if self.max_size.is_some_and(|size| !(0x1_0000..1 << 50).contains(&size.0)) {
            return Err(Error::invalid("`max-size` is at least 64KiB"));
        }
        if self.max_age < Duration::from_secs(1) {
            return Err(Error::invalid("`max-age` is at least a second"));
        }
        if self.forget_groups < Duration::from_secs(60) {
            return Err(Error::invalid("`forget-groups` is at least 1m"));
        }
        let (user, password) = (self.sentinel_user.clone(), self.sentinel_password.clone());
        Server::new(&Settings {
            url: self.url.clone(),
            mode,
            login: Login { user, password },
            nodes: self.nodes.clone(),
            trust,
            timeout: self.timeout,
            in_flight: self.in_flight,
        })
    }

    /// What the names of a binding begin with, which is its hash tag.
    pub(super) fn tag(&self, place: &Place) -> String {
        let usual = || format!("wharf-messages:{}:{}", place.app, place.binding);
        // A brace would end the tag.
        let prefix = self.prefix.clone().unwrap_or_else(usual).replace(['{', '}'], "_");
        format!("{{{prefix}}}")
    }

    pub(super) fn retention(&self) -> Retention {
        Retention { age: self.max_age, groups: self.forget_groups, size: self.max_size }
    }

    /// The way to the server, and what it can do.
    pub(super) async fn probe(&self, place: &Place) -> Result<(Server, Offer)> {
        let Self { ca, certificate, key, .. } = self;
        let trust =
            Trust::read(&place.base, ca.as_deref(), certificate.as_deref(), key.as_deref())?;
        let server = self.connection(trust)?;
        let nodes = server.probe().await?;
        let evicts = |policy: &&str| policy.starts_with("allkeys-");
        if let Some(policy) = nodes.iter().map(|node| word(node, "maxmemory_policy")).find(evicts) {
            return Err(Error::invalid(format!(
                "{} would forget messages where its memory is full: its `maxmemory-policy` is \
                 `{policy}`",
                server.server()
            ))
            .with_hint("set `maxmemory-policy noeviction` there, or name another server"));
        }
        let version = nodes.first().map(|node| word(node, "redis_version")).unwrap_or_default();
        let most = self.max_size.map_or(usize::MAX, |size| size.bytes() / 8);
        let offer = Offer {
            backend: format!("redis {version}").into(),
            levels: Levels { durability: server.durability(&nodes).await, ..BEST.levels },
            max_message: Offer::MAX_MESSAGE.min(most),
            emulated: BEST.emulated.to_vec(),
        };
        Ok((server, offer))
    }
}
