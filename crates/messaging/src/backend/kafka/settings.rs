//! The settings of a binding in Kafka, its topic, and what the live servers add to its offer.

use super::letter;
use super::names;
use super::topic::Topic;
use crate::{Best, Emulated, Levels, Offer};
use base::offer::{
    Attempts, Dedup, Delay, Durability, Groups, Ordering, Redelivery, Replay, Reply, Wildcards,
};
use base::{Backend as _, Error, Place, Result};
use connect::kafka::rdkafka::admin::{
    AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use connect::kafka::rdkafka::error::KafkaError;
use connect::kafka::rdkafka::types::RDKafkaErrorCode as Code;
use connect::kafka::{Kafka as Server, Publisher, Settings};
use serde::Deserialize;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// What a record may have where a topic does not say.
const USUAL: usize = 1_048_588;
/// Until a topic that was made has its leaders.
const PAUSE: Duration = Duration::from_millis(50);

/// A topic of our own that several brokers keep.
pub(in crate::backend) const BEST: Best = Best {
    backend: Kafka::NAME,
    levels: Levels {
        durability: Durability::Replicated,
        groups: Groups::Shared,
        wildcards: Wildcards::Words,
        redelivery: Redelivery::Deadline,
        attempts: Attempts::Group,
        retry: Delay::Milliseconds,
        // A topic has no messages for later; what a host could do ends with the host.
        delay: Delay::None,
        replay: Replay::Log,
        // What is published twice by two programs is there twice.
        dedup: Dedup::None,
        ordering: Ordering::Key,
        // Replies would be read by all that read.
        request: Reply::None,
    },
    // Brokers leave it to their systems to write to the disk.
    lowered: &[("durability", "os-buffer without replicas and `min.insync.replicas` of 2")],
    emulated: &[
        Emulated { ability: "wildcards", how: "hosts pass by what a group does not cover" },
        Emulated {
            ability: "redelivery",
            how: "by the host that has the part of the topic, as are pauses and attempts; what it \
                  knows is written beside the group's offset",
        },
    ],
};

/// `kafka:` — messages in a topic of Kafka.
///
/// Needs Kafka 2.4 or newer, or what speaks as it does. Other programs can publish to the same
/// topic and read it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kafka {
    /// `kafka://[user:password@]host[:port][,host[:port]…]`: one server or more of the cluster.
    /// With a user by SASL/PLAIN. There is no TLS.
    pub url: String,
    /// The topic of Kafka. Made if it is not there. Default `"wharf.<app>.<binding>"`.
    #[serde(default)]
    pub topic: Option<String>,
    /// How many parts the topic has when it is made: so many hosts can share its messages. Default
    /// `8`.
    #[serde(default = "Kafka::parts")]
    pub partitions: u16,
    /// How many brokers keep each message when the topic is made: with 2 and more, two have it
    /// before it is confirmed. Default: as many as the brokers like.
    #[serde(default)]
    pub replicas: Option<u16>,
    /// For how long a message is kept that every group is done with, for those that come later.
    /// Default `"1h"`; with `topic`, which others may read too, for ever.
    #[serde(default, deserialize_with = "some_duration")]
    pub max_age: Option<Duration>,
    /// Whether the topic may forget what a group waits for, by `retention.ms` and `retention.bytes`
    /// of its own. Default `false`: such a topic is refused.
    #[serde(default)]
    pub may_forget: bool,
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

/// A topic as it is.
struct Found {
    partitions: i32,
    /// So many brokers keep each part at least.
    replicas: usize,
}

impl Kafka {
    fn parts() -> u16 {
        8
    }

    /// How old messages become that nobody waits for; `None`: as old as they like.
    pub(super) fn age(&self) -> Option<Duration> {
        let usual = self.topic.is_none().then_some(Duration::from_secs(3600));
        self.max_age.or(usual).filter(|_| !self.may_forget)
    }

    /// The way to the servers, over which nothing went yet.
    pub(super) fn connection(&self) -> Result<Server> {
        if let Some(topic) = &self.topic
            && !names::is_topic(topic)
        {
            return Err(Error::invalid(format!("`{topic}` is no name of a topic of Kafka"))
                .with_hint("it has letters, digits, `.`, `-` and `_`"));
        }
        if !(1..=1000).contains(&self.partitions) {
            return Err(Error::invalid("`partitions` is 1 to 1000"));
        }
        if self.replicas == Some(0) {
            return Err(Error::invalid("`replicas` is at least 1"));
        }
        if self.max_age.is_some_and(|age| age < Duration::from_secs(1)) {
            return Err(Error::invalid("`max-age` is at least a second"));
        }
        if self.timeout < Duration::from_millis(100) {
            return Err(Error::invalid("`timeout` is at least 100ms"));
        }
        let Self { url, timeout, in_flight, .. } = self;
        Server::new(&Settings { url: url.clone(), timeout: *timeout, in_flight: *in_flight })
    }

    /// Finds the topic or makes it, and tells what the servers behind it can do.
    pub(super) async fn open_topic(&self, place: &Place) -> Result<(Topic, Offer)> {
        let server = self.connection()?;
        // Before anything is made there.
        server.recognised(server.admit().await).await?;
        let name = self.topic.clone().unwrap_or_else(|| names::topic(place));
        let found = match find(&server, &name).await? {
            Some(found) => found,
            None => self.make(&server, &name).await?,
        };
        let config = describe(&server, &name).await?;
        self.check_config(&name, &config)?;
        let number = |key: &str| config.get(key)?.value.as_ref()?.parse::<usize>().ok();
        let most = number("max.message.bytes").unwrap_or(USUAL);
        let in_sync = number("min.insync.replicas").unwrap_or(1).min(found.replicas);
        let offer = Offer {
            backend: Self::NAME.into(),
            levels: Levels {
                durability: match in_sync {
                    0 | 1 => Durability::OsBuffer,
                    _ => Durability::Replicated,
                },
                ..BEST.levels
            },
            max_message: most.saturating_sub(letter::ROOM).min(Offer::MAX_MESSAGE),
            emulated: BEST.emulated.to_vec(),
        };
        let topic = Topic {
            publisher: Publisher::new(&server, most),
            server,
            name,
            partitions: found.partitions,
            is_gone: AtomicBool::new(false),
        };
        Ok((topic, offer))
    }

    /// Makes the topic. Another host may make it at the same moment.
    async fn make(&self, server: &Server, name: &str) -> Result<Found> {
        let replicas = self.replicas.map_or(-1, i32::from);
        let mut new =
            NewTopic::new(name, i32::from(self.partitions), TopicReplication::Fixed(replicas))
                .set("cleanup.policy", "delete")
                .set("retention.ms", "-1")
                .set("retention.bytes", "-1")
                .set("message.timestamp.type", "LogAppendTime");
        if replicas > 1 {
            new = new.set("min.insync.replicas", "2");
        }
        let (admin, options) = (server.admin()?, options(server));
        let making = async {
            let made = admin.create_topics([&new], &options).await;
            made.map_err(|error| server.error(error))
        };
        for made in server.call(making).await? {
            if let Err((_, code)) = made
                && code != Code::TopicAlreadyExists
            {
                let error = server.error(KafkaError::AdminOp(code));
                return Err(error.context(format!("making the topic `{name}`")));
            }
        }
        let begun = Instant::now();
        loop {
            match find(server, name).await? {
                Some(found) => return Ok(found),
                None if begun.elapsed() > self.timeout => {
                    let server = server.server();
                    return Err(Error::unavailable(format!("{server}: `{name}` has no leader")));
                }
                None => sleep(PAUSE).await,
            }
        }
    }

    /// Whether a topic that is there keeps what it is given.
    fn check_config(&self, name: &str, config: &ConfigResource) -> Result<()> {
        let value = |key: &str| config.get(key).and_then(|entry| entry.value.clone());
        let differs = |key: &str, found: &str, hint: String| {
            Err(Error::invalid(format!("the topic `{name}` forgets: its `{key}` is {found}"))
                .with_hint(hint))
        };
        if let Some(policy) = value("cleanup.policy")
            && policy != "delete"
        {
            let hint = "name another `topic`: a compacted one keeps the last of each key alone";
            return differs("cleanup.policy", &policy, hint.to_owned());
        }
        for key in ["retention.ms", "retention.bytes"] {
            if let Some(found) = value(key)
                && found != "-1"
                && !self.may_forget
            {
                let hint = format!(
                    "set it to -1, or write `may-forget = true` if groups may lose what they did \
                     not get in time: kafka-configs.sh --alter --topic {name} --add-config {key}=-1"
                );
                return differs(key, &found, hint);
            }
        }
        Ok(())
    }
}

fn options(server: &Server) -> AdminOptions {
    let patience = Some(server.patience());
    AdminOptions::new().request_timeout(patience).operation_timeout(patience)
}

/// The topic, unless it is not there or some part of it has no leader.
async fn find(server: &Server, name: &str) -> Result<Option<Found>> {
    let (admin, patience, topic) = (server.admin()?, server.patience(), name.to_owned());
    let look = move || {
        let metadata = admin.inner().fetch_metadata(Some(&topic), patience)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        let parts = found.partitions();
        if let Some(error) = found.error().map(Code::from)
            && !matches!(error, Code::UnknownTopicOrPartition | Code::LeaderNotAvailable)
        {
            return Err(KafkaError::MetadataFetch(error));
        }
        let are_led = !parts.is_empty() && parts.iter().all(|part| part.leader() >= 0);
        let replicas = parts.iter().map(|part| part.replicas().len()).min();
        let partitions = i32::try_from(parts.len()).unwrap_or(i32::MAX);
        Ok(are_led.then_some(Found { partitions, replicas: replicas.unwrap_or_default() }))
    };
    server.blocking(look).await
}

async fn describe(server: &Server, name: &str) -> Result<ConfigResource> {
    let (admin, options) = (server.admin()?, options(server));
    let describing = async {
        let described = admin.describe_configs([&ResourceSpecifier::Topic(name)], &options).await;
        let described = described.map_err(|error| server.error(error))?.into_iter().next();
        match described {
            Some(Ok(config)) => Ok(config),
            Some(Err(code)) => Err(server.error(KafkaError::AdminOp(code))),
            None => Err(Error::internal(format!("{}: no settings came", server.server()))),
        }
    };
    let described = server.call(describing).await;
    described.map_err(|error| error.context(format!("reading the settings of `{name}`")))
}
