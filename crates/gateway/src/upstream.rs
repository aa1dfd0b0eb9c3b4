//! Upstreams: plain servers that a route leads to, as it could lead to a component.
//!
//! `exchange.rs` is one request from top to bottom. What decides is kept apart from what acts:
//! `members.rs`, `ring.rs`, `outlier.rs`, `verdict.rs`, `budget.rs` and `redirect.rs` know no
//! network.

mod answer;
mod ask;
mod budget;
mod call;
mod checks;
mod connect;
mod endpoint;
mod exchange;
mod headers;
mod members;
mod mirror;
mod outlier;
mod redirect;
mod replay;
mod resolve;
mod ring;
mod settings;
mod tunnel;
mod verdict;

use base::Result;
use budget::Budget;
use endpoint::Endpoint;
use engine::{Stop, Tasks};
use http::client::{Network, Places};
use members::{Choice, Members};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

pub(crate) use answer::Proxied;
pub(crate) use call::uri;
pub(crate) use connect::Connected;
pub(crate) use exchange::Asked;
pub use mirror::Mirror;
pub(crate) use replay::Pulled;
pub use settings::{Balance, Check, HashOn, Limits, Outlier, Place, Retries, Settings};
pub(crate) use tunnel::Switch;

/// How many requests ended how.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answered by a server, whatever its answer says.
    pub answered: AtomicU64,
    /// Turned away because there was no room, or no server that is well.
    pub turned_away: AtomicU64,
    /// Ended because a server took too long.
    pub timed_out: AtomicU64,
    /// Ended because a server could not be reached, or answered with what is no answer.
    pub failed: AtomicU64,
    /// Attempts after the first.
    pub retried: AtomicU64,
    /// Copies of other upstreams' requests.
    pub mirrored: AtomicU64,
}

/// How one server of an upstream does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where it is.
    pub server: String,
    /// `well`, `ill` as its health says, or `ejected` for its failures.
    pub health: &'static str,
    /// Requests under way there.
    pub active: usize,
}

/// Servers that answer alike, how they do, and the ways to them.
pub struct Upstream {
    settings: Settings,
    network: Arc<Network>,
    members: ArcSwap,
    /// Told when there are other members.
    changed: Notify,
    /// Whether every name was looked up once.
    resolved: AtomicBool,
    turn: AtomicUsize,
    places: Places,
    budget: Budget,
    counts: Counts,
    /// Held by the one who decides that a server is left alone.
    ejecting: Mutex<()>,
    started: AtomicBool,
    stop: Stop,
}

type ArcSwap = arc_swap::ArcSwap<Members>;

impl Upstream {
    /// An upstream that does nothing of its own yet; see [`start`](Self::start).
    ///
    /// # Errors
    /// `Invalid` where TLS is to be spoken to a place whose name no certificate can bear.
    pub fn new(settings: Settings, network: Arc<Network>) -> Result<Arc<Self>> {
        let mut addresses = Vec::new();
        for place in &settings.places {
            if place.https && settings.tls.is_some() {
                endpoint::server_name(&settings, place)?;
            }
            addresses.push(place.address().into_iter().collect());
        }
        let static_only = settings.places.iter().all(|place| place.address().is_some());
        let upstream = Self {
            places: Places::new(settings.limits.requests, settings.limits.queue),
            settings,
            network,
            members: ArcSwap::from_pointee(Members::default()),
            changed: Notify::new(),
            resolved: AtomicBool::new(static_only),
            turn: AtomicUsize::new(0),
            budget: Budget::default(),
            counts: Counts::default(),
            ejecting: Mutex::new(()),
            started: AtomicBool::new(false),
            stop: Stop::new(),
        };
        upstream.set(&addresses);
        Ok(Arc::new(upstream))
    }

