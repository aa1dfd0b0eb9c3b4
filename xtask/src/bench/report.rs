//! The table, and how it stands to the goals.
#![expect(clippy::print_stdout, reason = "the table is the result of the task")]

mod goal;

use std::fs;

use serde_json::Value;

use super::cores::Cores;
use super::row::LIMIT;
use super::sample::{CPU, QUANTITIES, Rounds, Spread};
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

/// Everything, as Markdown, for `docs/performance.md`.
pub(super) fn print(rows: &[Rounds], starts: &[Starts], cores: Cores) {
    println!("\n{}; server on core {}, load on core {}", machine(), cores.server, cores.load);
    println!("\nThe middle of all rounds, and their range; ratios round by round.\n");
    let words: Vec<&str> = QUANTITIES.iter().map(|(_, word)| *word).collect();
    println!("| row | {} | CPU × {LIMIT} | CPU × wasmtime |", words.join(" | "));
    println!("|---|{}---:|---:|", "---:|".repeat(words.len()));
    for rounds in rows {
        let cells: Vec<String> = QUANTITIES.iter().map(|(key, _)| cell(rounds, key)).collect();
        let name = rounds.row.name;
        let mark = if rounds.is_bound_by_load() { " (the load was the limit)" } else { "" };
        let peer = name.strip_prefix("wharf-").map(|rest| format!("wasmtime-{rest}"));
        let limit = ratio(rows, name, LIMIT);
        let peer = peer.and_then(|peer| ratio(rows, name, &peer));
        let times =
            |ratio: Option<Spread>| ratio.map_or(String::new(), |it| format!("{:.2}", it.median));
        println!("| {name}{mark} | {} | {} | {} |", cells.join(" | "), times(limit), times(peer));
        if rounds.errors() > 0 {
            let first = rounds.first_error().unwrap_or_default();
            println!("| **invalid**: {} wrong answers, the first: {first} |", rounds.errors());
        }
    }
    if !starts.is_empty() {
        println!("\n| started with a warm compile cache | first answer ms | RSS MB then |");
        println!("|---|---:|---:|");
    }
    for start in starts {
        println!("| {} | {} | {} |", start.name, spread(start.millis), spread(start.rss_mb));
    }
    println!("\n| goal | reached | |\n|---|---:|---|");
    for goal in goal::all(rows, starts) {
        println!("{goal}");
    }
}

/// The goals, for programs.
pub(super) fn goals(rows: &[Rounds], starts: &[Starts]) -> Value {
    goal::all(rows, starts).iter().map(goal::Reached::json).collect()
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
        let rounds = rows.iter().find(|rounds| rounds.row.name == name)?;
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
    use serde_json::json;

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
