//! Removes messages that every group is done with, when they are old; and all of a binding.
//!
//! Kafka's own retention knows nothing of groups: it would take away what somebody waits for.

use super::topic::{Desk, Topic, in_milliseconds, offset_of};
use super::{group, names};
use base::{Error, Result};
use connect::kafka::rdkafka::TopicPartitionList;
use connect::kafka::rdkafka::error::KafkaError;
use connect::kafka::rdkafka::types::RDKafkaErrorCode as Code;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::sleep;

/// The pause between two sweeps, at most.
const LONGEST: Duration = Duration::from_secs(300);

/// Sweeps for ever what is older than `age`.
pub(super) async fn run(topic: Arc<Topic>, age: Duration) {
    loop {
        // Not every host of a deployment at the same moment.
        sleep((age / 8).min(LONGEST).mul_f64(0.5 + fastrand::f64())).await;
        if topic.check().is_err() {
            return;
        }
        if let Err(error) = sweep(&topic, age).await {
            tracing::debug!(%error, "sweeping old messages is tried again");
        }
    }
}

/// Removes what is older than `age` and what every group is done with.
async fn sweep(topic: &Topic, age: Duration) -> Result<()> {
    let Some(before) = SystemTime::now().checked_sub(age) else { return Ok(()) };
    let look = move |desk: &Desk| {
        let partitions = desk.partitions()?;
        let beginnings = desk.beginnings(&partitions)?;
        let ends = desk.at_time(in_milliseconds(before), &desk.ends(&partitions)?)?;
        Ok(Ok((beginnings, ends, partitions)))
    };
    let nobody = names::alone(&topic.name);
    let (beginnings, mut ends, partitions) = topic.ask(nobody, look).await?;
    for name in groups(topic).await? {
        let asked = partitions.clone();
        let committed = topic.ask(name, move |desk| desk.committed(&asked).map(Ok)).await?;
        for (partition, end) in &mut ends {
            // A group that is about to begin needs all.
            let done = committed.get(partition).map_or(0, |committed| committed.offset);
            *end = done.min(*end);
        }
    }
    ends.retain(|partition, end| beginnings.get(partition).is_some_and(|begin| begin < end));
    match ends.is_empty() {
        true => Ok(()),
        false => remove(topic, &ends).await,
    }
}

/// Removes what is before these numbers.
async fn remove(topic: &Topic, ends: &BTreeMap<i32, u64>) -> Result<()> {
    let server = &topic.server;
    let mut list = TopicPartitionList::new();
    for (partition, end) in ends {
        let added = list.add_partition_offset(&topic.name, *partition, offset_of(*end));
        added.map_err(|error| server.error(error))?;
    }
    let (admin, options) = (server.admin()?, topic.options());
    let removing = async {
        let removed = admin.delete_records(&list, &options).await;
        removed.map(drop).map_err(|error| server.error(error))
    };
    server.call(removing).await
}

/// The groups of the binding, as Kafka calls them.
async fn groups(topic: &Topic) -> Result<Vec<String>> {
    let prefix = names::group(&topic.name, "");
    let (admin, patience) = (topic.server.admin()?, topic.server.patience());
    let list = move || {
        let all = admin.inner().fetch_group_list(None, patience)?;
        let names = all.groups().iter().map(|group| group.name().to_owned());
        Ok(names.filter(|name| name.starts_with(&prefix)).collect())
    };
    topic.server.blocking(list).await
}

impl Topic {
    /// Removes the topic and its groups.
    pub(super) async fn destroy(&self) -> Result<()> {
        let all = groups(self).await?;
        if group::remove(self, &all).await? {
            return Err(Error::conflict(format!("others take part in groups of `{}`", self.name)));
        }
        let (server, options) = (&self.server, self.options());
        let admin = server.admin()?;
        let removing = async {
            let removed = admin.delete_topics(&[&self.name], &options).await;
            removed.map_err(|error| server.error(error))
        };
        match server.call(removing).await?.into_iter().next() {
            None | Some(Ok(_)) => Ok(()),
            Some(Err((_, Code::UnknownTopicOrPartition | Code::UnknownTopic))) => Ok(()),
            Some(Err((_, code))) => Err(server.error(KafkaError::AdminOp(code))),
        }
    }
}
