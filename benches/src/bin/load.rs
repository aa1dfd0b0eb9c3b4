//! Asks an HTTP server for one path on many connections, and counts and times the answers.
#![expect(clippy::print_stdout, reason = "the result is one line of JSON on stdout")]

use anyhow::Result;
use clap::Parser;
use std::net::SocketAddr;
use std::time::Duration;
use wharf_benches::load::{Load, run};

/// Asks an HTTP server for one path on many connections.
#[derive(Parser)]
struct Options {
    /// The server.
    #[arg(long)]
    address: SocketAddr,
    /// The process of the server, whose CPU time is read at both ends of the measurement.
    #[arg(long)]
    pid: u32,
    /// The path and query to ask for.
    #[arg(long, default_value = "/")]
    path: String,
    /// The body that each answer must have.
    #[arg(long, default_value = "Hello, world")]
    expect: String,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Seconds before the measurement.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Seconds of measurement.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let measured = run(&Load {
        address: options.address,
        pid: options.pid,
        path: options.path,
        expect: options.expect.into_bytes(),
        connections: options.connections.into(),
        warm_up: Duration::try_from_secs_f64(options.warm_up)?,
        window: Duration::try_from_secs_f64(options.seconds)?,
    })?;
    println!("{}", measured.json());
    Ok(())
}
