//! What Wharf wants to reach, and whether it did.

use std::fmt;

use serde_json::{Value, json};

use super::{paired, ratio, spread};
use crate::bench::filter::CALLS;
use crate::bench::sample::{PEAK, Rounds, Spread};
use crate::bench::start::Starts;

/// One thing to reach.
pub(in crate::bench) struct Goal {
    pub(in crate::bench) words: &'static str,
    pub(in crate::bench) at_most: f64,
    pub(in crate::bench) measure: Measure,
}

/// How that is measured.
pub(in crate::bench) enum Measure {
    /// The CPU time of one row, as a part of another's.
    Ratio(&'static str, &'static str),
    /// What one row costs more than another, in microseconds of CPU time.
    Extra(&'static str, &'static str),
    /// The same beside the same of two others: what ours adds as a part of what theirs does.
    ExtraRatio([&'static str; 2], [&'static str; 2]),
    /// What one row costs more than another, in nanoseconds for each of the calls that it makes.
    PerCall(&'static str, &'static str),
    /// Megabytes at the most, under load.
    Peak(&'static str),
    /// Milliseconds from the start to the first answer.
    Start(&'static str),
    /// Megabytes after the first answer.
    Memory(&'static str),
}

/// A goal and what was measured.
pub(super) struct Reached {
    goal: &'static Goal,
    value: Spread,
}

/// Every goal whose rows were measured and valid.
pub(super) fn all(goals: &'static [Goal], rows: &[Rounds], starts: &[Starts]) -> Vec<Reached> {
    let start = |name: &str| starts.iter().find(|start| start.name == name);
    let reached = goals.iter().filter_map(|goal| {
        let value = match goal.measure {
            Measure::Ratio(row, other) => ratio(rows, row, other),
            Measure::Extra(row, other) => extra(rows, row, other),
            Measure::ExtraRatio([row, bare], [other, other_bare]) => {
                let (ours, theirs) = (extra(rows, row, bare), extra(rows, other, other_bare));
                ours.zip(theirs).map(|(ours, theirs)| Spread::exact(ours.median / theirs.median))
            }
            Measure::PerCall(row, bare) => {
                let nanos = |time: f64, bare: f64| (time - bare) * 1e3 / f64::from(CALLS);
                paired(rows, row, bare, nanos)
            }
            Measure::Peak(row) => {
                rows.iter().find(|rounds| rounds.name == row).and_then(|it| it.spread(PEAK))
            }
            Measure::Start(row) => start(row).map(|start| start.millis),
            Measure::Memory(row) => start(row).map(|start| start.rss_mb),
        };
        value.map(|value| Reached { goal, value })
    });
    reached.collect()
}

fn extra(rows: &[Rounds], row: &str, other: &str) -> Option<Spread> {
    paired(rows, row, other, |time, other| time - other)
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
