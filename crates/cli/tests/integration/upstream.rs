//! Routes that lead to upstreams: servers of the test's own, good and bad.

mod balancing;
mod bodies;
mod failing;
mod files;
mod health;
mod limits;
mod mirror;
mod proxying;
mod redirects;
mod reloading;
mod retries;
mod secure;
mod smuggling;
pub(crate) mod upgrades;

use crate::support::{Served, deploy};
use std::net::SocketAddr;

/// Everything goes to one upstream with these endpoints and keys.
fn gateway(endpoints: &[SocketAddr], keys: &str) -> Served {
    deploy(&file(endpoints, keys))
}

fn file(endpoints: &[SocketAddr], keys: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|one| format!("\"{one}\"")).collect();
    format!(
        "name = \"gateway\"\n[[http.route]]\nupstream = \"up\"\n\
         [upstream.up]\nendpoints = [{}]\n{keys}\n",
        endpoints.join(", ")
    )
}
