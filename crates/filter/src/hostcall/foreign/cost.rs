//! What an expression may cost at the most, found before it is ever evaluated.
//!
//! The language has no loops without an end, yet lists within lists multiply. What could take
//! longer than a callback may, or more memory than a machine has to spare, is not taken.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use regex::RegexBuilder;

/// Steps of about 100 ns that one evaluation may take.
const MOST_STEPS: u64 = 1_000_000;
/// Bytes that it may make.
const MOST_MADE: u64 = 128 << 20;
/// How deep it may be.
const DEEP: usize = 48;

/// How many entries a map of headers has at the most, how many bytes one of them, and how many they
/// have on average if all of them are there.
const ENTRIES: u64 = 1024;
const VALUE: u64 = 64 << 10;
const ON_AVERAGE: u64 = 1 << 10;
/// Bytes of a value that has no others.
const PLAIN: u64 = 32;

/// How large the program of a pattern may be, in bytes.
const PATTERN: usize = 64 << 10;

/// What a value is at the most.
#[derive(Clone, Copy, Default)]
struct Size {
    bytes: u64,
    entries: u64,
    /// The bytes and the entries of each of its entries.
    of_each: (u64, u64),
}

/// What an expression costs, and what comes out of it.
#[derive(Clone, Copy, Default)]
struct Cost {
    steps: u64,
    /// Bytes that are made on the way.
    made: u64,
    size: Size,
}

/// The variables of the comprehensions around an expression, the innermost last.
type Scope<'a> = Vec<(&'a str, Size)>;

/// Whether an expression stays within what it may cost, however large what it is about is.
pub(super) fn is_bounded(expression: &IdedExpr) -> bool {
    let cost = cost(expression, 0, &mut Scope::new());
    cost.is_some_and(|cost| cost.steps <= MOST_STEPS && cost.made <= MOST_MADE)
}

/// `None`: it is too deep, or of a kind that is not known.
fn cost<'a>(expression: &'a IdedExpr, depth: usize, scope: &mut Scope<'a>) -> Option<Cost> {
    if depth > DEEP {
        return None;
    }
    let mut inner = |expression: &'a IdedExpr| cost(expression, depth + 1, scope);
    Some(match &expression.expr {
        // What a comprehension gathers is counted where it is made.
        Expr::Ident(name) if name.starts_with('@') => Cost { steps: 1, ..Cost::default() },
        Expr::Ident(name) => {
            let variable = scope.iter().rev().find(|(known, _)| known == name);
            variable.map_or_else(|| known(0), |(_, size)| Cost { steps: 1, made: 0, size: *size })
        }
        Expr::Select(select) => known(inner(&select.operand)?.steps),
        Expr::Literal(LiteralValue::String(text)) => literal(text.inner().len()),
        Expr::Literal(LiteralValue::Bytes(bytes)) => literal(bytes.inner().len()),
        Expr::Literal(_) => literal(0),
        Expr::List(list) => together(list.elements.iter().map(inner))?,
        Expr::Map(map) => together(map.entries.iter().flat_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => [inner(&entry.key), inner(&entry.value)],
            EntryExpr::StructField(_) => [None, None],
        }))?,
        Expr::Call(call) => of_call(call, depth, scope)?,
        Expr::Comprehension(it) => of_comprehension(it, depth, scope)?,
        Expr::Struct(_) | Expr::Unspecified => return None,
    })
}

/// An attribute, or a value of one.
fn known(steps: u64) -> Cost {
    let size = Size { bytes: VALUE, entries: ENTRIES, of_each: (ON_AVERAGE, ENTRIES) };
    Cost { steps: steps.saturating_add(1), made: 0, size }
}

fn literal(length: usize) -> Cost {
    let bytes = u64::try_from(length).unwrap_or(u64::MAX).saturating_add(PLAIN);
    Cost { steps: 1, made: 0, size: Size { bytes, ..Size::default() } }
}

