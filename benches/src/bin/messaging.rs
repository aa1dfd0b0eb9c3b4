//! Messages through the contract beside the vendor's own client on the same server, a file beside
//! the disk that it is on, and what a trigger adds to a handler.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is the result")]

#[path = "messaging/brokers.rs"]
mod brokers;
#[path = "messaging/counting.rs"]
mod counting;
#[path = "keyvalue/measure.rs"]
mod measure;
#[path = "messaging/peers.rs"]
mod peers;
#[path = "messaging/table.rs"]
mod table;
#[path = "messaging/trigger.rs"]
mod trigger;

use anyhow::{Context as _, Result};
use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;
use table::Table;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What every message has.
const CONTENT: &[u8] = &[b'x'; 1024];

/// Measures messages.
#[derive(Parser)]
struct Options {
    /// Only these: `embedded`, `trigger`, or the name of a broker that has a peer.
    #[arg(long, num_args = 1..)]
    only: Vec<String>,
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long each measurement of publishing is, after a fifth of that which does not count.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How many messages are on their way at once.
    #[arg(long, default_value_t = 64)]
    concurrent: usize,
    /// How many messages are taken, and handed over, in each measurement.
    #[arg(long, default_value_t = 20_000)]
    messages: u32,
    /// Where everything is written as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Options {
    fn window(&self) -> Result<Duration> {
        Ok(Duration::try_from_secs_f64(self.seconds)?)
    }

    /// Whether a name is among those that were asked for, which are all if there are none.
    fn is_asked(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|asked| asked == name)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    connect::tls::install();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut table = Table::default();
    runtime.block_on(async {
        if options.is_asked("embedded") {
            brokers::embedded(&options, &mut table).await.context("embedded")?;
        }
        for peer in peers::PEERS {
            if options.is_asked(peer.name) {
                brokers::beside(peer, &options, &mut table).await.context(peer.name)?;
            }
        }
        if options.is_asked("trigger") {
            trigger::measure(&options, &mut table).await.context("trigger")?;
        }
        anyhow::Ok(())
    })?;
    println!("{table}");
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&table.json())? + "\n";
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}
