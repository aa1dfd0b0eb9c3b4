//! Measures Wharf: beside its peers over HTTP, and its own parts in one process.

mod cores;
mod filter;
mod goals;
mod http;
mod inproc;
mod keyvalue;
mod messaging;
mod peer;
mod report;
mod row;
mod sample;
mod server;
mod start;

use anyhow::Result;

/// What to measure.
#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// Requests over HTTP: Wharf, a plain hyper server and `wasmtime serve`, in turn.
    Http(http::Options),
    /// Requests through filters: Wharf and Envoy, in turn.
    Filter(filter::Options),
    /// A host call, an instance, and a request without sockets, in one process.
    Inproc,
    /// Operations of key-value stores: from a guest, by the contract alone, with bare clients.
    Keyvalue(keyvalue::Options),
    /// Messages: brokers beside their own clients, the file beside its disk, and the trigger.
    Messaging(messaging::Options),
}

/// Builds the program as it is released, just as measurements do.
pub(crate) fn build() -> Result<()> {
    http::build(&["wharf"])
}

/// Measures it.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Http(options) => http::run(options),
        Bench::Filter(options) => filter::run(options),
        Bench::Inproc => inproc::run(),
        Bench::Keyvalue(options) => keyvalue::run(options),
        Bench::Messaging(options) => messaging::run(options),
    }
}
