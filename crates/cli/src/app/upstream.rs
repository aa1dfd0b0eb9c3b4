//! From an upstream's section to one that can be asked.

use super::problems::Problems;
use super::{Host, Led};
use crate::beside::beside;
use base::Result;
use connect::tls::{ALPN_HTTP, Trust};
use gateway::upstream::{
    Balance, Check, HashOn, Limits, Outlier, Place, Retries, Settings, Upstream,
};
use http::client::{Protocol, Tls};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Every upstream, or what an earlier file made of the same section and certificates: its
/// connections and what is known of its servers are kept.
pub(super) async fn all(
    app: &deployment::App,
    host: Host<'_>,
    problems: &mut Problems,
) -> BTreeMap<String, Led> {
    let mut upstreams = BTreeMap::new();
    for of in &app.upstreams {
        match one(of, host).await {
            Ok(led) => drop(upstreams.insert(of.name.clone(), led)),
            Err(error) => {
                let at = of.tls.at.as_ref().unwrap_or(&of.at);
                problems.add(Some(at), error.context(format!("upstream `{}`", of.name)));
            }
        }
    }
    upstreams
}

async fn one(of: &deployment::Upstream, host: Host<'_>) -> Result<Led> {
    let (identity, wanted) = (of.tls.clone(), of.endpoints.iter().any(|endpoint| endpoint.https));
    let (trust, tls) = beside(move || {
        let (certificate, key) = identity.own.unzip();
        // These are paths from where the program runs.
        let (here, ca) = (Path::new(""), identity.ca.as_deref());
        let trust = Trust::read(here, ca, certificate.as_deref(), key.as_deref())?;
        let tls = if wanted { Some(trust.client(ALPN_HTTP)?) } else { None };
        Ok((trust, tls))
    })
    .await?;
    if let Some(same) = host.earlier.and_then(|earlier| earlier.upstreams.get(&of.name))
        && same.of == *of
        && same.trust == trust
    {
        return Ok(same.clone());
    }
    let tls = tls.map(|tls| Arc::new(Tls::new(tls)));
    let upstream = Upstream::new(settings(of, tls), Arc::clone(host.program.network()))?;
    Ok(Led { upstream, of: of.clone(), trust })
}

/// What the file says, and where it says nothing what is usual.
fn settings(of: &deployment::Upstream, tls: Option<Arc<Tls>>) -> Settings {
    let place = |endpoint: &deployment::Endpoint| Place {
        https: endpoint.https,
        host: endpoint.host.clone(),
        port: endpoint.port,
    };
    let seconds = Duration::from_secs;
    Settings {
        name: of.name.clone(),
        places: of.endpoints.iter().map(place).collect(),
        balance: balance(&of.balance),
        host: of.host.clone(),
        protocol: match of.http2 {
            None => Protocol::Auto,
            Some(true) => Protocol::Http2,
            Some(false) => Protocol::Http1,
        },
        tls,
        server_name: of.tls.server_name.clone(),
        connect_timeout: of.connect_timeout.unwrap_or(seconds(5)),
        request_timeout: of.request_timeout,
        idle_timeout: of.idle_timeout.unwrap_or(seconds(60)),
        tunnel_timeout: of.tunnel_timeout.unwrap_or(seconds(300)),
        resolve_every: of.resolve_every.unwrap_or(seconds(30)),
        limits: limits(&of.limits),
        retries: retries(&of.retries),
        outlier: outlier(&of.ejection),
        check: of.health.as_ref().map(check),
        follow_redirects: of.follow_redirects.unwrap_or(0),
    }
}

fn balance(balance: &deployment::Balance) -> Balance {
    match balance {
        deployment::Balance::RoundRobin => Balance::RoundRobin,
        deployment::Balance::LeastRequest => Balance::LeastRequest,
        deployment::Balance::RingHash(on) => Balance::RingHash(match on {
            deployment::HashOn::Header(name) => HashOn::Header(name.clone()),
            deployment::HashOn::Path => HashOn::Path,
            deployment::HashOn::Source => HashOn::Source,
        }),
    }
}

fn limits(set: &deployment::UpstreamLimits) -> Limits {
    let requests = set.requests.unwrap_or(1024);
    Limits {
        requests,
        queue: set.queue.unwrap_or(1024),
        queue_timeout: set.queue_timeout.unwrap_or(Duration::from_secs(5)),
        connections: set.connections.unwrap_or(requests),
        idle_connections: set.idle_connections.unwrap_or(64),
        request_body: set.request_body.unwrap_or(u64::MAX),
    }
}

fn retries(set: &deployment::Retries) -> Retries {
    Retries {
        attempts: set.attempts.unwrap_or(1),
        statuses: set.statuses.clone(),
        budget: set.budget.unwrap_or(20),
        backoff: set.backoff.unwrap_or(Duration::from_millis(25)),
        max_backoff: set.max_backoff.unwrap_or(Duration::from_millis(250)),
    }
}

fn outlier(set: &deployment::Ejection) -> Outlier {
    Outlier {
        failures: set.failures.unwrap_or(5),
        time: set.time.unwrap_or(Duration::from_secs(30)),
        max_time: set.max_time.unwrap_or(Duration::from_secs(300)),
        max_ejected: set.max_percent.unwrap_or(50),
    }
}

fn check(set: &deployment::Health) -> Check {
    Check {
        path: set.path.clone(),
        interval: set.interval.unwrap_or(Duration::from_secs(10)),
        timeout: set.timeout.unwrap_or(Duration::from_secs(2)),
        healthy: set.healthy.unwrap_or(2),
        unhealthy: set.unhealthy.unwrap_or(3),
    }
}
