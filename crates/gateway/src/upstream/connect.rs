//! Connections to servers of which nobody here looks at what is spoken.

use super::endpoint::Active;
use super::settings::{Balance, HashOn};
use super::{Upstream, budget, ring};
use http::client::Error;
use http::client::Stream;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// A connection to a server.
pub(crate) struct Connected {
    pub(crate) stream: Stream,
    pub(crate) held: Held,
}

/// What counts as a request of the upstream until it is dropped.
pub(crate) struct Held {
    active: Active,
    _place: OwnedSemaphorePermit,
}

impl Held {
    /// Where the server is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.active.endpoint().address
    }
}

impl Upstream {
    /// Connects to one of the servers; where that fails, to another, as often as `retries` allows.
    /// The log has a line if it does not work out. Writes fail once a server has taken nothing for
    /// as long as `patience`.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(crate) async fn connect(
        &self,
        source: IpAddr,
        patience: Duration,
    ) -> Result<Connected, &'static str> {
        let refused = |why| {
            self.counts.turned_away.fetch_add(1, Relaxed);
            tracing::warn!(upstream = self.name(), %source, "{why}");
            why
        };
        let deadline = Instant::now() + self.settings.limits.queue_timeout;
        let place = self.places.wait(deadline).await;
        let place = place.ok_or_else(|| refused("the upstream is at its limit"))?;
        let rule = &self.settings.retries;
        let hash = match &self.settings.balance {
            Balance::RingHash(HashOn::Source) => {
                Some(ring::hash(source.to_canonical().to_string().as_bytes()))
            }
            _ => None,
        };
        let (mut tried, mut spent) = (Vec::new(), None);
        loop {
            let endpoint = self.choose(hash, &tried).await;
            let endpoint = endpoint.ok_or_else(|| refused("no server of the upstream is well"))?;
            let active = endpoint.begin();
            let opened = endpoint.client.open(patience).await;
            drop(spent.take());
            let error = match opened {
                Ok(stream) => {
                    self.note(&endpoint, true);
                    self.counts.answered.fetch_add(1, Relaxed);
                    return Ok(Connected { stream, held: Held { active, _place: place } });
                }
                Err(error) => error,
            };
            self.blame(&endpoint, &error);
            if tried.len() < rule.attempts {
                spent = self.budget.spend(self.places.taken(), rule.budget);
            }
            if spent.is_none() {
                let (upstream, attempts) = (self.name(), tried.len() + 1);
                tracing::warn!(upstream, %endpoint, %source, attempts, %error, "no connection");
                let is_late = error == Error::ConnectionTimeout;
                let counts = &self.counts;
                let count = if is_late { &counts.timed_out } else { &counts.failed };
                count.fetch_add(1, Relaxed);
                return Err("no server of the upstream could be reached");
            }
            tried.push(Arc::clone(&endpoint));
            tokio::time::sleep(budget::backoff(rule, tried.len(), fastrand::f64())).await;
            self.counts.retried.fetch_add(1, Relaxed);
        }
    }
}
