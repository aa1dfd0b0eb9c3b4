//! Names that are looked up again and again: each address is a server.

use super::Upstream;
use engine::Stop;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long one look-up may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks the names of an upstream up until it is gone.
pub(super) async fn watch(upstream: Weak<Upstream>, stop: Stop) {
    let mut known: Vec<Vec<IpAddr>> = Vec::new();
    loop {
        let Some(this) = upstream.upgrade() else { return };
        let looked_up = tokio::select! {
            biased;
            () = stop.wait() => return,
            found = look_up(&this) => found,
        };
        known.resize(looked_up.len(), Vec::new());
        let mut changed = !this.resolved.swap(true, Relaxed);
        for (known, found) in known.iter_mut().zip(looked_up) {
            if let Some(found) = found.filter(|found| found != known) {
                *known = found;
                changed = true;
            }
        }
        if changed {
            this.set(&known);
        }
        let pause = this.settings.resolve_every.mul_f64(0.9 + 0.2 * fastrand::f64());
        drop(this);
        tokio::select! {
            biased;
            () = stop.wait() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The addresses of each place, sorted; `None` where a name could not be looked up, whose earlier
/// addresses stay.
async fn look_up(upstream: &Arc<Upstream>) -> Vec<Option<Vec<IpAddr>>> {
    let resolver = upstream.network.resolver();
    let lookups = upstream.settings.places.iter().map(|place| async {
        if let Some(address) = place.address() {
            return Some(vec![address]);
        }
        let why = match tokio::time::timeout(PATIENCE, resolver.resolve(&place.host)).await {
            Ok(Ok(mut found)) if !found.is_empty() => {
                found.sort_unstable();
                found.dedup();
                return Some(found);
            }
            Ok(Ok(_)) => "it has no addresses".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => "it took too long".to_owned(),
        };
        let name = &place.host;
        tracing::warn!(upstream = upstream.name(), name, why, "a name was not found");
        None
    });
    futures::future::join_all(lookups).await
}
