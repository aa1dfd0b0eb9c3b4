//! Proxy-Wasm filters before components and upstreams.

mod attributes;
pub(crate) mod calls;
pub(crate) mod editing;
pub(crate) mod example;
pub(crate) mod failing;
mod files;
mod health;
pub(crate) mod languages;
pub(crate) mod state;
mod upgrades;

use crate::support::{Folder, Served, deploy};
use std::net::SocketAddr;

/// The filter `name` before an upstream that has this endpoint, with these keys of its section.
fn before_upstream(filter: &str, keys: &str, endpoint: SocketAddr) -> Served {
    deploy(&file(
        filter,
        keys,
        &format!("upstream = \"up\"\n[upstream.up]\nendpoints = [\"{endpoint}\"]"),
    ))
}

/// The filter `name` before a component that says what it was asked.
fn before_component(filter: &str, keys: &str) -> Served {
    deploy(&file(filter, keys, &component()))
}

fn component() -> String {
    "component = \"web\"\n[component.web]\nsource = \"http-echo-p2.wasm\"".to_owned()
}

fn file(filter: &str, keys: &str, target: &str) -> String {
    format!(
        "name = \"filtered\"\n[http]\nthreads = 1\n[filter.f]\nsource = \"{filter}.wasm\"\n{keys}\n\
         [[http.route]]\nfilters = [\"f\"]\n{target}\n"
    )
}

/// What `wharf check` says of it.
fn check(file: &str) -> testkit::program::Ended {
    Folder::with(file).run(&["check"])
}
