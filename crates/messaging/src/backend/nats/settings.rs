//! The settings of a binding in NATS, its stream, and what the live server adds to its offer.

use super::handed::Handed;
use super::stream::{LONGEST, Stream};
use super::sweep::WINDOW;
use super::{letter, names};
use crate::{Best, Emulated, Levels, Offer, check_topic, is_inbox};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use base::offer::{
    Attempts, Dedup, Delay, Durability, Groups, Ordering, Redelivery, Replay, Reply, Wildcards,
};
use base::units::Size;
use base::{Backend as _, Error, Place, Result};
use connect::nats::{Connection, Nats as Server, Nothing, Settings, incarnation};
use connect::tls::Trust;
use connect::version::{admit, is_older};
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The oldest version that has all that is needed here.
const OLDEST: (u32, u32) = (2, 9);
/// The oldest in which the filter of a consumer may get its first `*` later.
const CHANGES: (u32, u32) = (2, 10);

/// A stream of our own that several servers keep.
pub(in crate::backend) const BEST: Best = Best {
    backend: Nats::NAME,
    levels: Levels {
        durability: Durability::Replicated,
        groups: Groups::Shared,
        wildcards: Wildcards::Words,
        redelivery: Redelivery::Deadline,
        attempts: Attempts::Group,
        retry: Delay::Milliseconds,
        // What the server would do it does since 2.12; what a host could do ends with the host.
        delay: Delay::None,
        replay: Replay::Log,
        dedup: Dedup::Window,
        // A topic's messages are sent in their order, but no host knows what others have: with
        // several subscribers one overtakes another of its key that has to come again.
        ordering: Ordering::None,
        request: Reply::Inbox,
    },
    // The server writes to the disk every two minutes unless it is told otherwise, and does not
    // say which.
    lowered: &[
        ("durability", "os-buffer without replicas"),
        ("dedup", "none where a stream that is there knows ids for less than two minutes"),
    ],
    emulated: &[Emulated {
        ability: "groups",
        how: "several topics by one that covers them; what is for none of them is passed by",
    }],
};

/// `nats:` — messages in a stream of NATS with JetStream.
///
/// Needs version 2.9 or newer. Other programs can publish to the same subjects and read them.
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
    /// The stream. Made if it is not there. Default `"wharf_<app>_<binding>"`.
    #[serde(default)]
    pub stream: Option<String>,
    /// What comes before topics in subjects, with words between dots. Default
    /// `"wharf.<app>.<binding>"`.
    #[serde(default)]
    pub prefix: Option<String>,
    /// How many servers of a cluster keep each message: 1, 3 or 5. Default `1`.
    #[serde(default = "Nats::one")]
    pub replicas: usize,
    /// Room for all messages together, at least `"64KiB"`. What every group is done with for two
    /// minutes makes room for what comes; where there is none of it, publishing fails. Default: as
    /// much as the server has.
    #[serde(default)]
    pub max_size: Option<Size>,
    /// For how long a message is kept that every group is done with, for those that come later: two
    /// minutes in any case. Default `"1h"`; with `stream`, which others may read too, for ever.
    #[serde(default, deserialize_with = "some_duration")]
    pub max_age: Option<Duration>,
    /// After how long without a subscriber a group is forgotten; at least `"1m"`. Default `"30d"`.
    #[serde(default = "Nats::month", deserialize_with = "base::units::deserialize_duration")]
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

fn some_duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    base::units::deserialize_duration(from).map(Some)
}

impl Nats {
    fn one() -> usize {
        1
    }

    fn month() -> Duration {
        Duration::from_secs(30 * 24 * 3600)
    }

    /// How old messages become that nobody waits for; `None`: as old as they like.
    pub(super) fn age(&self) -> Option<Duration> {
        let usual = self.stream.is_none().then_some(Duration::from_secs(3600));
        self.max_age.or(usual)
    }

