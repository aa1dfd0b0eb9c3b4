//! The table: a line for each thing that was measured, and what it is compared with.

use serde_json::{Value, json};
use std::fmt;

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Table(Vec<Line>);

/// One quantity, of all rounds.
struct Line {
    name: String,
    unit: &'static str,
    /// What was measured in each round.
    values: Vec<f64>,
    /// What it is compared with in the same round: its name, and what it was.
    against: Option<(String, Vec<f64>)>,
    goal: Option<Goal>,
}

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// So many times what it is compared with, at least.
    Times(f64),
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
}

impl Table {
    /// Adds what one round came to. `against` is what it is compared with, by its name.
    pub(crate) fn add(
        &mut self,
        name: &str,
        unit: &'static str,
        value: f64,
        against: Option<(&str, f64)>,
        goal: Option<Goal>,
    ) {
        eprintln!("    {name}: {value:.1} {unit}{}", shown(against));
        let line = match self.0.iter().position(|line| line.name == name) {
            Some(found) => self.0.get_mut(found),
            None => {
                let against = against.map(|(name, _)| (name.to_owned(), Vec::new()));
                let values = Vec::new();
                self.0.push(Line { name: name.to_owned(), unit, values, against, goal });
                self.0.last_mut()
            }
        };
        let Some(line) = line else { return };
        line.values.push(value);
        if let (Some((_, values)), Some((_, value))) = (&mut line.against, against) {
            values.push(value);
        }
    }

    /// Everything for programs.
    pub(crate) fn json(&self) -> Value {
        let lines = self.0.iter().map(|line| {
            json!({
                "name": line.name,
                "unit": line.unit,
                "values": line.values,
                "against": line.against.as_ref().map(|(name, _)| name),
                "against-values": line.against.as_ref().map(|(_, values)| values),
                "ratio": line.ratio(),
                "reached": line.is_reached(),
            })
        });
        lines.collect()
    }
}

fn shown(against: Option<(&str, f64)>) -> String {
    against.map_or(String::new(), |(name, value)| format!(", {name}: {value:.1}"))
}

impl Line {
    /// The middle of what was measured over what it is compared with, round by round.
    fn ratio(&self) -> Option<f64> {
        let (_, others) = self.against.as_ref()?;
        middle(self.values.iter().zip(others).map(|(value, other)| value / other))
    }

    fn is_reached(&self) -> Option<bool> {
        let value = middle(self.values.iter().copied());
        Some(match self.goal? {
            Goal::Times(times) => self.ratio()? >= times,
            Goal::AtLeast(least) => value? >= least,
            Goal::AtMost(most) => value? <= most,
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| what | | unit | beside | | ratio | goal | |")?;
        writeln!(f, "|---|---:|---|---|---:|---:|---|---|")?;
        for line in &self.0 {
            let number = |value: Option<f64>| match value {
                Some(value) if value >= 100.0 => format!("{value:.0}"),
                Some(value) => format!("{value:.2}"),
                None => String::new(),
            };
            let (beside, other) = match &line.against {
                Some((name, values)) => (name.as_str(), middle(values.iter().copied())),
                None => ("", None),
            };
            let goal = match line.goal {
                Some(Goal::Times(times)) => format!("at least {times} ×"),
                Some(Goal::AtLeast(least)) => format!("at least {least:.0}"),
                Some(Goal::AtMost(most)) => format!("at most {most:.0}"),
                None => String::new(),
            };
            let reached = match line.is_reached() {
                Some(true) => "reached",
                Some(false) => "missed",
                None => "",
            };
            writeln!(
                f,
                "| {} | {} | {} | {beside} | {} | {} | {goal} | {reached} |",
                line.name,
                number(middle(line.values.iter().copied())),
                line.unit,
                number(other),
                number(line.ratio()),
            )?;
        }
        Ok(())
    }
}

fn middle(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
