//! The same through a network that cuts, delays, halves and loses: for every server there is.

use super::{HISTORIES, play};
use crate::{opened, place, trial};
use base::Place;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::Duration;
use testkit::proxy::{self, Proxy};
use testkit::servers::{VENDORS, Vendor};
use tokio::task::JoinSet;
use wharf_keyvalue::Store;

/// Clients wait up to this long between calls, so that a history meets several faults.
const PAUSE: Duration = Duration::from_millis(30);

pub(super) fn trials() -> Vec<Trial> {
    let trials = VENDORS.iter().map(|vendor| {
        let name = format!("linear::{}_is_linearizable_on_a_bad_network", vendor.name);
        trial(name, storm(vendor))
    });
    trials.collect()
}

async fn storm(vendor: &'static Vendor) {
    let server = tokio::task::spawn_blocking(vendor.shared).await.unwrap();
    let (mut open, mut answered) = (0, 0);
    for seed in 0..2 * HISTORIES {
        let proxy = Arc::new(Proxy::start(server.address()).await);
        // Two hosts, each with connections of its own.
        let folder = tempfile::tempdir().unwrap();
        let place = Place { app: folder.path().display().to_string(), ..place(folder.path()) };
        let settings = format!("{{ url = '{}', timeout = '1s' }}", (vendor.url)(proxy.address()));
        let mut stores: Vec<Arc<dyn Store>> = Vec::new();
        for _ in 0..2 {
            stores.push(opened(&settings, place.clone()).await.unwrap());
        }
        let mut wind = JoinSet::new();
        wind.spawn(proxy::storm(Arc::clone(&proxy), seed));
        let played = play(&stores, seed, PAUSE).await;
        wind.shutdown().await;
        (open, answered) = (open + played.open, answered + played.answered);
        assert!(played.could_have_happened(), "history {seed}");
    }
    assert!(open > 0, "the network was not bad enough");
    assert!(answered > open, "{answered} calls were answered, and {open} are open");
}
