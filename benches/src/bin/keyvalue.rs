//! Operations of key-value stores three ways on the same server: from a guest, through the contract
//! alone, and with the vendor's own client and its bare commands.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is the result")]

#[path = "keyvalue/bare.rs"]
mod bare;
#[path = "keyvalue/measure.rs"]
mod measure;
#[path = "keyvalue/table.rs"]
mod table;
#[path = "keyvalue/ways.rs"]
mod ways;

use anyhow::{Context as _, Result};
use base::Place;
use clap::Parser;
use keyvalue::Store;
use measure::measure;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use table::Table;
use ways::{OPERATIONS, Way, Ways};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the operations of key-value stores, each three ways.
#[derive(Parser)]
struct Options {
    /// The folder of guests.
    guests: PathBuf,
    /// Only these backends.
    #[arg(long, num_args = 1..)]
    only: Vec<String>,
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long each measurement is, after a fifth of that which does not count.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Only these operations.
    #[arg(long, num_args = 1..)]
    operations: Vec<String>,
    /// How many operations a call of the component does, one after the other.
    #[arg(long, default_value_t = 8)]
    each: u32,
    /// How many operations are on their way at once.
    #[arg(long, default_value_t = 64)]
    concurrent: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    connect::tls::install();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut table = Table::default();
    for entry in keyvalue::BACKENDS {
        if is_asked(&options.only, entry.name) {
            eprintln!("    {}", entry.name);
            runtime
                .block_on(backend(entry.name, &options, &mut table))
                .with_context(|| format!("backend {}", entry.name))?;
        }
    }
    println!("{table}");
    Ok(())
}

/// Whether a name is among those that were asked for, which are all if there are none.
fn is_asked(asked: &[String], name: &str) -> bool {
    asked.is_empty() || asked.iter().any(|asked| asked == name)
}

/// Measures one backend, the ways in turn: a machine whose speed changes is the same for all.
async fn backend(name: &'static str, options: &Options, table: &mut Table) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = Place {
        base: folder.path().to_owned(),
        data: folder.path().to_owned(),
        app: format!("bench-{}", std::process::id()),
        capability: "keyvalue",
        binding: "default".to_owned(),
    };
    let url = testkit::servers::url(name);
    let shown = url.clone().unwrap_or_else(|| format!("{name}:"));
    let store: Arc<dyn Store> = base::backend::open(keyvalue::BACKENDS, &shown, place).await?;
    let bare = match &url {
        Some(url) => bare::open(name, url).await?,
        None => None,
    };
    let ways = Ways::new(&options.guests, Arc::clone(&store), bare)?;
    let window = Duration::try_from_secs_f64(options.seconds)?;
    let asked = OPERATIONS.iter().filter(|operation| is_asked(&options.operations, operation));
    for operation in asked {
        for round in 0..options.rounds {
            for way in Way::ALL {
                let Some(work) =
                    ways.work(*way, operation, options.concurrent, options.each).await?
                else {
                    continue;
                };
                let measured = measure(work, options.each, window).await?;
                table.add(name, operation, *way, round, measured);
            }
        }
    }
    // What is left behind would be measured by the next one on the same server.
    drop(store.destroy().await);
    Ok(())
}
