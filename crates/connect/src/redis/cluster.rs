//! Clusters of Redis: the client, and each master by itself.

use super::{Connection, Redis, Settings, address, certificates, single};
use base::{Error, Kind, Result};
use redis::cluster::ClusterClient;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo as _,
    RedisError, Value, cmd,
};
use std::time::Duration;

/// A server that has keys: one of a cluster's masters, or the only one.
///
/// In a cluster it is found by a slot of its own, so whoever takes over from it is found too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Master {
    slot: Option<u16>,
}

impl Master {
    /// The one that has the command's keys.
    pub(super) const ANY: Self = Self { slot: None };
}

impl Redis {
    /// Every server that has keys.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn masters(&self) -> Result<Vec<Master>> {
        if !self.is_cluster() {
            return Ok(vec![Master::ANY]);
        }
        // Each range of slots: its first, its last, its master, the replicas of that.
        let ranges: Vec<Vec<Value>> = self.read(cmd("CLUSTER").arg("SLOTS")).await?;
        let strange =
            || Error::new(Kind::Corrupt, format!("the slots that {} names", self.server()));
        let mut masters: Vec<(Value, Master)> = Vec::new();
        for range in ranges {
            let mut range = range.into_iter();
            let (Some(first), Some(master)) = (range.next(), range.nth(1)) else {
                return Err(strange());
            };
            let slot = redis::from_redis_value(first).map_err(|error| strange().with_source(error));
            if masters.iter().all(|(known, _)| *known != master) {
                masters.push((master, Master { slot: Some(slot?) }));
            }
        }
        Ok(masters.into_iter().map(|(_, master)| master).collect())
    }

    /// Sends one of the servers a command that changes nothing; a second time, if the connection
    /// turns out to be gone.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn read_at<T: FromRedisValue>(&self, master: Master, command: &Cmd) -> Result<T> {
        match self.query_at(master, command).await {
            Err(error) if error.kind() == Kind::Unavailable && self.current().is_none() => {
                self.query_at(master, command).await
            }
            outcome => outcome,
        }
    }

    async fn query_at<T: FromRedisValue>(&self, master: Master, command: &Cmd) -> Result<T> {
        self.call(async |connection| match (connection, master.slot) {
            (Connection::All(all), Some(slot)) => {
                let route = SingleNodeRoutingInfo::SpecificNode(Route::new(slot, SlotAddr::Master));
                let routing = RoutingInfo::SingleNode(route);
                // In a box, as it would make every other call large.
                let answer = Box::pin(all.route_command(command.clone(), routing)).await?;
                Ok(redis::from_redis_value(answer)?)
            }
            (connection, _) => command.query_async(connection).await,
        })
        .await
    }
}

/// A client of the cluster that `settings` name, and of each node that they name.
pub(super) fn client(
    info: &ConnectionInfo,
    settings: &Settings,
    connect: Duration,
) -> Result<(ClusterClient, Vec<Client>)> {
    let wrong = |error: RedisError| Error::invalid("the cluster's nodes").with_source(error);
    let mut nodes = vec![info.clone()];
    for node in &settings.nodes {
        let (host, port) = address(node)?;
        let node = match info.addr() {
            ConnectionAddr::TcpTls { .. } => format!("rediss://{host}:{port}"),
            _ => format!("redis://{host}:{port}"),
        };
        let node = node.as_str().into_connection_info().map_err(wrong)?;
        nodes.push(node.set_redis_settings(info.redis_settings().clone()));
    }
    let each = nodes.iter().map(|node| single(node, &settings.trust).map_err(wrong));
    let each = each.collect::<Result<_>>()?;
    let mut builder = ClusterClient::builder(nodes);
    if let Some(certificates) = certificates(info, &settings.trust) {
        builder = builder.certs(certificates);
    }
    let cluster = builder
        .connection_timeout(connect)
        .response_timeout(settings.timeout)
        .retries(3)
        .build()
        .map_err(wrong)?;
    Ok((cluster, each))
}
