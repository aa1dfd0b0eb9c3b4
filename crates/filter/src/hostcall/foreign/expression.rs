//! `expr_create`, `expr_evaluate`, `expr_delete`: expressions of CEL about a stream's attributes.

use super::cost;
use crate::Value;
use crate::abi::Status;
use crate::hostcall::properties;
use crate::pairs;
use crate::state::State;
use bytes::Bytes;
use cel::common::ast::{EntryExpr, Expr, LiteralValue, operators};
use cel::{Context, Env, IdedExpr, Program};
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

/// How many expressions a virtual machine may have, and how long each may be.
const MOST: usize = 256;
const LONGEST: usize = 4 << 10;

/// What every expression may call.
static FUNCTIONS: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// The expressions of a virtual machine, each by its plugin's context and its number, which is
/// never given twice.
#[derive(Default)]
pub(crate) struct Expressions {
    all: HashMap<(u32, u32), Arc<Expression>>,
    next: u32,
}

impl Expressions {
    /// Lets go of those of a plugin.
    pub(crate) fn forget(&mut self, root: u32) {
        self.all.retain(|(owner, _), _| *owner != root);
    }
}

struct Expression {
    program: Program,
    /// What it asks for, as paths of attributes.
    paths: Vec<Vec<String>>,
}

/// Makes an expression and gives its number. `BadArgument` for what is none, or could cost more
/// than one may; `InternalFailure` if there are too many.
pub(super) fn create(state: &mut State, text: &[u8]) -> Result<Bytes, Status> {
    let text = std::str::from_utf8(text).map_err(|_bytes| Status::BadArgument)?;
    if text.len() > LONGEST {
        return Err(Status::BadArgument);
    }
    // The parser is somebody else's, and the text a guest's: were there a panic, it ends here.
    let parsed = catch_unwind(|| Program::compile(text));
    let program = parsed.ok().and_then(Result::ok).ok_or(Status::BadArgument)?;
    if !cost::is_bounded(program.expression()) {
        return Err(Status::BadArgument);
    }
    let expressions = &mut state.expressions;
    if expressions.all.len() >= MOST {
        return Err(Status::InternalFailure);
    }
    let number = expressions.next;
    expressions.next = number.checked_add(1).ok_or(Status::InternalFailure)?;
    let mut paths = Vec::new();
    gather(program.expression(), &mut paths);
    paths.sort();
    paths.dedup();
    let root = state.root();
    state.expressions.all.insert((root, number), Arc::new(Expression { program, paths }));
    Ok(Bytes::copy_from_slice(&number.to_le_bytes()))
}

/// Gives what an expression comes to, in the form of properties. `NotFound` for a number without
/// an expression, `InternalFailure` if it comes to nothing, `SerializationFailure` if that has no
/// form.
pub(super) fn evaluate(state: &mut State, token: &[u8], most: usize) -> Result<Bytes, Status> {
    let key = (state.root(), number(token)?);
    let expression = state.expressions.all.get(&key).map(Arc::clone).ok_or(Status::NotFound)?;
    let mut known = BTreeMap::new();
    for path in &expression.paths {
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        let found = (1..=steps.len()).find_map(|end| {
            let steps = steps.get(..end)?;
            Some((steps, find(state, steps)?))
        });
        match (found, path.first()) {
            (Some((steps, value)), _) => insert(&mut known, steps, value),
            // `has` asks what is below a name, also where there is nothing.
            (None, Some(first)) if path.len() > 1 => {
                known.entry(first.clone()).or_insert_with(|| Node::Below(BTreeMap::new()));
            }
            (None, _) => {}
        }
    }
    let mut context = Context::with_env(Arc::clone(&FUNCTIONS));
    for (name, node) in known {
        context.add_variable_from_value(name, node.into_value());
    }
    let evaluated = catch_unwind(AssertUnwindSafe(|| expression.program.execute(&context)));
    let value = match evaluated {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => {
            let filter = &state.current().name;
            tracing::debug!(%filter, "an expression came to nothing: {error}");
            return Err(Status::InternalFailure);
        }
        Err(_panic) => return Err(Status::InternalFailure),
    };
    let bytes = to_bytes(&value).ok_or(Status::SerializationFailure)?;
    if bytes.len() > most { Err(Status::InternalFailure) } else { Ok(bytes) }
}

/// Forgets an expression. One that is not there is forgotten already.
pub(super) fn delete(state: &mut State, token: &[u8]) -> Result<Bytes, Status> {
    let key = (state.root(), number(token)?);
    state.expressions.all.remove(&key);
    Ok(Bytes::new())
}

fn number(token: &[u8]) -> Result<u32, Status> {
    token.try_into().map(u32::from_le_bytes).map_err(|_size| Status::BadArgument)
}

