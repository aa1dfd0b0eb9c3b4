//! The settings of a binding in RabbitMQ, and what the live server adds to its offer.

use super::Binding;
use super::group::milliseconds;
use super::names::{Names, is_exchange};
use super::registry::arguments;
use super::replies::Replies;
use crate::{Best, Emulated, Levels, Offer};
use base::offer::{
    Attempts, Dedup, Delay, Durability, Groups, Ordering, Redelivery, Replay, Reply, Wildcards,
};
use base::units::Size;
use base::{Backend as _, Error, Kind, Place, Result};
use connect::amqp::{Amqp as Server, Connection, Settings};
use connect::tls::Trust;
use connect::version::admit;
use lapin::ExchangeKind;
use lapin::options::ExchangeDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The oldest version whose quorum queues let messages wait and hand them on without loss.
const OLDEST: (u32, u32) = (3, 10);
/// The server counts in 32 bits for how long a queue may be without a consumer.
const FORGET: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(49 * 24 * 3600);

/// Quorum queues on one server or several.
pub(in crate::backend) const BEST: Best = Best {
    backend: Amqp::NAME,
    levels: Levels {
        // In a cluster the server keeps each queue on several nodes; how many a client cannot see.
        durability: Durability::Fsync,
        groups: Groups::Shared,
        wildcards: Wildcards::Words,
        redelivery: Redelivery::Deadline,
        attempts: Attempts::Group,
        retry: Delay::Seconds,
        // A message that waits has one queue to go to, and no topic that groups could cover.
        delay: Delay::None,
        // What a queue is done with is gone.
        replay: Replay::None,
        dedup: Dedup::None,
        // What comes again is behind what was sent ahead.
        ordering: Ordering::None,
        request: Reply::Inbox,
    },
    lowered: &[],
    emulated: &[
        Emulated {
            ability: "redelivery",
            how: "the host gives back what is not settled at its deadline; what a host has that is \
                  frozen or gone the server gives to others, once it heard nothing of it for 20s",
        },
        Emulated {
            ability: "retry",
            how: "a copy waits in queues for steps of time, and takes the message's place; parts \
                  of 100ms count whole",
        },
    ],
};

/// `amqp:` — messages in quorum queues of RabbitMQ.
///
/// Needs version 3.10 or newer. Other programs can publish to the same exchange, and bind queues of
/// their own to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Amqp {
    /// `amqp://[user:password@]host[:port][/vhost]`; `amqps://…` for TLS. Default user and password
    /// `guest`, default virtual host `/`.
    pub url: String,
    /// Further servers of the cluster, as `"host:port"`.
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
    /// The exchange, a durable one for topics. Made if it is not there. Names of queues begin with
    /// its name. Default `"wharf.<app>.<binding>"`.
    #[serde(default)]
    pub exchange: Option<String>,
    /// How many messages may wait for one group. Where there are more publishing fails, although
    /// other groups may get the message. Default: as many as the server has room for.
    #[serde(default)]
    pub max_messages: Option<u32>,
    /// Room for the messages that wait for one group; as `max-messages`.
    #[serde(default)]
    pub max_size: Option<Size>,
    /// After how long without a subscriber a group is forgotten; from `"1m"` to `"49d"`. Default
    /// `"30d"`.
    #[serde(default = "Amqp::month", deserialize_with = "base::units::deserialize_duration")]
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

impl Amqp {
    fn month() -> Duration {
        Duration::from_secs(30 * 24 * 3600)
    }

    /// The way to the server, over which nothing went yet.
    pub(super) fn connection(&self, trust: Trust) -> Result<Server> {
        if let Some(exchange) = &self.exchange
            && !is_exchange(exchange)
        {
            return Err(Error::invalid(format!("`{exchange}` is no name of an exchange")).with_hint(
                "it has up to 220 letters, digits, `-`, `_`, `.` and `:`, and does not begin with \
                 `amq.`",
            ));
        }
        if self.max_messages == Some(0) {
            return Err(Error::invalid("`max-messages` is at least 1"));
        }
        if self.max_size.is_some_and(|size| !(0x1_0000..1 << 62).contains(&size.0)) {
            return Err(Error::invalid("`max-size` is at least 64KiB"));
        }
        if !FORGET.contains(&self.forget_groups) {
            return Err(Error::invalid("`forget-groups` is from 1m to 49d"));
        }
        Server::new(&Settings {
            url: self.url.clone(),
            nodes: self.nodes.clone(),
            trust,
            timeout: self.timeout,
            in_flight: self.in_flight,
        })
    }

    /// Finds the exchange or makes it, and tells what the server behind it can do.
    pub(super) async fn open_exchange(&self, place: &Place) -> Result<(Binding, Offer)> {
        let Self { ca, certificate, key, .. } = self;
        let trust =
            Trust::read(&place.base, ca.as_deref(), certificate.as_deref(), key.as_deref())?;
        let server = self.connection(trust)?;
        let names = match &self.exchange {
            Some(exchange) => Names { exchange: exchange.clone() },
            None => Names::of(place),
        };
        let binding = Binding {
            server,
            names: Arc::new(names),
            limits: self.limits(),
            has_limits: self.max_messages.is_some() || self.max_size.is_some(),
            largest: AtomicUsize::new(usize::MAX),
            replies: Replies::default(),
            alone: Mutex::default(),
        };
        let opening = async |connection: Connection| {
            let version = connection.version().to_owned();
            // Before anything is made there.
            admit(binding.server.server(), &version, OLDEST)?;
            let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
            let (exchange, none) = (binding.exchange()?, FieldTable::default());
            let channel = connection.channel().await?;
            let declared = channel.exchange_declare(exchange, ExchangeKind::Topic, options, none);
            declared.await.map_err(|error| otherwise(connection.refused(error)))?;
            Ok(version)
        };
        let opened = binding.server.recognised(binding.server.call(opening).await).await;
        let offer = Offer {
            backend: format!("rabbitmq {}", opened?).into(),
            levels: BEST.levels,
            max_message: Offer::MAX_MESSAGE,
            emulated: BEST.emulated.to_vec(),
        };
        Ok((binding, offer))
    }

    /// The arguments of the queues of groups.
    fn limits(&self) -> FieldTable {
        let mut limits = arguments();
        limits.insert("x-expires".into(), milliseconds(self.forget_groups));
        if let Some(most) = self.max_messages {
            limits.insert("x-max-length".into(), AMQPValue::LongLongInt(most.into()));
        }
        if let Some(most) = self.max_size {
            let most = i64::try_from(most.0).unwrap_or(i64::MAX);
            limits.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(most));
        }
        // What is too much is refused, and nothing that waits is forgotten.
        limits.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        limits
    }
}

/// An exchange that is there and is none of ours.
fn otherwise(error: Error) -> Error {
    match error.kind() {
        Kind::Invalid => error.context("the exchange was made otherwise").with_hint(
            "name another `exchange`: it is a durable one for topics, and not deleted by itself",
        ),
        _ => error,
    }
}
