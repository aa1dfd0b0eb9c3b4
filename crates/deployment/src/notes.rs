//! What is found while the files are read, collected instead of returned.

use crate::report::{Finding, Severity};
use crate::source::At;
use base::Mistake;
use std::cell::{Cell, RefCell};
use std::ops::Range;

/// The findings so far. Shared by everything that reads, so that no mistake ends the reading.
#[derive(Default)]
pub(crate) struct Notes {
    findings: RefCell<Vec<Finding>>,
    partial: Cell<bool>,
    broken: RefCell<Vec<At>>,
}

impl Notes {
    /// A mistake in the file numbered `file`, at the mistake's span. Not where the file was not
    /// understood: what stands there was reported already, and is hardly what it seems.
    pub(crate) fn mistake(&self, file: usize, mistake: Mistake) {
        let at = mistake.span.clone().map(|span| At { file, span });
        self.finding(at, mistake);
    }

    /// A mistake or a failure at a place, or of no place in a file.
    pub(crate) fn finding(&self, at: Option<At>, finding: impl Into<Finding>) {
        if !at.as_ref().is_some_and(|at| self.is_broken(at)) {
            self.push(Finding { at, ..finding.into() });
        }
    }

    /// A mistake that only makes sense in a file that was understood as a whole: where a broken
    /// line was left out, what it held is not missing.
    pub(crate) fn absence(&self, file: usize, mistake: Mistake) {
        if !self.partial.get() {
            self.mistake(file, mistake);
        }
    }

    /// A mistake that a second place explains.
    pub(crate) fn contradiction(&self, at: At, other: At, label: &'static str, mistake: Mistake) {
        let finding = Finding::new(Severity::Mistake, Some(at), mistake);
        self.push(Finding { also: Some(Box::new((other, label))), ..finding });
    }

    /// Something that works, but probably not as meant.
    pub(crate) fn warning(&self, at: Option<&At>, message: String, hint: &str) {
        let mistake = Mistake::new(message).with_hint(hint);
        self.push(Finding::new(Severity::Warning, at.cloned(), mistake));
    }

    /// Remembers that a part of a file was not understood.
    pub(crate) fn set_broken(&self, at: At) {
        self.broken.borrow_mut().push(at);
    }

    /// Whether the place lies in a part that was not understood.
    pub(crate) fn is_broken(&self, at: &At) -> bool {
        let inside = |part: &At| part.file == at.file && part.span.contains(&at.span.start);
        self.broken.borrow().iter().any(inside)
    }

    /// Remembers that something may be missing only because it was not understood.
    pub(crate) fn set_partial(&self) {
        self.partial.set(true);
    }

    /// Whether nothing but warnings was found.
    pub(crate) fn is_fine(&self) -> bool {
        self.findings.borrow().iter().all(|finding| finding.severity == Severity::Warning)
    }

    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.findings.into_inner()
    }

    fn push(&self, finding: Finding) {
        self.findings.borrow_mut().push(finding);
    }
}

/// A value and where it stands in its file.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) at: At,
}

impl<T> Placed<T> {
    pub(crate) fn span(&self) -> Range<usize> {
        self.at.span.clone()
    }
}
