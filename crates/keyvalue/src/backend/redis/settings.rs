//! The settings of a binding in Redis, and what the live server adds to its offer.

use crate::Best;
use crate::{Levels, Offer};
use base::offer::{Atomicity, Consistency, Durability, Fence, List, Ttl, Watch};
use base::{Backend as _, Error, Place, Result, Secret};
use connect::redis::{Login, Mode, Redis as Server, Settings, has_replicas, word};
use connect::tls::Trust;
use redis::{Value, cmd};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One server alone, which writes to the disk before it answers.
pub(in crate::backend) const BEST: Best = Best {
    backend: Redis::NAME,
    levels: Levels {
        durability: Durability::Fsync,
        atomicity: Atomicity::Binding,
        ttl: Ttl::Milliseconds,
        list: List::Ordered,
        watch: Watch::Resumable,
        fence: Fence::SingleNode,
        consistency: Consistency::Linearizable,
    },
    lowered: &[
        ("durability", "none unless `appendfsync always`, and where a replica may take over"),
        ("atomicity", "slot with shards"),
        ("watch", "best-effort with shards"),
        ("consistency", "primary with replicas or in a cluster"),
    ],
    emulated: &[],
};

/// `redis:` — entries in Redis, or in what speaks its protocol.
///
/// Needs version 6.2 or newer. What Wharf did not write there, it does not read.
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
    /// What names begin with. Default `"wharf:<app>:<binding>"`.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Over how many hash slots of a cluster the entries are spread. Never changes. Default `1`.
    #[serde(default = "Redis::one")]
    pub shards: u16,
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
    fn one() -> u16 {
        1
    }

    /// The way to the server, over which nothing went yet.
    pub(super) fn connection(&self, trust: Trust) -> Result<Server> {
        let mode = Mode::of(self.cluster, self.sentinel.as_deref(), &self.nodes)?;
        if self.shards == 0 {
            return Err(Error::invalid("there is at least one shard"));
        }
        Server::new(&Settings {
            url: self.url.clone(),
            mode,
            login: self.login(),
            nodes: self.nodes.clone(),
            trust,
            timeout: self.timeout,
            in_flight: self.in_flight,
        })
    }

    /// Who it is to Sentinels.
    fn login(&self) -> Login {
        Login { user: self.sentinel_user.clone(), password: self.sentinel_password.clone() }
    }

    /// The files of TLS.
    pub(super) fn trust(&self, place: &Place) -> Result<Trust> {
        let Self { ca, certificate, key, .. } = self;
        Trust::read(&place.base, ca.as_deref(), certificate.as_deref(), key.as_deref())
    }

    /// The hash tags of the binding's entries.
    pub(super) fn shards(&self, place: &Place) -> Arc<[String]> {
        let usual = || format!("wharf:{}:{}", place.app, place.binding);
        // A brace would end the tag.
        let prefix = self.prefix.clone().unwrap_or_else(usual).replace(['{', '}'], "_");
        match self.shards {
            1 => [format!("{{{prefix}}}")].into(),
            shards => (0..shards).map(|shard| format!("{{{prefix}:{shard}}}")).collect(),
        }
    }

    /// What the server behind the binding can do.
    pub(super) async fn probe(&self, server: &Server, shards: &[String]) -> Result<Offer> {
        let nodes = server.probe().await?;
        let version = nodes.first().map(|node| word(node, "redis_version")).unwrap_or_default();
        self.check_shards(server, shards).await?;
        let durability = server.durability(&nodes).await;
        let replicas = has_replicas(&nodes);
        let replicated = self.cluster || self.sentinel.is_some() || replicas;
        let consistency = match replicated {
            true => Consistency::Primary,
            false => Consistency::Linearizable,
        };
        Ok(Offer {
            backend: format!("redis {version}").into(),
            levels: match self.shards {
                1 => Levels { durability, consistency, ..BEST.levels },
                _ => Levels {
                    durability,
                    consistency,
                    atomicity: Atomicity::Slot,
                    watch: Watch::BestEffort,
                    ..BEST.levels
                },
            },
            max_key: Offer::MAX_KEY,
            max_value: Offer::MAX_VALUE,
            emulated: Vec::new(),
        })
    }

    /// The number of shards is that of the first day, or entries would not be found again.
    async fn check_shards(&self, server: &Server, shards: &[String]) -> Result<()> {
        let name = shards_name(shards);
        let number = self.shards.to_string();
        server.query::<Value>(cmd("SET").arg(&name).arg(&number).arg("NX")).await?;
        let kept: String = server.read(cmd("GET").arg(&name)).await?;
        match kept == number {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "the entries are spread over {kept} shards, not {number}"
            ))
            .with_hint(format!("write `shards = {kept}`"))),
        }
    }
}

/// Where the number of shards is kept.
pub(super) fn shards_name(shards: &[String]) -> String {
    let first = shards.first().map(String::as_str).unwrap_or_default();
    let prefix = first.trim_start_matches('{').trim_end_matches('}');
    let prefix = prefix.strip_suffix(":0").filter(|_| shards.len() > 1).unwrap_or(prefix);
    format!("{{{prefix}}}:shards")
}
