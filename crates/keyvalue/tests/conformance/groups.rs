//! Servers that stand behind one binding together: the other ways to set up a backend.

use crate::faults::etcd_cluster;
use crate::{opened, place};
use base::{Place, Result};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use libtest_mimic::Trial;
use std::path::Path;
use std::sync::Arc;
use testkit::servers::{Cluster, NatsCluster, Sentinels};
use wharf_keyvalue::Store;
use wharf_keyvalue::promises::PROMISES;

/// Those that all tests of this program share.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// What the deployment file says of a binding there, which starts the servers.
    settings: fn() -> String,
}

pub(crate) const GROUPS: &[Group] = &[
    Group { name: "etcd-cluster", settings: || etcd_cluster::settings(etcd_cluster::shared()) },
    Group { name: "nats-cluster", settings: || NatsCluster::shared().settings() },
    Group { name: "redis-cluster", settings: || Cluster::shared().settings() },
    Group { name: "redis-sentinel", settings: || Sentinels::shared().settings() },
    Group {
        name: "redis-sharded",
        settings: || format!("{}, shards = 8", Cluster::shared().settings()),
    },
];

/// Every promise on each.
pub(crate) fn trials() -> Vec<Trial> {
    let trials = GROUPS.iter().flat_map(|group| {
        testkit::conformance::trials_with(group.name, PROMISES, |place| group.open(place))
    });
    trials.collect()
}

impl Group {
    /// A binding as much its own as the folder is.
    pub(crate) fn remote(self, data: &Path) -> BoxFuture<'static, Arc<dyn Store>> {
        let place = Place { app: data.display().to_string(), ..place(data) };
        self.open(place).map(|opened| opened.unwrap()).boxed()
    }

    fn open(self, place: Place) -> BoxFuture<'static, Result<Arc<dyn Store>>> {
        // What two of them have in common, they spread otherwise.
        let place = Place { app: format!("{} {}", self.name, place.app), ..place };
        async move { opened(&format!("{{ {} }}", (self.settings)()), place).await }.boxed()
    }
}
