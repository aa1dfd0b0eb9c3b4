//! How soon a server answers that is started anew, and how much memory it has then.

use anyhow::Result;
use serde_json::{Value, json};

use super::cores::{Cores, on};
use super::row::{Programs, find};
use super::sample::Spread;
use super::server::Server;

/// Starts that are measured, after one that fills the compile cache.
const STARTS: usize = 11;

/// What several starts of one row's server took.
pub(super) struct Starts {
    pub(super) name: &'static str,
    /// From its start to its first answer.
    pub(super) millis: Spread,
    /// Its memory after that answer.
    pub(super) rss_mb: Spread,
}

/// Starts the row's server again and again.
pub(super) fn measure(name: &str, programs: &Programs, cores: Cores) -> Result<Option<Starts>> {
    let row = find(name)?;
    let (mut millis, mut rss_mb) = (Vec::new(), Vec::new());
    for start in 0..=STARTS {
        let mut command = row.command(programs)?;
        let server = on(cores.server, || Server::start(&mut command))?;
        let took = on(cores.load, || server.ask(row.path, "Hello, world"))?;
        #[expect(clippy::cast_precision_loss, reason = "megabytes, for a table")]
        let rss = server.memory("VmRSS")? as f64 / 1e6;
        if start > 0 {
            millis.push(took.as_secs_f64() * 1e3);
            rss_mb.push(rss);
        }
    }
    let spreads = Spread::of(millis).zip(Spread::of(rss_mb));
    Ok(spreads.map(|(millis, rss_mb)| Starts { name: row.name, millis, rss_mb }))
}

impl Starts {
    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "first_answer_ms": self.millis.json(),
            "rss_mb": self.rss_mb.json(),
        })
    }
}
