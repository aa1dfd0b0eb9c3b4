//! What the filters of all threads share.

use super::standing::{Seats, Stands};
use super::{Clusters, Registry};
use ::filter::{LocalData, LocalQueues, Queues, SharedData, Status};
use arc_swap::ArcSwap;
use base::Budget;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What the filters of all threads share: data, queues, metrics, and the upstreams that they may
/// call.
pub struct Services {
    pub(crate) data: Placed,
    pub(crate) queues: Arc<dyn Queues>,
    pub(crate) metrics: Registry,
    pub(crate) clusters: ArcSwap<Clusters>,
    pub(crate) budget: Option<Arc<Budget>>,
    pub(crate) seats: Seats,
}

/// Shared data, some of it in other places than the rest.
pub(crate) struct Placed {
    usual: Arc<dyn SharedData>,
    /// By `vm_id`.
    others: ArcSwap<HashMap<String, Arc<dyn SharedData>>>,
}

impl SharedData for Placed {
    fn get(&self, vm_id: &str, key: &[u8]) -> Result<Option<(Bytes, u32)>, Status> {
        match self.others.load().get(vm_id) {
            Some(other) => other.get(vm_id, key),
            None => self.usual.get(vm_id, key),
        }
    }

    fn set(&self, vm_id: &str, key: &[u8], value: Bytes, cas: u32) -> Result<(), Status> {
        match self.others.load().get(vm_id) {
            Some(other) => other.set(vm_id, key, value, cas),
            None => self.usual.set(vm_id, key, value, cas),
        }
    }
}

impl Default for Services {
    /// Data and queues in this process, and no upstreams.
    fn default() -> Self {
        Self::new(Arc::new(LocalData::default()), Arc::new(LocalQueues::default()))
    }
}

impl Services {
    /// Services that keep data and queues there.
    pub fn new(data: Arc<dyn SharedData>, queues: Arc<dyn Queues>) -> Self {
        let (metrics, clusters) = (Registry::default(), ArcSwap::default());
        let data = Placed { usual: data, others: ArcSwap::default() };
        Self { data, queues, metrics, clusters, budget: None, seats: Seats::default() }
    }

    /// The same, with memory from a budget.
    #[must_use]
    pub fn with_budget(self, budget: Arc<Budget>) -> Self {
        Self { budget: Some(budget), ..self }
    }

    /// Has the data of these `vm_id`s kept there from now on, and of no others.
    pub fn set_shared(&self, others: HashMap<String, Arc<dyn SharedData>>) {
        self.data.others.store(Arc::new(others));
    }

    /// How the filters that routes and listeners have stand, by their names.
    pub fn stand(&self) -> BTreeMap<String, Stands> {
        self.seats.stand()
    }

    /// What filters have counted.
    pub fn metrics(&self) -> &Registry {
        &self.metrics
    }

    /// Makes these the upstreams that filters may call from now on.
    pub fn set_clusters(&self, clusters: Clusters) {
        self.clusters.store(Arc::new(clusters));
    }
}
