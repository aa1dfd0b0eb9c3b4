//! One measurement of one row, and what several rounds of it say together.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::cores::{Cores, on};
use super::report;
use super::server::{Server, wait};

/// Seconds under load before a measurement.
const WARM_UP: f64 = 1.0;

/// The quantities of a row, as the load names them, with the words above their columns.
pub(super) const QUANTITIES: &[(&str, &str)] = &[
    ("requests_per_second", "req/s"),
    ("p50_us", "p50 µs"),
    ("p99_us", "p99 µs"),
    (CPU, "CPU µs/req"),
    (PEAK, "peak RSS MB"),
];

/// What goals are about.
pub(super) const CPU: &str = "server_cpu_us_per_request";
pub(super) const PEAK: &str = "peak_rss_mb";

/// What is asked of one row's server.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    /// The row.
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) connections: u16,
}

/// How all rows are measured.
pub(super) struct Plan {
    /// How often each.
    pub(super) rounds: u32,
    /// How long, after a second of load that does not count.
    pub(super) seconds: u32,
    /// The program that asks.
    pub(super) load: PathBuf,
    pub(super) cores: Cores,
}

/// Every round of one row.
pub(super) struct Rounds {
    pub(super) name: &'static str,
    pub(super) samples: Vec<Value>,
}

/// The middle of several values, and their ends.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Plan {
    /// Measures every row in turn, in several rounds. `start` starts a row's server.
    pub(super) fn measure<R>(
        &self,
        rows: &[R],
        ask: impl Fn(&R) -> Ask,
        start: impl Fn(&R) -> Result<Server>,
    ) -> Result<Vec<Rounds>> {
        let mut all: Vec<Rounds> =
            rows.iter().map(|row| Rounds { name: ask(row).name, samples: Vec::new() }).collect();
        let count = rows.len().max(1);
        for round in 0..self.rounds {
            // Each round begins with another row: what a machine does slowly over time, all feel.
            let first = usize::try_from(round)? % count;
            let order = (first..count).chain(0..first);
            for (row, rounds) in order.filter_map(|it| rows.get(it).zip(Some(it))) {
                let sample = self
                    .once(ask(row), || start(row))
                    .with_context(|| format!("row {}", ask(row).name))?;
                let line = report::line(ask(row).name, &sample);
                eprintln!("    round {} {line}", round + 1);
                if let Some(rounds) = all.get_mut(rounds) {
                    rounds.samples.push(sample);
                }
            }
        }
        Ok(all)
    }

    /// Starts a server, puts the load on it, and ends it.
    fn once(&self, ask: Ask, start: impl FnOnce() -> Result<Server>) -> Result<Value> {
        let server = on(self.cores.server, start)?;
        let seconds = f64::from(self.seconds);
        let mut command = Command::new(&self.load);
        command
            .args(["--address", &server.address().to_string(), "--pid", &server.pid().to_string()])
            .args(["--path", ask.path, "--connections", &ask.connections.to_string()])
            .args(["--warm-up", &WARM_UP.to_string(), "--seconds", &seconds.to_string()]);
        let limit = Duration::from_secs_f64(WARM_UP + seconds + 30.0);
        let printed = on(self.cores.load, || wait(&mut command, limit))?;
        let mut sample: Value =
            serde_json::from_str(&printed).context("the load printed no JSON")?;
        #[expect(clippy::cast_precision_loss, reason = "a peak of megabytes, for a table")]
        let peak = server.memory("VmHWM")? as f64 / 1e6;
        if let Some(fields) = sample.as_object_mut() {
            fields.insert(PEAK.to_owned(), json!(peak));
        }
        Ok(sample)
    }
}

impl Rounds {
    /// The values of one quantity, round by round.
    pub(super) fn values(&self, quantity: &str) -> Vec<f64> {
        self.samples.iter().filter_map(|sample| sample.get(quantity)?.as_f64()).collect()
    }

    /// The middle and the range of one quantity.
    pub(super) fn spread(&self, quantity: &str) -> Option<Spread> {
        Spread::of(self.values(quantity))
    }

    /// Requests without the right answer. A row that has any counts for nothing.
    pub(super) fn errors(&self) -> u64 {
        self.samples.iter().filter_map(|sample| sample.get("errors")?.as_u64()).sum()
    }

    /// What was wrong with the first of them.
    pub(super) fn first_error(&self) -> Option<&str> {
        self.samples.iter().find_map(|sample| sample.get("first_error")?.as_str())
    }

    /// Whether the load could not ask faster, so that req/s says nothing of the server.
    pub(super) fn is_bound_by_load(&self) -> bool {
        self.spread("load_idle").is_some_and(|idle| idle.median < 0.03)
    }

    /// All of it, for programs.
    pub(super) fn json(&self) -> Value {
        let mut summary = serde_json::Map::new();
        for (quantity, _) in QUANTITIES {
            if let Some(spread) = self.spread(quantity) {
                summary.insert((*quantity).to_owned(), spread.json());
            }
        }
        json!({
            "name": self.name,
            "valid": self.errors() == 0,
            "summary": summary,
            "rounds": self.samples,
        })
    }
}

impl Spread {
    /// For programs.
    pub(super) fn json(self) -> Value {
        json!({ "median": self.median, "min": self.min, "max": self.max })
    }

    /// Of one value.
    pub(super) fn exact(value: f64) -> Self {
        Self { median: value, min: value, max: value }
    }

    /// `None` of no values.
    pub(super) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { median: *values.get(values.len() / 2)?, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_something() {
        assert!(Spread::of(Vec::new()).is_none());
        let spread = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
    }
}