    /// The way to the server, over which nothing went yet.
    pub(super) fn connection(&self, trust: Trust, place: Option<&Place>) -> Result<Server> {
        if let Some(stream) = &self.stream
            && !names::is_stream(stream)
        {
            return Err(Error::invalid(format!("`{stream}` is no name of a stream"))
                .with_hint("it has letters, digits, `-` and `_`"));
        }
        if let Some(prefix) = &self.prefix {
            check_topic(prefix).map_err(|error| error.context("`prefix`"))?;
            if prefix.starts_with('$') || prefix.starts_with("_INBOX") || is_inbox(prefix) {
                return Err(Error::invalid(format!("NATS has `{prefix}` for itself")));
            }
        }
        if !matches!(self.replicas, 1 | 3 | 5) {
            return Err(Error::invalid("`replicas` is 1, 3 or 5"));
        }
        if self.max_size.is_some_and(|size| !(0x1_0000..1 << 62).contains(&size.0)) {
            return Err(Error::invalid("`max-size` is at least 64KiB"));
        }
        if self.max_age.is_some_and(|age| age < Duration::from_secs(1)) {
            return Err(Error::invalid("`max-age` is at least a second"));
        }
        if self.forget_groups < Duration::from_secs(60) {
            return Err(Error::invalid("`forget-groups` is at least 1m"));
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

    /// Finds the stream or makes it, and tells what the server behind it can do.
    pub(super) async fn open_stream(&self, place: &Place) -> Result<(Stream, Offer)> {
        let Self { ca, certificate, key, .. } = self;
        let trust =
            Trust::read(&place.base, ca.as_deref(), certificate.as_deref(), key.as_deref())?;
        let server = self.connection(trust, Some(place))?;
        let name = self.stream.clone().unwrap_or_else(|| names::stream(place));
        let prefix = match &self.prefix {
            Some(prefix) => format!("{prefix}."),
            None => names::prefix(place),
        };
        let wanted = self.wanted(name, &prefix);
        let opening = async |connection: Connection| {
            let version = connection.info().version;
            // Before anything is made there.
            admit(server.server(), &version, OLDEST)?;
            let found = self.find_or_make(&connection, &wanted, &prefix).await?;
            Ok((version, connection.max_payload(), found))
        };
        let opened = server.recognised(server.call(opening).await).await;
        let (version, max_payload, info) = opened?;
        let offer = self.offer(&version, max_payload, &info.config);
        let stream = Stream {
            server,
            name: wanted.name,
            prefix,
            incarnation: incarnation(&info),
            is_replicated: self.replicas > 1,
            is_shared: self.stream.is_some(),
            is_old: is_older(&version, CHANGES),
            window: info.config.duplicate_window.min(WINDOW),
            forget_groups: self.forget_groups.min(LONGEST),
            handed: Handed::default(),
        };
        Ok((stream, offer))
    }

    /// The stream of a binding.
    fn wanted(&self, name: String, prefix: &str) -> Config {
        Config {
            name,
            subjects: vec![format!("{prefix}>")],
            max_messages_per_subject: -1,
            max_messages: -1,
            max_bytes: self.max_size.map_or(-1, |size| i64::try_from(size.0).unwrap_or(i64::MAX)),
            max_consumers: -1,
            max_message_size: -1,
            // A full stream refuses what comes, and forgets nothing that somebody waits for.
            discard: DiscardPolicy::New,
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            num_replicas: self.replicas,
            duplicate_window: WINDOW,
            ..Config::default()
        }
    }

    async fn find_or_make(
        &self,
        connection: &Connection,
        wanted: &Config,
        prefix: &str,
    ) -> Result<Info> {
        let api = |verb: &str| format!("STREAM.{verb}.{}", wanted.name);
        let mut made = None;
        // A second host may make it at the same moment.
        for _ in 0..3 {
            match connection.ask::<Info>(api("INFO"), &Nothing {}).await? {
                Ok(info) => {
                    check(&info.config, wanted, prefix)?;
                    if self.max_size.is_none() || info.config.max_bytes == wanted.max_bytes {
                        return Ok(info);
                    }
                    let changed = Config { max_bytes: wanted.max_bytes, ..info.config };
                    let answer = connection.ask::<Info>(api("UPDATE"), &changed).await?;
                    return answer.map_err(|refusal| {
                        connection.refused(refusal).context("giving the stream its `max-size`")
                    });
                }
                Err(none) if none.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
                Err(refusal) => return Err(connection.refused(refusal)),
            }
            match connection.ask::<Info>(api("CREATE"), wanted).await? {
                Ok(info) => {
                    check(&info.config, wanted, prefix)?;
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
            ErrorCode::STREAM_SUBJECT_OVERLAP => Error::invalid(format!(
                "another stream has subjects that begin with `{prefix}` already"
            ))
            .with_source(error)
            .with_hint("name that `stream`, or another `prefix`"),
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
                durability: match self.replicas {
                    1 => Durability::OsBuffer,
                    _ => Durability::Replicated,
                },
                dedup: match stream.duplicate_window >= WINDOW {
                    true => Dedup::Window,
                    false => Dedup::None,
                },
                ..BEST.levels
            },
            max_message: most.saturating_sub(letter::ROOM).min(Offer::MAX_MESSAGE),
            emulated: BEST.emulated.to_vec(),
        }
    }
}

/// Whether a stream that is there keeps what it is given. What does not matter for that may differ.
fn check(found: &Config, wanted: &Config, prefix: &str) -> Result<()> {
    let differs = |what: &str, found: &dyn fmt::Debug, right: &dyn fmt::Debug| {
        let name = &wanted.name;
        Err(Error::invalid(format!(
            "the stream `{name}` was made otherwise: `{what}` is {found:?} there, not {right:?}"
        ))
        .with_hint("name another `stream`, or change it with `nats stream edit`"))
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
        "retention": retention,
        "max_age": max_age,
        "mirror": mirror,
        "sources": sources,
        "sealed": sealed,
        "no_ack": no_ack,
        "subject_transform": subject_transform,
    }
    if !found.subjects.iter().any(|subject| names::hears(subject, prefix)) {
        return differs("subjects", &found.subjects, &wanted.subjects);
    }
    if found.max_messages_per_subject > 0 {
        return differs("max_msgs_per_subject", &found.max_messages_per_subject, &-1);
    }
    // A full stream has to refuse what comes, not to forget what is there.
    let is_bounded = found.max_bytes > 0 || found.max_messages > 0 || wanted.max_bytes > 0;
    if is_bounded && found.discard != wanted.discard {
        return differs("discard", &found.discard, &wanted.discard);
    }
    Ok(())
}
