//! The settings of a binding in NATS, its stream, and what the live server adds to its offer.

use super::bucket::{Bucket, HEADERS};
use super::names;
use crate::{Best, Emulated, Levels, Offer};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use base::offer::{Atomicity, Consistency, Durability, Fence, List, Ttl, Watch};
use base::{Backend as _, Error, Place, Result};
use connect::nats::{Connection, Nats as Server, Nothing, Settings, incarnation};
use connect::tls::Trust;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// The oldest version that has all that is needed here.
const OLDEST: (u32, u32) = (2, 9);
/// The ability that only replicas make an emulated one.
const REPLACE: &str = "set";
/// How long a stream with replicas knows a duplicate when it sees one.
const DUPLICATES: Duration = Duration::from_secs(30);

/// A stream on one server.
pub(in crate::backend) const BEST: Best = Best {
    backend: Nats::NAME,
    levels: Levels {
        // The server writes to the disk every two minutes unless it is told otherwise, and does
        // not say which.
        durability: Durability::OsBuffer,
        atomicity: Atomicity::Key,
        // Servers older than 2.11 take a time to live and ignore it.
        ttl: Ttl::None,
        list: List::Ordered,
        watch: Watch::Resumable,
        // It would have to lie in each key's message, and every plain write to read it first.
        fence: Fence::None,
        consistency: Consistency::Linearizable,
    },
    lowered: &[("consistency", "primary with replicas")],
    emulated: &[
        Emulated { ability: "increment", how: "compare-and-swap in a loop" },
        Emulated { ability: "list", how: "from an index of the keys in the host's memory" },
        Emulated { ability: REPLACE, how: "with replicas, compare-and-swap in a loop" },
    ],
};

/// `nats:` — entries in a bucket of NATS, which is a stream of JetStream.
///
/// Needs version 2.9 or newer. Other clients of NATS can read and write the same bucket.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Nats {
    /// `nats://[user:password@]host[:port]` or `nats://token@host[:port]`; `tls://…` for TLS
    pub url: String,
    /// Further servers of the cluster, as `"host:port"`.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// The file with a user's JWT and seed, as `nsc` writes it.
    #[serde(default)]
    pub credentials: Option<PathBuf>,
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
    /// The bucket. Made if it is not there. Default `"wharf_<app>_<binding>"`.
    #[serde(default)]
    pub bucket: Option<String>,
    /// How many servers of a cluster keep each entry: 1, 3 or 5. Default `1`.
    #[serde(default = "Nats::one")]
    pub replicas: usize,
    /// How long it is remembered that a key was deleted. Watchers that come back after half of it
    /// may be told that they missed changes. The same on all hosts. Default `"2h"`.
    #[serde(default = "Nats::two_hours", deserialize_with = "base::units::deserialize_duration")]
    pub keep_deleted: Duration,
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

impl Nats {
    fn one() -> usize {
        1
    }

    fn two_hours() -> Duration {
        Duration::from_secs(2 * 3600)
    }

