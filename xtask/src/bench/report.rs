//! The table, and how it stands to the goals.
#![expect(clippy::print_stdout, reason = "the table is the result of the task")]

mod goal;

pub(super) use goal::{Goal, Measure};

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::cores::Cores;
use super::sample::{CPU, Plan, QUANTITIES, Rounds, Spread};
use super::start::Starts;
use crate::steps::{command, read};

/// What was measured just now, while the rest is still to come.
pub(super) fn line(name: &str, sample: &Value) -> String {
    let quantity = |(key, word): &(&str, &str)| {
        format!("{} {word}", number(sample.get(*key).and_then(Value::as_f64).unwrap_or(f64::NAN)))
    };
    let quantities: Vec<String> = QUANTITIES.iter().map(quantity).collect();
    format!("{name}: {}", quantities.join(", "))
}

/// What the rows of a table are compared with.
pub(super) struct Table {
    /// A row that is the limit of all.
    pub(super) limit: Option<&'static str>,
    /// Whose rows stand beside ours: `wharf-x` beside `PEER-x`.
    pub(super) peer: &'static str,
    /// What is to be reached.
    pub(super) goals: &'static [Goal],
}

/// Everything that was measured.
pub(super) struct Report<'a> {
    pub(super) rows: &'a [Rounds],
    pub(super) starts: &'a [Starts],
    pub(super) table: &'static Table,
}

impl Report<'_> {
    /// Everything, as Markdown, for `docs/performance.md`.
    pub(super) fn print(&self, cores: Cores) {
        println!("\n{}; server on core {}, load on core {}", machine(), cores.server, cores.load);
        println!("\nThe middle of all rounds, and their range; ratios round by round.\n");
        let words = QUANTITIES.iter().map(|(_, word)| (*word).to_owned());
        let against = self.table.limit.into_iter().chain([self.table.peer]);
        let words: Vec<String> = words.chain(against.map(|it| format!("CPU × {it}"))).collect();
        println!("| row | {} |", words.join(" | "));
        println!("|---|{}", "---:|".repeat(words.len()));
        self.rows.iter().for_each(|rounds| self.print_row(rounds));
        if !self.starts.is_empty() {
            println!("\n| started with a warm compile cache | first answer ms | RSS MB then |");
            println!("|---|---:|---:|");
        }
        for start in self.starts {
            println!("| {} | {} | {} |", start.name, spread(start.millis), spread(start.rss_mb));
        }
        println!("\n| goal | reached | |\n|---|---:|---|");
        for goal in goal::all(self.table.goals, self.rows, self.starts) {
            println!("{goal}");
        }
    }

    fn print_row(&self, rounds: &Rounds) {
        let name = rounds.name;
        let peer = name.strip_prefix("wharf-").map(|rest| format!("{}-{rest}", self.table.peer));
        let limit = self.table.limit.map(|limit| ratio(self.rows, name, limit));
        let peer = peer.and_then(|peer| ratio(self.rows, name, &peer));
        let cells = QUANTITIES.iter().map(|(key, _)| cell(rounds, key));
        let ratios = limit.into_iter().chain([peer]);
        let ratios =
            ratios.map(|ratio| ratio.map_or(String::new(), |it| format!("{:.2}", it.median)));
        let cells: Vec<String> = cells.chain(ratios).collect();
        let mark = if rounds.is_bound_by_load() { " (the load was the limit)" } else { "" };
        println!("| {name}{mark} | {} |", cells.join(" | "));
        if rounds.errors() > 0 {
            let first = rounds.first_error().unwrap_or_default();
            println!("| **invalid**: {} wrong answers, the first: {first} |", rounds.errors());
        }
    }

    /// Writes it for programs, where that is asked for.
    pub(super) fn write(&self, file: Option<&Path>, plan: &Plan) -> Result<()> {
        let Some(file) = file else { return Ok(()) };
        let goals = goal::all(self.table.goals, self.rows, self.starts);
        let everything = json!({
            "machine": machine(),
            "rounds": plan.rounds,
            "seconds": plan.seconds,
            "rows": self.rows.iter().map(Rounds::json).collect::<Vec<_>>(),
            "starts": self.starts.iter().map(Starts::json).collect::<Vec<_>>(),
            "goals": goals.iter().map(goal::Reached::json).collect::<Vec<_>>(),
        });
        fs::write(file, serde_json::to_string_pretty(&everything)? + "\n")
            .with_context(|| format!("failed to write {}", file.display()))
    }
}

/// What it was measured on.
pub(super) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model);
    let threads = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let revision = read(&mut command("git", &["rev-parse", "--short", "HEAD"]));
    let revision = revision.unwrap_or_else(|_| "unknown".to_owned());
    format!("{model}, {threads} cores, Linux {}, revision {revision}", kernel.trim())
}

fn cell(rounds: &Rounds, quantity: &str) -> String {
    rounds.spread(quantity).map_or(String::new(), spread)
}

fn spread(Spread { median, min, max }: Spread) -> String {
    format!("{} ({}–{})", number(median), number(min), number(max))
}

/// Three digits or more.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// What two rows' CPU times per request say together, round by round, if every answer was right.
fn paired(rows: &[Rounds], name: &str, other: &str, of: fn(f64, f64) -> f64) -> Option<Spread> {
    let times = |name: &str| {
        let rounds = rows.iter().find(|rounds| rounds.name == name)?;
        (rounds.errors() == 0).then(|| rounds.values(CPU))
    };
    let (times, others) = (times(name)?, times(other)?);
    Spread::of(times.into_iter().zip(others).map(|(time, other)| of(time, other)).collect())
}

fn ratio(rows: &[Rounds], name: &str, other: &str) -> Option<Spread> {
    (name != other).then(|| paired(rows, name, other, |time, other| time / other))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(54.64), "54.6");
        assert_eq!(number(5.5), "5.50");
        assert_eq!(number(177_800.4), "177800");
    }

    #[test]
    fn a_line_says_what_is_there() {
        let line = line("hyper", &json!({ "p50_us": 280.0 }));
        assert!(line.starts_with("hyper: ") && line.contains("280 p50 µs"), "{line}");
    }
}
