//! The files that a plan was read from, and places in them.

use std::ops::Range;

/// A place in one of the files that a plan was read from.
///
/// Two places are always equal: where something stands does not make two plans differ.
#[derive(Clone, Debug)]
pub struct At {
    pub(crate) file: usize,
    pub(crate) span: Range<usize>,
}

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for At {}

/// One file as it was read.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path as it is shown.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// `span`, made to lie within the text, on whole letters and on one line.
    pub(crate) fn clip(&self, span: &Range<usize>) -> Range<usize> {
        let text = &self.text;
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
        let marked = text.get(start..end).unwrap_or_default();
        let line = marked.find('\n').unwrap_or(marked.len());
        start..start + marked.get(..line).unwrap_or_default().trim_end().len()
    }

    /// Line and column of `offset`, both from one, the column in letters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.text.floor_char_boundary(offset.min(self.text.len()));
        let before = self.text.get(..offset).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}
