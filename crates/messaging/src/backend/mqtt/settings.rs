//! The settings of a binding in MQTT, and what the live server adds to its offer.

use super::link::Link;
use super::{letter, names};
use crate::{Best, Emulated, Levels, Offer};
use base::offer::{
    Attempts, Dedup, Delay, Durability, Groups, Ordering, Redelivery, Replay, Reply, Wildcards,
};
use base::{Backend as _, Error, Place, Result};
use connect::mqtt::{Mqtt as Server, Session, Settings, Terms};
use connect::tls::Trust;
use serde::Deserialize;
use serde::de::Error as _;
use std::path::PathBuf;
use std::time::Duration;

/// What a host adds to the server.
const EMULATED: &[Emulated] = &[
    Emulated {
        ability: "groups",
        how: "a session of the server for each, whose messages the host that has it hands out",
    },
    Emulated {
        ability: "redelivery",
        how: "by the host after the deadline, and by the server when the host is gone",
    },
    Emulated {
        ability: "retry",
        how: "the host keeps what was given back; without it the server sends it again at once",
    },
    Emulated { ability: "ordering", how: "the host lets those of a key wait for each other" },
];

/// On a server of which the operator says what it keeps.
pub(in crate::backend) const BEST: Best = Best {
    backend: Mqtt::NAME,
    levels: Levels {
        durability: Durability::Replicated,
        groups: Groups::Host,
        wildcards: Wildcards::Words,
        redelivery: Redelivery::Deadline,
        // A host that has just got a group does not know how often the one before it tried.
        attempts: Attempts::Subscriber,
        retry: Delay::Milliseconds,
        // What a host could put off ends with the host.
        delay: Delay::None,
        replay: Replay::None,
        dedup: Dedup::None,
        ordering: Ordering::Topic,
        request: Reply::Inbox,
    },
    lowered: &[
        ("durability", "what `durability` says that the server keeps, none without it"),
        ("groups", "none on a server that keeps no sessions"),
    ],
    emulated: EMULATED,
};

/// `mqtt:` — messages over a server of MQTT 5.
///
/// Other programs can publish to the same topics and read them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mqtt {
    /// `mqtt://[user:password@]host[:port]`; `mqtts://…` for TLS
    pub url: String,
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
    /// What comes before topics, with levels between slashes. Default `"wharf/<app>/<binding>"`.
    #[serde(default)]
    pub prefix: Option<String>,
    /// What the server keeps of acknowledged messages, which it does not tell: `"none"` (default),
    /// `"os-buffer"` what outlives its crash, `"fsync"` that of its machine, `"replicated"` the
    /// loss of it.
    #[serde(default = "Mqtt::nothing", deserialize_with = "durability")]
    pub durability: Durability,
    /// After how long without a host a group is forgotten; at least `"1m"`. Default `"30d"`.
    #[serde(default = "Mqtt::month", deserialize_with = "base::units::deserialize_duration")]
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

fn durability<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Durability, D::Error> {
    let word = String::deserialize(from)?;
    let known = || Durability::ALL.iter().map(|level| level.word()).collect::<Vec<_>>().join(", ");
    Durability::from_word(&word)
        .ok_or_else(|| D::Error::custom(format!("`{word}` is none of {}", known())))
}

impl Mqtt {
    fn nothing() -> Durability {
        Durability::None
    }

    fn month() -> Duration {
        Duration::from_secs(30 * 24 * 3600)
    }

    /// The way to the server, over which nothing went yet.
    pub(super) fn link(&self, trust: Trust, place: Option<&Place>) -> Result<Link> {
        if let Some(prefix) = &self.prefix {
            names::check(prefix)?;
        }
        if self.forget_groups < Duration::from_secs(60) {
            return Err(Error::invalid("`forget-groups` is at least 1m"));
        }
        let names = match (&self.prefix, place) {
            (Some(prefix), _) => names::Names::new(prefix.clone()),
            (None, Some(place)) => names::Names::usual(place),
            (None, None) => names::Names::new("wharf".to_owned()),
        };
        let settings = Settings {
            url: self.url.clone(),
            trust,
            timeout: self.timeout,
            in_flight: self.in_flight,
        };
        let server = |session| Server::new(&settings, session);
        Link::new(server, names, self.forget_groups)
    }

    /// The way to a server that was found right.
    pub(super) async fn open_link(&self, place: &Place) -> Result<(Link, Offer)> {
        let (ca, certificate) = (self.ca.as_deref(), self.certificate.as_deref());
        let trust = Trust::read(&place.base, ca, certificate, self.key.as_deref())?;
        let link = self.link(trust, Some(place))?;
        let session = Session {
            id: link.names.session(&format!("\0{:x}", link.inboxes.incarnation)),
            is_clean: true,
            expiry: self.forget_groups,
            window: 1,
            clears: None,
        };
        let server = &link.server;
        let (connection, _) = server.recognised(server.session(&session).await).await?;
        let terms = *connection.terms();
        connection.ended(true).await;
        let levels = self.levels(server.server(), terms)?;
        let offer = Offer {
            backend: "mqtt 5".into(),
            levels,
            max_message: Offer::MAX_MESSAGE.min(terms.packet.saturating_sub(letter::ROOM)),
            emulated: EMULATED.to_vec(),
        };
        link.refresh().await?;
        Ok((link, offer))
    }

    /// What there is on the live server.
    fn levels(&self, server: &str, terms: Terms) -> Result<Levels> {
        let lacks = |what: &str| Error::unsupported(format!("{server} does not {what}"));
        if !terms.acknowledges {
            return Err(lacks("acknowledge messages, with a QoS of 1"));
        }
        if !terms.retains {
            return Err(lacks("retain messages, which say what groups there are"));
        }
        if !terms.wildcards {
            return Err(lacks("know wildcards"));
        }
        if terms.expiry < self.forget_groups {
            let (kept, asked) = (terms.expiry, self.forget_groups);
            let [kept, asked] = [kept, asked].map(base::units::show_duration);
            tracing::warn!(server, kept, asked, "groups are forgotten earlier than was asked");
        }
        Ok(Levels {
            durability: self.durability,
            groups: if terms.expiry.is_zero() { Groups::None } else { BEST.levels.groups },
            ..BEST.levels
        })
    }
}
