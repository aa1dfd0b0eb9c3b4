//! One file as a tree with places, and every mistake of its syntax.

use crate::notes::Notes;
use crate::source::At;
use base::Mistake;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// What the parser says where a key stands twice.
const DUPLICATE: &str = "duplicate key";

/// Parses `text`, the file numbered `file`, as far as it can be understood.
pub(crate) fn parse<'t>(file: usize, text: &'t str, notes: &Notes) -> DeTable<'t> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let table = table.into_inner();
    for error in errors {
        match error.span().filter(|_| error.message() == DUPLICATE) {
            Some(span) => duplicate(file, text, &table, span, notes),
            None => {
                notes.set_partial();
                notes.mistake(file, Mistake::from(error));
            }
        }
    }
    table
}

/// Shows a name that stands twice at both its places.
///
/// The parser reports only the second place; the tree has the first, or the text has it, where
/// the second table of a name has taken the place of the first in the tree.
fn duplicate(file: usize, text: &str, table: &DeTable<'_>, span: Range<usize>, notes: &Notes) {
    let name = text.get(span.clone()).unwrap_or_default();
    let bare = name.trim_matches(['"', '\'']);
    let mistake = Mistake::at(span.clone(), format!("`{bare}` stands here a second time"));
    let first = nearest_key(table, bare, span.start).or_else(|| same_header(text, span.start));
    match first {
        Some(first) => notes.contradiction(
            At { file, span },
            At { file, span: first },
            "and here for the first time",
            mistake,
        ),
        None => notes.mistake(file, mistake),
    }
}

/// The last place before `end` where a key named `name` stands.
fn nearest_key(table: &DeTable<'_>, name: &str, end: usize) -> Option<Range<usize>> {
    let here = table.keys().filter(|key| key.get_ref() == name).map(|key| key.span());
    let below = table.values().filter_map(|value| below(value.get_ref(), name, end));
    here.filter(|span| span.start < end).chain(below).max_by_key(|span| span.start)
}

fn below(value: &DeValue<'_>, name: &str, end: usize) -> Option<Range<usize>> {
    match value {
        DeValue::Table(table) => nearest_key(table, name, end),
        DeValue::Array(array) => {
            let found = array.iter().filter_map(|value| below(value.get_ref(), name, end));
            found.max_by_key(|span| span.start)
        }
        _ => None,
    }
}

/// The first line that opens the same table as the line of `offset` does.
fn same_header(text: &str, offset: usize) -> Option<Range<usize>> {
    let start = text.get(..offset)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next()?.trim();
    let found = text.get(..start)?.lines().find(|other| other.trim() == line)?;
    let start = found.as_ptr().addr() - text.as_ptr().addr();
    line.starts_with('[').then_some(start..start + found.len())
}
