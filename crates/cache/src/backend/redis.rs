//! Entries in Redis: one plain string for each. Servers that evict are welcome.

use crate::entries::end;
use crate::{Best, Cache, Entries, Expiring, Front, Levels, Offer};
use async_trait::async_trait;
use base::{Backend, Error, Place, Result, Secret};
use bytes::Bytes;
use connect::redis::{Login, Master, Mode, Redis as Server, Settings};
use connect::tls::Trust;
use redis::{cmd, pipe};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than this is for ever: the server counts milliseconds since 1970 in 64 bits.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// How many keys are looked at in one step when everything is removed.
const STEP: usize = 1000;

pub(super) const BEST: Best =
    Best { backend: Redis::NAME, levels: Levels::USUAL, lowered: &[], emulated: &[] };

/// `redis:` — entries in Redis, or in what speaks its protocol.
///
/// Needs version 6.2 or newer. In a cluster the entries are spread over all of it.
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
    /// What names begin with. Default `"wharf:<app>:<binding>:"`.
    #[serde(default)]
    pub prefix: Option<String>,
    /// How long a call may take. Default `"5s"`.
    #[serde(
        default = "connect::gate::usual_timeout",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub timeout: Duration,
    /// How many calls are on their way at once. Default `1024`.
    #[serde(default = "connect::gate::usual_in_flight")]
    pub in_flight: usize,
    /// How long a vacancy is out before another may have it. Default `"30s"`.
    #[serde(
        default = "crate::front::usual_vacancy_timeout",
        deserialize_with = "base::units::deserialize_duration"
    )]
    pub vacancy_timeout: Duration,
}

impl Redis {
    /// The way to the server, over which nothing went yet.
    fn connection(&self, trust: Trust) -> Result<Server> {
        Server::new(&Settings {
            url: self.url.clone(),
            mode: Mode::of(self.cluster, self.sentinel.as_deref(), &self.nodes)?,
            login: self.login(),
            nodes: self.nodes.clone(),
            trust,
            timeout: self.timeout,
            in_flight: self.in_flight,
        })
    }

    fn login(&self) -> Login {
        Login { user: self.sentinel_user.clone(), password: self.sentinel_password.clone() }
    }

    fn prefix(&self, place: &Place) -> String {
        // A colon within a name would make it look like two.
        let part = |name: &str| name.replace('%', "%25").replace(':', "%3A");
        let usual = || format!("wharf:{}:{}:", part(&place.app), part(&place.binding));
        self.prefix.clone().unwrap_or_else(usual)
    }
}

impl Backend for Redis {
    type Contract = dyn Cache;
    const NAME: &'static str = "redis";
    const SCHEMES: &'static [&'static str] = &["redis", "rediss"];
    const EXAMPLE: &'static str = "redis://127.0.0.1:6379";

    fn check(&self) -> Result<(), String> {
        super::check_vacancy_timeout(self.vacancy_timeout)?;
        self.connection(Trust::default()).map(drop).map_err(|error| error.to_string())
    }

    async fn open(self, place: Place) -> Result<Arc<dyn Cache>> {
        let (ca, certificate) = (self.ca.as_deref(), self.certificate.as_deref());
        let trust = Trust::read(&place.base, ca, certificate, self.key.as_deref())?;
        let server = self.connection(trust)?;
        let nodes = server.probe().await?;
        let version = nodes.first().and_then(|node| node.get("redis_version"));
        let version = version.map(String::as_str).unwrap_or_default();
        let offer = Offer {
            backend: format!("redis {version}").into(),
            levels: BEST.levels,
            emulated: Vec::new(),
        };
        let strings = Strings { server, prefix: self.prefix(&place), offer };
        Ok(Arc::new(Front::new(strings, self.vacancy_timeout)))
    }
}

/// The entries behind `redis:`.
struct Strings {
    server: Server,
    prefix: String,
    offer: Offer,
}

impl Strings {
    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Removes what one of the servers has under names like this.
    async fn remove_at(&self, master: Master, pattern: &str) -> Result<()> {
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(STEP);
            let (next, names): (u64, Vec<Vec<u8>>) = self.server.read_at(master, &scan).await?;
            if !names.is_empty() {
                let mut remove = cmd("UNLINK");
                remove.arg(&names);
                self.server.query::<()>(&remove).await?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl Entries for Strings {
    fn offer(&self) -> &Offer {
        &self.offer
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let found: Option<Vec<u8>> = self.server.read(cmd("GET").arg(self.name(key))).await?;
        Ok(found.map(Bytes::from))
    }

    async fn expiring(&self, key: &str) -> Result<Option<Expiring>> {
        let name = self.name(key);
        let mut both = pipe();
        both.atomic().cmd("GET").arg(&name).cmd("PTTL").arg(&name);
        let asked = Instant::now();
        let (found, rest): (Option<Vec<u8>>, i64) =
            self.server.call(async |connection| both.query_async(connection).await).await?;
        let Some(value) = found else { return Ok(None) };
        // Without an end the server answers -1. Counted from before it was asked, so never late.
        let rest = u64::try_from(rest).ok().map(Duration::from_millis);
        Ok(Some(Expiring { value: Bytes::from(value), until: end(asked, rest) }))
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        self.server.read(cmd("EXISTS").arg(self.name(key))).await
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<()> {
        let mut command = cmd("SET");
        command.arg(self.name(key)).arg(&value[..]);
        if let Some(ttl) = ttl.filter(|ttl| *ttl < LONGEST) {
            // Rounded down: rather gone than past its time.
            let milliseconds = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            command.arg("PX").arg(milliseconds);
        }
        self.server.query(&command).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.server.query(cmd("DEL").arg(self.name(key))).await
    }

    async fn destroy(&self) -> Result<()> {
        if self.prefix.is_empty() {
            return Err(Error::invalid("without a prefix nobody knows whose the keys are"));
        }
        let mut pattern = String::new();
        for letter in self.prefix.chars() {
            if ['*', '?', '[', ']', '^', '\\'].contains(&letter) {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern.push('*');
        // Nobody lists the keys of all servers, while what removes them finds the right one.
        for master in self.server.masters().await? {
            self.remove_at(master, &pattern).await?;
        }
        Ok(())
    }
}
