//! What the filters of all threads share.

use super::{Clusters, Registry};
use ::filter::{LocalData, LocalQueues, Queues, SharedData};
use arc_swap::ArcSwap;
use base::Budget;
use std::sync::Arc;

/// What the filters of all threads share: data, queues, metrics, and the upstreams that they may
/// call.
pub struct Services {
    pub(crate) data: Arc<dyn SharedData>,
    pub(crate) queues: Arc<dyn Queues>,
    pub(crate) metrics: Registry,
    pub(crate) clusters: ArcSwap<Clusters>,
    pub(crate) budget: Option<Arc<Budget>>,
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
        Self { data, queues, metrics, clusters, budget: None }
    }

    /// The same, with memory from a budget.
    #[must_use]
    pub fn with_budget(self, budget: Arc<Budget>) -> Self {
        Self { budget: Some(budget), ..self }
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
