//! From listeners for bare TCP to where their connections go.

use super::{App, filter};
use gateway::tcp::{Leads, Settings};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the connections of each listener go, by its name.
pub(super) fn leads(app: &App) -> BTreeMap<String, Leads> {
    // What is missing was reported where it stands.
    let leads = |tcp: &deployment::Tcp| {
        let upstream = Arc::clone(&app.upstreams.get(&tcp.upstream)?.upstream);
        let filters = filter::placed(&app.filters, tcp.filters.iter());
        Some((tcp.name.clone(), Leads { upstream, filters }))
    };
    app.plan.tcp.iter().filter_map(leads).collect()
}

/// What the file says, and where it says nothing what is usual.
pub(crate) fn settings(of: &deployment::Tcp) -> Settings {
    let usual = Settings::new(of.name.as_str());
    Settings {
        idle_timeout: of.idle_timeout.unwrap_or(usual.idle_timeout),
        max_connections: of.max_connections.unwrap_or(usual.max_connections),
        access_log: of.access_log.unwrap_or(usual.access_log),
        name: usual.name,
    }
}
