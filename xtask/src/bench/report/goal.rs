//! What Wharf wants to reach, and whether it did.

use std::fmt;

use serde_json::{Value, json};

use super::{paired, ratio, spread};
use crate::bench::sample::{Rounds, Spread};
use crate::bench::start::Starts;

/// One thing to reach.
struct Goal {
    words: &'static str,
    at_most: f64,
    measure: Measure,
}

enum Measure {
    /// The CPU time of one row, as a part of another's.
    Ratio(&'static str, &'static str),
    /// What one row costs more than another, in microseconds of CPU time.
    Extra(&'static str, &'static str),
    /// Milliseconds from the start to the first answer.
    Start(&'static str),
    /// Megabytes after the first answer.
    Memory(&'static str),
}

const GOALS: &[Goal] = &[
    Goal {
        words: "0.2, a fresh instance: CPU × `wasmtime serve`",
        at_most: 0.6,
        measure: Measure::Ratio("wharf-p2", "wasmtime-p2"),
    },
    Goal {
        words: "0.2, an instance for 128 requests: CPU × `wasmtime serve`",
        at_most: 0.8,
        measure: Measure::Ratio("wharf-p2-reuse", "wasmtime-p2-reuse"),
    },
    Goal {
        words: "0.3, defaults: CPU × `wasmtime serve`",
        at_most: 0.8,
        measure: Measure::Ratio("wharf-p3", "wasmtime-p3"),
    },
    Goal {
        words: "get and set on `memory:`, CPU µs",
        at_most: 5.0,
        measure: Measure::Extra("wharf-kv-memory", "wharf-kv-memory-without"),
    },
    Goal {
        words: "get and set on `embedded:` relaxed, CPU µs",
        at_most: 25.0,
        measure: Measure::Extra("wharf-kv-relaxed", "wharf-kv-relaxed-without"),
    },
    Goal { words: "start to first answer, ms", at_most: 10.0, measure: Measure::Start("wharf-p2") },
    Goal {
        words: "RSS after the first answer, MB",
        at_most: 30.0,
        measure: Measure::Memory("wharf-p2"),
    },
];

/// A goal and what was measured.
pub(super) struct Reached {
    goal: &'static Goal,
    value: Spread,
}

/// Every goal whose rows were measured and valid.
pub(super) fn all(rows: &[Rounds], starts: &[Starts]) -> Vec<Reached> {
    let start = |name: &str| starts.iter().find(|start| start.name == name);
    let reached = GOALS.iter().filter_map(|goal| {
        let value = match goal.measure {
            Measure::Ratio(row, other) => ratio(rows, row, other),
            Measure::Extra(row, other) => paired(rows, row, other, |time, other| time - other),
            Measure::Start(row) => start(row).map(|start| start.millis),
            Measure::Memory(row) => start(row).map(|start| start.rss_mb),
        };
        value.map(|value| Reached { goal, value })
    });
    reached.collect()
}

impl Reached {
    fn is_met(&self) -> bool {
        self.value.median <= self.goal.at_most
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "goal": self.goal.words,
            "at_most": self.goal.at_most,
            "reached": self.value.json(),
            "met": self.is_met(),
        })
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Goal { words, at_most, .. } = self.goal;
        let verdict = if self.is_met() { "met" } else { "**missed**" };
        write!(f, "| {words}: at most {at_most} | {} | {verdict} |", spread(self.value))
    }
}