    /// Begins to look names up and to ask after the health of servers, as tasks of this runtime.
    /// Again it does nothing.
    pub fn start(self: &Arc<Self>, tasks: &Tasks) {
        if self.started.swap(true, Relaxed) {
            return;
        }
        if self.settings.places.iter().any(|place| place.address().is_none()) {
            tasks.spawn(resolve::watch(Arc::downgrade(self), self.stop.clone()));
        }
        if self.settings.check.is_some() {
            tasks.spawn(checks::watch(Arc::downgrade(self), self.stop.clone()));
        }
    }

    /// Ends what [`start`](Self::start) began. Requests are still answered.
    pub fn stop(&self) {
        self.stop.now();
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// How its requests ended.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How its servers do.
    pub fn states(&self) -> Vec<State> {
        let now = Instant::now();
        let state = |endpoint: &Arc<Endpoint>| State {
            server: endpoint.to_string(),
            health: match (endpoint.verdict.is_well(), endpoint.record.is_out(now)) {
                (false, _) => "ill",
                (true, true) => "ejected",
                (true, false) => "well",
            },
            active: endpoint.active(),
        };
        self.members.load().endpoints.iter().map(state).collect()
    }

    /// Makes these the addresses of the places. A server that was there already keeps its
    /// connections and what is known of its health.
    fn set(&self, addresses: &[Vec<IpAddr>]) {
        let before = self.members.load_full();
        let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
        for (place, found) in self.settings.places.iter().zip(addresses) {
            for address in found {
                let is = |one: &&Arc<Endpoint>| one.place == *place && one.address.ip() == *address;
                if endpoints.iter().any(|one| is(&one)) {
                    continue;
                }
                match before.endpoints.iter().find(is) {
                    Some(same) => endpoints.push(Arc::clone(same)),
                    // That it can be made was found when the upstream was.
                    None => match Endpoint::new(&self.settings, &self.network, place, *address) {
                        Ok(new) => endpoints.push(Arc::new(new)),
                        Err(error) => tracing::error!(upstream = self.name(), %error),
                    },
                }
            }
        }
        self.members.store(Arc::new(Members::new(endpoints, &self.settings.balance)));
        self.changed.notify_waiters();
    }

    /// The server that is asked next. Waits for names that were never looked up.
    async fn choose(&self, hash: Option<u64>, tried: &[Arc<Endpoint>]) -> Option<Arc<Endpoint>> {
        // Who is asked again takes nobody's turn.
        let turn = match tried.is_empty() {
            true => self.turn.fetch_add(1, Relaxed),
            false => self.turn.load(Relaxed),
        };
        let choice = Choice { balance: &self.settings.balance, turn, hash };
        let until = tokio::time::Instant::now() + self.settings.connect_timeout;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let resolved = self.resolved.load(Relaxed);
            {
                let members = self.members.load();
                let chosen = members.choose(&choice, tried);
                if let Some(chosen) = chosen.and_then(|at| members.endpoints.get(at)) {
                    return Some(Arc::clone(chosen));
                }
            }
            if resolved || tokio::time::timeout_at(until, changed).await.is_err() {
                return None;
            }
        }
    }

    /// Notes that a server failed. The machine's own limits are no fault of it.
    fn blame(&self, endpoint: &Endpoint, error: &http::client::Error) {
        if *error != http::client::Error::ConnectionLimitReached {
            self.note(endpoint, false);
        }
    }

    /// Notes how a server did, and leaves it alone if that was once too often.
    fn note(&self, endpoint: &Endpoint, good: bool) {
        if good {
            endpoint.record.succeeded();
            return;
        }
        let (rule, now) = (&self.settings.outlier, Instant::now());
        let _one_at_a_time = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let may = || {
            let members = self.members.load();
            outlier::has_room(rule, members.endpoints.len(), members.out(now))
        };
        if let Some(time) = endpoint.record.failed(rule, now, may) {
            let seconds = time.as_secs_f32();
            tracing::warn!(upstream = self.name(), %endpoint, seconds, "a server is left alone");
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.now();
    }
}

#[cfg(test)]
mod tests;
