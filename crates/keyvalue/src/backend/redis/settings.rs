//! The settings of a binding in Redis, and what the live server adds to its offer.

use crate::{Levels, Offer};
use base::offer::{Atomicity, Consistency, Durability, Fence, List, Ttl, Watch};
use base::{Error, Kind, Place, Result};
use connect::redis::{Mode, Redis as Server, Settings};
use connect::tls::Trust;
use redis::{Value, cmd};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
        default = "Redis::five_seconds",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub timeout: Duration,
    /// How many calls are on their way at once. Default `1024`.
    #[serde(default = "Redis::many")]
    pub in_flight: usize,
}

impl Redis {
    fn one() -> u16 {
        1
    }

    fn five_seconds() -> Duration {
        Duration::from_secs(5)
    }

    fn many() -> usize {
        1024
    }

    /// The way to the server, over which nothing went yet.
    pub(super) fn connection(&self, trust: Trust) -> Result<Server> {
        let mode = match (&self.sentinel, self.cluster) {
            (Some(_), true) => {
                return Err(Error::invalid("it is either `cluster` or `sentinel`, not both"));
            }
            (Some(master), false) => Mode::Sentinel(master.clone()),
            (None, true) => Mode::Cluster,
            (None, false) => Mode::Single,
        };
        if mode == Mode::Single && !self.nodes.is_empty() {
            return Err(Error::invalid("`nodes` are those of a cluster, or Sentinels")
                .with_hint("add `cluster = true` or `sentinel = \"NAME OF THE MASTER\"`"));
        }
        if self.shards == 0 {
            return Err(Error::invalid("there is at least one shard"));
        }
        Server::new(&Settings {
            url: self.url.clone(),
            mode,
            nodes: self.nodes.clone(),
            trust,
            timeout: self.timeout,
            in_flight: self.in_flight,
        })
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
        let info = info(server).await?;
        let word = |name: &str| info.get(name).map(String::as_str).unwrap_or_default();
        let version = word("redis_version");
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (6, 2) {
            return Err(Error::unsupported(format!(
                "{} is version {version}, and 6.2 is needed",
                server.server()
            )));
        }
        if word("role") == "slave" {
            return Err(Error::unavailable(format!("{} is a read-only replica", server.server()))
                .with_hint("name its master, or a Sentinel that knows it"));
        }
        if word("redis_mode") == "cluster" && !self.cluster {
            return Err(Error::invalid(format!("{} is a node of a cluster", server.server()))
                .with_hint("add `cluster = true`"));
        }
        self.check_shards(server, shards).await?;
        let replicated = self.cluster
            || self.sentinel.is_some()
            || !matches!(word("connected_slaves"), "" | "0");
        let consistency = match replicated {
            true => Consistency::Primary,
            false => Consistency::Linearizable,
        };
        Ok(Offer {
            backend: format!("redis {version}").into(),
            levels: Levels {
                durability: durability(server).await,
                atomicity: if self.shards == 1 { Atomicity::Binding } else { Atomicity::Slot },
                ttl: Ttl::Milliseconds,
                list: List::Ordered,
                watch: if self.shards == 1 { Watch::Resumable } else { Watch::BestEffort },
                fence: Fence::SingleNode,
                consistency,
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

/// What the server says of itself.
async fn info(server: &Server) -> Result<HashMap<String, String>> {
    let text: String = match server.read(&cmd("INFO")).await {
        Err(error) if error.kind() == Kind::Corrupt => {
            return Err(Error::invalid(format!(
                "{} does not speak as Redis does; is it one?",
                server.server()
            ))
            .with_source(error));
        }
        answer => answer?,
    };
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    Ok(lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

/// What of acknowledged writes survives. A server that does not say keeps nothing, for all we know.
async fn durability(server: &Server) -> Durability {
    let settings: Result<HashMap<String, String>> =
        server.read(cmd("CONFIG").arg("GET").arg("append*")).await;
    let settings = settings.unwrap_or_default();
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|found| found == value);
    // With `everysec` a write may wait two seconds in the server's own memory.
    match is("appendonly", "yes") && is("appendfsync", "always") {
        true => Durability::Fsync,
        false => Durability::None,
    }
}