/// The paths of what an expression asks for: `request.headers['x']` is `request`, `headers`, `x`.
fn gather(expression: &IdedExpr, paths: &mut Vec<Vec<String>>) {
    if let Some(path) = path(expression) {
        paths.push(path);
        return;
    }
    match &expression.expr {
        Expr::Select(select) => gather(&select.operand, paths),
        Expr::Call(call) => {
            call.target.iter().for_each(|it| gather(it, paths));
            call.args.iter().for_each(|it| gather(it, paths));
        }
        Expr::List(list) => list.elements.iter().for_each(|it| gather(it, paths)),
        Expr::Map(map) => map.entries.iter().for_each(|entry| {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                gather(&entry.key, paths);
                gather(&entry.value, paths);
            }
        }),
        Expr::Comprehension(it) => {
            let parts = [&it.iter_range, &it.accu_init, &it.loop_cond, &it.loop_step, &it.result];
            parts.into_iter().for_each(|part| gather(part, paths));
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

fn path(expression: &IdedExpr) -> Option<Vec<String>> {
    let (before, step) = match &expression.expr {
        Expr::Ident(name) => return Some(vec![name.clone()]),
        Expr::Select(select) => (&*select.operand, select.field.as_str()),
        Expr::Call(call) if call.func_name == operators::INDEX => match &call.args[..] {
            [before, IdedExpr { expr: Expr::Literal(LiteralValue::String(step)), .. }] => {
                (before, step.inner())
            }
            _ => return None,
        },
        _ => return None,
    };
    let mut path = path(before)?;
    path.push(step.to_owned());
    Some(path)
}

/// What stands under a path: what filters set, else what is known.
fn find(state: &mut State, steps: &[&str]) -> Option<cel::Value> {
    let joined = steps.join("\0");
    if let Some(bytes) = properties::own(state, joined.as_bytes()) {
        let declared = state.declared.get(&(state.root(), Bytes::from(joined)));
        let is_text =
            matches!(steps, ["filter_state", ..]) || declared.is_some_and(|it| it.is_text);
        return Some(if is_text { text(&bytes) } else { cel::Value::from(bytes.to_vec()) });
    }
    Some(match properties::known(state, steps)? {
        Value::Bytes(bytes) => text(&bytes),
        Value::Int(number) => number.into(),
        Value::Uint(number) => number.into(),
        Value::Double(number) => number.into(),
        Value::Bool(truth) => truth.into(),
        Value::Time(time) => {
            cel::Value::Timestamp(chrono::DateTime::<chrono::Utc>::from(time).fixed_offset())
        }
        Value::Duration(time) => {
            cel::Value::Duration(chrono::Duration::from_std(time).unwrap_or(chrono::Duration::MAX))
        }
        Value::Map(map) => {
            let entries = map
                .iter()
                .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), text(value)));
            entries.collect::<HashMap<String, cel::Value>>().into()
        }
        Value::List(list) => list.iter().map(|item| text(item)).collect::<Vec<_>>().into(),
    })
}

/// Text, or bytes if it is none.
fn text(bytes: &[u8]) -> cel::Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.to_vec().into(),
    }
}

/// A value, or what stands below a name that has none itself.
enum Node {
    Value(cel::Value),
    Below(BTreeMap<String, Node>),
}

impl Node {
    fn into_value(self) -> cel::Value {
        match self {
            Self::Value(value) => value,
            Self::Below(below) => {
                let entries = below.into_iter().map(|(name, node)| (name, node.into_value()));
                entries.collect::<HashMap<String, cel::Value>>().into()
            }
        }
    }
}

fn insert(into: &mut BTreeMap<String, Node>, steps: &[&str], value: cel::Value) {
    match steps {
        [] => {}
        [last] => drop(into.insert((*last).to_owned(), Node::Value(value))),
        [first, rest @ ..] => {
            let below = into.entry((*first).to_owned());
            if let Node::Below(below) = below.or_insert_with(|| Node::Below(BTreeMap::new())) {
                insert(below, rest, value);
            }
        }
    }
}

/// A value in the form of properties. `None`: it has none.
fn to_bytes(value: &cel::Value) -> Option<Bytes> {
    let nanos = |nanos: i64| Some(Value::Int(nanos).to_bytes());
    match value {
        cel::Value::String(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
        cel::Value::Bytes(bytes) => Some(Bytes::copy_from_slice(bytes)),
        cel::Value::Int(number) => nanos(*number),
        cel::Value::UInt(number) => Some(Value::Uint(*number).to_bytes()),
        cel::Value::Float(number) => Some(Value::Double(*number).to_bytes()),
        cel::Value::Bool(truth) => Some(Value::Bool(*truth).to_bytes()),
        cel::Value::Duration(time) => nanos(time.num_nanoseconds()?),
        cel::Value::Timestamp(time) => nanos(time.timestamp_nanos_opt()?),
        cel::Value::List(list) => {
            let items = list.iter().map(to_bytes).collect::<Option<Vec<_>>>()?;
            Some(Value::List(items).to_bytes())
        }
        cel::Value::Map(map) => {
            let entries = map.map.iter().map(|(key, value)| {
                Some((to_bytes(&cel::Value::from(key.clone()))?, to_bytes(value)?))
            });
            let mut entries = entries.collect::<Option<Vec<_>>>()?;
            entries.sort();
            Some(pairs::to_bytes(|| entries.iter().map(|(key, value)| (&key[..], &value[..]))))
        }
        _ => None,
    }
}
