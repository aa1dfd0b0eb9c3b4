//! Listeners for bare TCP: what comes goes to a server of an upstream, through filters.
//!
//! `connection.rs` is one connection from top to bottom. A connection stays on the thread that
//! accepted it, and so do its filters.

mod accept;
mod attributes;
mod connection;
mod counts;
mod flow;
mod track;

pub use counts::{Counts, Outcome};

use crate::filter::Filters;
use crate::listener::Bound;
use crate::upstream::Upstream;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use accept::accept;

/// A listener as an operator sets it up.
pub struct Listener {
    /// Its addresses.
    pub bound: Vec<Bound>,
    /// What it bears.
    pub settings: Settings,
    /// Where its connections go.
    pub leads: Leads,
}

/// What a listener is called and bears.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name in the deployment.
    pub name: String,
    /// How long nothing may pass through a connection.
    pub idle_timeout: Duration,
    /// Connections at once; more wait.
    pub max_connections: usize,
    /// Whether connections are written down.
    pub access_log: bool,
}

impl Settings {
    /// What is usual, for a listener of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            idle_timeout: Duration::from_secs(3600),
            max_connections: 1024,
            access_log: false,
        }
    }
}

/// Where the connections of a listener go.
#[derive(Clone)]
pub struct Leads {
    /// To a server of this upstream.
    pub upstream: Arc<Upstream>,
    /// Through these filters, in their order.
    pub filters: Filters,
}

/// A listener that is served.
pub(crate) struct Inlet {
    settings: Settings,
    /// Of new connections; those that run keep theirs.
    leads: ArcSwap<Leads>,
    counts: Arc<Counts>,
    room: Arc<Semaphore>,
    /// Somebody waits for room, which the log knows.
    is_full: AtomicBool,
}

impl Inlet {
    pub(crate) fn new(settings: Settings, leads: Leads) -> Arc<Self> {
        let room = settings.max_connections.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            settings,
            leads: ArcSwap::from_pointee(leads),
            counts: Arc::default(),
            room: Arc::new(Semaphore::new(room)),
            is_full: AtomicBool::new(false),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Where new connections go.
    pub(crate) fn leads(&self) -> Arc<Leads> {
        self.leads.load_full()
    }

    /// Has new connections go there from now on.
    pub(crate) fn lead(&self, leads: Leads) {
        self.leads.store(Arc::new(leads));
    }

    /// A place for one more connection, as soon as there is one.
    async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.room).try_acquire_owned() {
            self.is_full.store(false, Relaxed);
            return Some(place);
        }
        if !self.is_full.swap(true, Relaxed) {
            let (listener, connections) = (self.name(), self.settings.max_connections);
            tracing::warn!(listener, connections, "connections wait: `max-connections` is reached");
        }
        // The semaphore is never closed, so this waits and does not fail.
        Arc::clone(&self.room).acquire_owned().await.ok()
    }
}
