//! One file as a tree with places, and every mistake of its syntax.

use crate::notes::Notes;
use crate::source::At;
use base::Mistake;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// What the parser says where a key stands twice.
const DUPLICATE: &str = "duplicate key";

/// What it says behind an array that is not closed, where the next line begins.
const NO_COMMA: &str = "missing comma between";

/// Parses `text`, the file numbered `file`, as far as it can be understood.
pub(crate) fn parse<'t>(file: usize, text: &'t str, notes: &Notes) -> DeTable<'t> {
    let (table, mut errors) = DeTable::parse_recoverable(text);
    let table = table.into_inner();
    errors.sort_by_key(|error| error.span().map(|span| span.start));
    let open = errors.iter().rfind(|error| error.message().starts_with("unclosed array"));
    let open = open.and_then(toml::de::Error::span);
    for error in errors {
        let span = error.span().unwrap_or_default();
        if error.message() == DUPLICATE {
            duplicate(file, text, &table, span, notes);
            continue;
        }
        notes.set_partial();
        let line = line(text, span.start);
        let mut mistake = Mistake::from(error);
        let mut broken = line.clone();
        if let Some(open) = open.as_ref().filter(|open| open.start > line.end)
            && mistake.message.starts_with(NO_COMMA)
        {
            // Everything up to where the file ends was taken for more of the array.
            broken.end = open.end + 1;
            mistake = Mistake::at(span, "an array before this line is not closed")
                .with_hint("close it with `]`");
        }
        // One line, one mistake: the parser finds several where one confused it.
        notes.mistake(file, mistake);
        notes.set_broken(At { file, span: broken });
    }
    table
}

/// The line on which `offset` lies, with its end.
fn line(text: &str, offset: usize) -> Range<usize> {
    let offset = text.floor_char_boundary(offset.min(text.len()));
    let (before, after) = text.split_at(offset);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    start..offset + after.find('\n').unwrap_or(after.len()) + 1
}

/// Shows a name that stands twice at both its places.
///
/// The parser reports only the second place; the tree has the first, or the text has it, where
/// the second table of a name has taken the place of the first in the tree.
fn duplicate(file: usize, text: &str, table: &DeTable<'_>, span: Range<usize>, notes: &Notes) {
    let line = line(text, span.start);
    if text.get(line.clone()).is_some_and(|line| line.starts_with('[')) {
        // What stands below is mixed with what stood below the first.
        let end = text.get(line.end..).and_then(|rest| rest.find("\n["));
        let end = end.map_or(text.len(), |end| line.end + end);
        notes.set_broken(At { file, span: line.end..end });
    }
    let at = At { file, span: span.clone() };
    if notes.is_broken(&at) {
        return;
    }
    let name = text.get(span.clone()).unwrap_or_default();
    let bare = name.trim_matches(['"', '\'']);
    let mistake = Mistake::at(span.clone(), format!("`{bare}` stands here a second time"));
    let first = nearest_key(table, bare, span.start).or_else(|| same_header(text, span.start));
    match first {
        Some(first) => notes.contradiction(
            at,
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
