//! The table: a line for each backend and operation.

use crate::measure::Measured;
use crate::ways::Way;
use std::fmt;

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Table(Vec<Line>);

struct Line {
    backend: &'static str,
    operation: &'static str,
    way: Way,
    round: u32,
    measured: Measured,
}

impl Table {
    pub(crate) fn add(
        &mut self,
        backend: &'static str,
        operation: &'static str,
        way: Way,
        round: u32,
        measured: Measured,
    ) {
        let Measured { rate, p50, p99 } = measured;
        eprintln!(
            "    {backend} {operation} {} round {}: {rate:.0}/s, p50 {p50:.1} µs, p99 {p99:.1} µs",
            way.word(),
            round + 1
        );
        self.0.push(Line { backend, operation, way, round, measured });
    }

    fn rounds(&self, of: &Line, way: Way) -> impl Iterator<Item = &Line> {
        let (backend, operation) = (of.backend, of.operation);
        self.0.iter().filter(move |line| {
            line.backend == backend && line.operation == operation && line.way == way
        })
    }

    /// The middle of the rates of one way over those of another, round by round.
    fn ratio(&self, of: &Line, way: Way, over: Way) -> Option<f64> {
        middle(self.rounds(of, way).filter_map(|line| {
            let mut others = self.rounds(of, over).filter(|other| other.round == line.round);
            Some(line.measured.rate / others.next()?.measured.rate)
        }))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n| backend | operation | bare /s | contract /s | guest /s | guest p50 µs | p99 µs | \
             guest ÷ bare | guest ÷ contract |\n|---|---|---:|---:|---:|---:|---:|---:|---:|"
        )?;
        let firsts = self.0.iter().filter(|line| line.way == Way::Guest && line.round == 0);
        for line in firsts {
            let of = |way: Way, value: fn(&Measured) -> f64| {
                middle(self.rounds(line, way).map(|line| value(&line.measured)))
            };
            let whole = |value: Option<f64>| value.map_or(String::new(), |it| format!("{it:.0}"));
            let ratio = |over: Way| {
                let ratio = self.ratio(line, Way::Guest, over);
                ratio.map_or(String::new(), |it| format!("{it:.2}"))
            };
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                line.backend,
                line.operation,
                whole(of(Way::Bare, |it| it.rate)),
                whole(of(Way::Contract, |it| it.rate)),
                whole(of(Way::Guest, |it| it.rate)),
                whole(of(Way::Guest, |it| it.p50)),
                whole(of(Way::Guest, |it| it.p99)),
                ratio(Way::Bare),
                ratio(Way::Contract),
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
