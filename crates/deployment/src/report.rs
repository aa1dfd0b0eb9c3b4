//! Everything that is wrong, each mistake under its line.

use crate::source::{At, Source};
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};
use base::{Error, Kind, Mistake};
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

/// What was found in the files of one deployment: its mistakes, or what a plan warns of.
#[derive(Clone)]
pub struct Report {
    sources: Arc<[Source]>,
    findings: Vec<Finding>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is started.
    Mistake,
    /// What it names cannot be had now: a backend that is away, a file that is damaged or that this
    /// user may not read. Nothing is started.
    Failure,
    /// It works, but probably not as meant.
    Warning,
}

/// One thing that was found, without its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) at: Option<At>,
    /// A second place that explains the first, and what to say there. Few findings have one.
    pub(crate) also: Option<Box<(At, &'static str)>>,
}

/// One finding as a person or a program reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// File, line and column; the latter two count from one, the column in letters.
    pub place: Option<(&'a str, usize, usize)>,
    /// What is wrong.
    pub message: &'a str,
    /// What to write instead.
    pub hint: Option<&'a str>,
}

impl Finding {
    pub(crate) fn new(severity: Severity, at: Option<At>, mistake: Mistake) -> Self {
        Self { severity, message: mistake.message, hint: mistake.hint, at, also: None }
    }
}

impl From<Mistake> for Finding {
    fn from(mistake: Mistake) -> Self {
        Self::new(Severity::Mistake, None, mistake)
    }
}

impl From<Error> for Finding {
    /// A mistake, unless it is the system that has to be told otherwise.
    fn from(error: Error) -> Self {
        let severity = match error.kind() {
            Kind::Denied => Severity::Failure,
            _ => Severity::Mistake,
        };
        let mistake = Mistake::new(error.to_string());
        let hint = error.hint().map(str::to_owned);
        Self::new(severity, None, Mistake { hint, ..mistake })
    }
}

impl Report {
    /// Sorts what was found by its place and keeps each finding once.
    pub(crate) fn new(sources: Arc<[Source]>, mut findings: Vec<Finding>) -> Self {
        let place =
            |finding: &Finding| finding.at.as_ref().map(|at| (at.file, at.span.start, at.span.end));
        findings.sort_by_key(place);
        findings.dedup_by(|a, b| place(a) == place(b) && a == b);
        Self { sources, findings }
    }

    /// Whether a better file would help.
    pub fn has_mistakes(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Mistake)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// What was found, in the order of the files.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.findings.iter().map(|finding| Entry {
            severity: finding.severity,
            place: finding.at.as_ref().and_then(|at| self.place(at)),
            message: &finding.message,
            hint: finding.hint.as_deref(),
        })
    }

    /// The text for people: every finding under its line, then how many there are.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&self.render_one(&renderer, finding));
            text.push_str("\n\n");
        }
        text.push_str(&self.summary());
        text
    }

    /// The same for programs: an array of `{severity, file, line, column, message, hint}`.
    pub fn to_json(&self) -> Value {
        let entries = self.entries().map(|entry| {
            let (file, line, column) = match entry.place {
                Some((file, line, column)) => (Some(file), Some(line), Some(column)),
                None => (None, None, None),
            };
            json!({
                "severity": entry.severity.word(),
                "file": file,
                "line": line,
                "column": column,
                "message": entry.message,
                "hint": entry.hint,
            })
        });
        entries.collect()
    }

    fn place(&self, at: &At) -> Option<(&str, usize, usize)> {
        let source = self.sources.get(at.file)?;
        let (line, column) = source.position(at.span.start);
        Some((&source.path, line, column))
    }

    fn render_one(&self, renderer: &Renderer, finding: &Finding) -> String {
        let level = match finding.severity {
            Severity::Mistake | Severity::Failure => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        // A message may quote a name from the file, and a name may hold anything.
        let mut group =
            Group::with_title(level.primary_title(normalize_untrusted_str(&finding.message)));
        if let Some((at, source)) = self.find(finding.at.as_ref()) {
            let primary = AnnotationKind::Primary.span(source.clip(&at.span));
            // The line of a backend that is away may hold its password.
            let mut snippet =
                Snippet::source(source.shown()).path(&source.path).annotation(primary);
            if let Some((other, label)) = finding.also.as_deref()
                && other.file == at.file
            {
                let context = AnnotationKind::Context.span(source.clip(&other.span));
                snippet = snippet.annotation(context.label(*label));
            }
            group = group.element(snippet);
        }
        if let Some(hint) = &finding.hint {
            group = group.element(Level::HELP.message(normalize_untrusted_str(hint)));
        }
        renderer.render(&[group])
    }

    fn find<'a>(&'a self, at: Option<&'a At>) -> Option<(&'a At, &'a Source)> {
        let at = at?;
        Some((at, self.sources.get(at.file)?))
    }

    fn summary(&self) -> String {
        let count = |severity: Severity| {
            let one = severity.word();
            let found = self.findings.iter().filter(|found| found.severity == severity).count();
            match found {
                0 => None,
                1 => Some(format!("1 {one}")),
                more => Some(format!("{more} {one}s")),
            }
        };
        let counts = [Severity::Mistake, Severity::Failure, Severity::Warning].map(count);
        counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl Severity {
    /// The word for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mistake => "mistake",
            Self::Failure => "failure",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

impl std::error::Error for Report {}