    /// The way to the server, over which nothing went yet.
    pub(super) fn connection(&self, trust: Trust, place: Option<&Place>) -> Result<Server> {
        if let Some(bucket) = &self.bucket
            && !names::is_bucket(bucket)
        {
            return Err(Error::invalid(format!("`{bucket}` is no name of a bucket"))
                .with_hint("it has letters, digits, `-` and `_`"));
        }
        if !matches!(self.replicas, 1 | 3 | 5) {
            return Err(Error::invalid("`replicas` is 1, 3 or 5"));
        }
        if self.keep_deleted < Duration::from_secs(1) {
            return Err(Error::invalid("`keep-deleted` is at least a second"));
        }
        let credentials = self.credentials.as_ref();
        Server::new(&Settings {
            url: self.url.clone(),
            nodes: self.nodes.clone(),
            credentials: credentials.map(|path| match place {
                Some(place) => place.base.join(path),
                None => path.clone(),
            }),
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

    /// Finds the bucket or makes it, and tells what the server behind it can do.
    pub(super) async fn open_bucket(&self, place: &Place) -> Result<(Bucket, Offer)> {
        let server = self.connection(self.trust(place)?, Some(place))?;
        let name = self.bucket.clone().unwrap_or_else(|| names::bucket(place));
        let wanted = self.stream(&name);
        let opening = async |connection: Connection| {
            let version = connection.info().version;
            // Before anything is made there.
            connect::version::admit(server.server(), &version, OLDEST)?;
            let found = self.find_or_make(&connection, &wanted).await?;
            let is_direct = self.is_direct(&connection, &found.config).await;
            Ok((version, connection.max_payload(), found, is_direct))
        };
        let opened = server.recognised(server.call(opening).await).await;
        let (version, max_payload, info, is_direct) = opened?;
        let offer = self.offer(&version, max_payload, &info.config);
        let bucket = Bucket {
            server,
            stream: wanted.name,
            prefix: format!("$KV.{name}."),
            incarnation: incarnation(&info),
            is_replicated: self.replicas > 1,
            is_direct,
            keep_deleted: self.keep_deleted,
            guesses: Mutex::default(),
        };
        Ok((bucket, offer))
    }

    /// Whether entries can be read directly, and are the last ones: replicas may be behind.
    async fn is_direct(&self, connection: &Connection, stream: &Config) -> bool {
        if self.replicas > 1 || !stream.allow_direct {
            return false;
        }
        // Who may not ask is not answered.
        let limit = (self.timeout / 4).min(Duration::from_secs(1));
        let subject = stream.subjects.first().map(|all| all.replace('>', "none"));
        let asking = connection.last(&stream.name, subject.as_deref().unwrap_or_default());
        matches!(tokio::time::timeout(limit, asking).await, Ok(Ok(_)))
    }

    /// The stream of a bucket, as other clients make it.
    fn stream(&self, bucket: &str) -> Config {
        Config {
            name: format!("KV_{bucket}"),
            subjects: vec![format!("$KV.{bucket}.>")],
            max_messages_per_subject: 1,
            max_messages: -1,
            max_bytes: -1,
            max_consumers: -1,
            max_message_size: -1,
            discard: DiscardPolicy::New,
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            num_replicas: self.replicas,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: self.replicas == 1,
            duplicate_window: if self.replicas > 1 { DUPLICATES } else { Duration::ZERO },
            ..Config::default()
        }
    }

    async fn find_or_make(&self, connection: &Connection, wanted: &Config) -> Result<Info> {
        let api = |verb: &str| format!("STREAM.{verb}.{}", wanted.name);
        let mut made = None;
        // A second host may make it at the same moment.
        for _ in 0..3 {
            match connection.ask::<Info>(api("INFO"), &Nothing {}).await? {
                Ok(info) => {
                    check(&info.config, wanted)?;
                    return Ok(info);
                }
                Err(none) if none.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
                Err(refusal) => return Err(connection.refused(refusal)),
            }
            match connection.ask::<Info>(api("CREATE"), wanted).await? {
                Ok(info) => {
                    check(&info.config, wanted)?;
                    return Ok(info);
                }
                Err(refusal) => made = Some(refusal),
            }
        }
        let Some(refusal) = made else { return Err(Error::internal("making a stream")) };
        let code = refusal.error_code();
        let error = connection.refused(refusal).context(format!("making `{}`", wanted.name));
        Err(match code {
            ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED | ErrorCode::CLUSTER_NO_PEERS => error
                .with_hint("write as many `replicas` as the cluster has servers, or 1 without one"),
            _ => error,
        })
    }

    fn offer(&self, version: &str, max_payload: usize, stream: &Config) -> Offer {
        let most = match usize::try_from(stream.max_message_size) {
            Ok(most) if most > 0 => most.min(max_payload),
            _ => max_payload,
        };
        Offer {
            backend: format!("nats {version}").into(),
            levels: Levels {
                consistency: match self.replicas {
                    1 => Consistency::Linearizable,
                    // A leader that was cut off answers until it notices.
                    _ => Consistency::Primary,
                },
                ..BEST.levels
            },
            max_key: Offer::MAX_KEY,
            max_value: most.saturating_sub(HEADERS).min(Offer::MAX_VALUE),
            emulated: BEST
                .emulated
                .iter()
                .filter(|emulated| self.replicas > 1 || emulated.ability != REPLACE)
                .copied()
                .collect(),
        }
    }
}

/// Whether a stream that is there keeps what it is given. What does not matter for that may differ.
fn check(found: &Config, wanted: &Config) -> Result<()> {
    let differs = |what: &str, found: &dyn fmt::Debug, right: &dyn fmt::Debug| {
        let name = &wanted.name;
        Err(Error::invalid(format!(
            "the stream `{name}` was made otherwise: `{what}` is {found:?} there, not {right:?}"
        ))
        .with_hint("name another `bucket`, or change the stream with `nats stream edit`"))
    };
    macro_rules! same {
        ($($word:literal: $field:ident,)*) => {
            $(if found.$field != wanted.$field {
                return differs($word, &found.$field, &wanted.$field);
            })*
        };
    }
    same! {
        "num_replicas": num_replicas,
        "storage": storage,
        "subjects": subjects,
        "retention": retention,
        "max_age": max_age,
        "mirror": mirror,
        "sources": sources,
        "sealed": sealed,
        "no_ack": no_ack,
        "subject_transform": subject_transform,
    }
    // A full stream has to refuse what comes, not to forget what is there.
    let is_bounded = found.max_bytes > 0 || found.max_messages > 0;
    if is_bounded && found.discard != wanted.discard {
        return differs("discard", &found.discard, &wanted.discard);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::OLDEST;
    use connect::version::admit;

    #[test]
    fn a_server_that_is_too_old_is_refused() {
        for old in ["2.2.6", "2.7.4", "2.8.0", "2.8.4", "2.8.5-RC.1", "1.4.1", "0.9.6", ""] {
            let refused = admit("nats h:4222", old, OLDEST).unwrap_err();
            let words = format!("nats h:4222 is version {old}, and 2.9 is needed");
            assert_eq!(refused.to_string(), words);
        }
        let new = ["2.9.0-RC.9", "2.9.0", "2.9.10", "2.10.0-beta.33", "2.11.0-preview.2", "2.12.1"];
        for new in new.into_iter().chain(["2.13.0-dev", "3.0.0"]) {
            admit("nats h:4222", new, OLDEST).unwrap();
        }
    }
}