/// A list or a map of these, which is made.
fn together(all: impl Iterator<Item = Option<Cost>>) -> Option<Cost> {
    let mut sum = Cost { steps: 1, ..Cost::default() };
    for cost in all {
        let Cost { steps, made, size } = cost?;
        let bytes = size.bytes.saturating_add(PLAIN);
        sum.steps = sum.steps.saturating_add(steps).saturating_add(1);
        sum.made = sum.made.saturating_add(made).saturating_add(bytes);
        sum.size.bytes = sum.size.bytes.saturating_add(bytes);
        sum.size.entries = sum.size.entries.saturating_add(1);
        let (bytes, entries) = sum.size.of_each;
        sum.size.of_each = (bytes.max(size.bytes), entries.max(size.entries));
    }
    Some(sum)
}

fn of_call<'a>(call: &'a CallExpr, depth: usize, scope: &mut Scope<'a>) -> Option<Cost> {
    let all = call.target.iter().map(|target| &**target).chain(&call.args);
    let all: Vec<Cost> = all.map(|it| cost(it, depth + 1, scope)).collect::<Option<_>>()?;
    let sum = |part: fn(&Cost) -> u64| all.iter().map(part).fold(0, u64::saturating_add);
    let most = |part: fn(&Cost) -> u64| all.iter().map(part).max().unwrap_or(0);
    let least = all.iter().map(|it| it.size.bytes).min().unwrap_or(0);
    let bytes = sum(|it| it.size.bytes);
    let mut cost = Cost {
        steps: sum(|it| it.steps).saturating_add(1),
        made: sum(|it| it.made),
        size: Size {
            bytes: most(|it| it.size.bytes),
            entries: most(|it| it.size.entries),
            of_each: (most(|it| it.size.of_each.0), most(|it| it.size.of_each.1)),
        },
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
        operators::EQUALS | operators::NOT_EQUALS | "startsWith" | "endsWith" => least >> 10,
        "matches" => {
            let Expr::Literal(LiteralValue::String(pattern)) = &call.args.last()?.expr else {
                return None;
            };
            let bounded = RegexBuilder::new(pattern.inner()).size_limit(PATTERN).build();
            bounded.ok()?;
            // To read a pattern takes long.
            (bytes >> 6).saturating_add(5000)
        }
        operators::ADD => {
            cost.size.bytes = bytes;
            cost.size.entries = sum(|it| it.size.entries);
            cost.made = cost.made.saturating_add(bytes);
            bytes >> 10
        }
        _ => {
            cost.made = cost.made.saturating_add(bytes);
            bytes >> 10
        }
    };
    cost.steps = cost.steps.saturating_add(work);
    Some(cost)
}

fn of_comprehension<'a>(
    it: &'a ComprehensionExpr,
    depth: usize,
    scope: &mut Scope<'a>,
) -> Option<Cost> {
    let range = cost(&it.iter_range, depth + 1, scope)?;
    let start = cost(&it.accu_init, depth + 1, scope)?;
    let (bytes, entries) = range.size.of_each;
    let each = Size { bytes, entries, of_each: range.size.of_each };
    let before = scope.len();
    scope.push((&it.iter_var, each));
    scope.extend(it.iter_var2.as_deref().map(|name| (name, each)));
    let condition = cost(&it.loop_cond, depth + 1, scope);
    let step = cost(&it.loop_step, depth + 1, scope);
    scope.truncate(before);
    let (condition, step, end) = (condition?, step?, cost(&it.result, depth + 1, scope)?);
    let times = range.size.entries;
    let many = |once: [u64; 3], each: [u64; 2]| {
        let [once, each] =
            [&once[..], &each].map(|all| all.iter().copied().fold(0, u64::saturating_add));
        once.saturating_add(each.saturating_mul(times))
    };
    let made = many([range.made, start.made, end.made], [condition.made, step.made]);
    let steps = many([range.steps, start.steps, end.steps], [condition.steps, step.steps]);
    let bytes = step.size.bytes.max(PLAIN);
    let of_each = (bytes, step.size.entries.max(step.size.of_each.1));
    let size = Size { bytes: bytes.saturating_mul(times), entries: times, of_each };
    Some(Cost { steps, made, size })
}
