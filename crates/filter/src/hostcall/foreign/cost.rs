//! What an expression may cost at the most, found before it is ever evaluated.
//!
//! The language has no loops without an end, yet lists within lists multiply. What could take
//! longer than a callback may, or more memory than a machine has to spare, is not taken.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use regex::RegexBuilder;

/// Steps of about 100 ns that one evaluation may take.
const MOST_STEPS: u64 = 1_000_000;
/// KiB that it may make.
const MOST_MADE: u64 = 128 << 10;
/// How deep it may be.
const DEEP: usize = 48;

/// How many entries a map of headers has at the most, and how many KiB a value of it.
const ENTRIES: u64 = 1024;
const KIB: u64 = 64;

/// How large the program of a pattern may be, in bytes.
const PATTERN: usize = 64 << 10;

/// What an expression costs, and what comes out of it.
#[derive(Clone, Copy, Default)]
struct Cost {
    steps: u64,
    /// KiB that are made on the way.
    made: u64,
    /// What comes out: how many entries it has, and how many KiB.
    entries: u64,
    size: u64,
}

/// Whether an expression stays within what it may cost, however large what it is about is.
pub(super) fn is_bounded(expression: &IdedExpr) -> bool {
    let cost = cost(expression, 0);
    cost.is_some_and(|cost| cost.steps <= MOST_STEPS && cost.made <= MOST_MADE)
}

/// `None`: it is too deep, or of a kind that is not known.
fn cost(expression: &IdedExpr, depth: usize) -> Option<Cost> {
    if depth > DEEP {
        return None;
    }
    let inner = |expression| cost(expression, depth + 1);
    Some(match &expression.expr {
        // What a comprehension gathers is counted where it is made.
        Expr::Ident(name) if name.starts_with('@') => Cost { steps: 1, ..Cost::default() },
        Expr::Ident(_) => known(0),
        Expr::Select(select) => known(inner(&select.operand)?.steps),
        Expr::Literal(LiteralValue::String(text)) => literal(text.inner().len()),
        Expr::Literal(LiteralValue::Bytes(bytes)) => literal(bytes.inner().len()),
        Expr::Literal(_) => literal(0),
        Expr::List(list) => together(list.elements.iter().map(inner))?,
        Expr::Map(map) => together(map.entries.iter().flat_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => [inner(&entry.key), inner(&entry.value)],
            EntryExpr::StructField(_) => [None, None],
        }))?,
        Expr::Call(call) => of_call(call, depth)?,
        Expr::Comprehension(it) => of_comprehension(it, depth)?,
        Expr::Struct(_) | Expr::Unspecified => return None,
    })
}

/// An attribute, or a value of one.
fn known(steps: u64) -> Cost {
    Cost { steps: steps.saturating_add(1), made: 0, entries: ENTRIES, size: KIB }
}

fn literal(length: usize) -> Cost {
    let size = u64::try_from(length >> 10).unwrap_or(u64::MAX).saturating_add(1);
    Cost { steps: 1, made: 0, entries: 0, size }
}

/// A list or a map of these, which is made.
fn together(all: impl Iterator<Item = Option<Cost>>) -> Option<Cost> {
    let mut sum = Cost { steps: 1, ..Cost::default() };
    for cost in all {
        let cost = cost?;
        sum.steps = sum.steps.saturating_add(cost.steps).saturating_add(1);
        sum.made = sum.made.saturating_add(cost.made).saturating_add(cost.size);
        sum.size = sum.size.saturating_add(cost.size);
        sum.entries = sum.entries.saturating_add(1);
    }
    Some(sum)
}

fn of_call(call: &CallExpr, depth: usize) -> Option<Cost> {
    let all = call.target.iter().map(|target| &**target).chain(&call.args);
    let all: Vec<Cost> = all.map(|it| cost(it, depth + 1)).collect::<Option<_>>()?;
    let sum = |part: fn(&Cost) -> u64| all.iter().map(part).fold(0, u64::saturating_add);
    let most = |part: fn(&Cost) -> u64| all.iter().map(part).max().unwrap_or(0);
    let least = all.iter().map(|it| it.size).min().unwrap_or(0);
    let size = sum(|it| it.size);
    let mut cost = Cost {
        steps: sum(|it| it.steps).saturating_add(1),
        made: sum(|it| it.made),
        entries: most(|it| it.entries),
        size: most(|it| it.size),
    };
    let work = match call.func_name.as_str() {
        operators::LOGICAL_AND
        | operators::LOGICAL_OR
        | operators::LOGICAL_NOT
        | operators::CONDITIONAL
        | operators::NOT_STRICTLY_FALSE
        | operators::INDEX
        | "size" => 0,
        // Comparing ends where the shorter one does.
        operators::EQUALS | operators::NOT_EQUALS | "startsWith" | "endsWith" => least,
        "matches" => {
            let Expr::Literal(LiteralValue::String(pattern)) = &call.args.last()?.expr else {
                return None;
            };
            let bounded = RegexBuilder::new(pattern.inner()).size_limit(PATTERN).build();
            bounded.ok()?;
            size.saturating_add(5000)
        }
        operators::ADD => {
            cost.size = size;
            cost.entries = sum(|it| it.entries);
            cost.made = cost.made.saturating_add(size);
            size
        }
        _ => {
            cost.made = cost.made.saturating_add(size);
            size
        }
    };
    cost.steps = cost.steps.saturating_add(work);
    Some(cost)
}

fn of_comprehension(it: &ComprehensionExpr, depth: usize) -> Option<Cost> {
    let inner = |expression| cost(expression, depth + 1);
    let (range, start) = (inner(&it.iter_range)?, inner(&it.accu_init)?);
    let (condition, step, end) = (inner(&it.loop_cond)?, inner(&it.loop_step)?, inner(&it.result)?);
    let times = range.entries;
    let many = |once: u64, each: u64| once.saturating_add(each.saturating_mul(times));
    let made = many(
        range.made.saturating_add(start.made).saturating_add(end.made),
        condition.made.saturating_add(step.made),
    );
    Some(Cost {
        steps: many(
            range.steps.saturating_add(start.steps).saturating_add(end.steps),
            condition.steps.saturating_add(step.steps),
        ),
        made,
        entries: times,
        size: made,
    })
}
