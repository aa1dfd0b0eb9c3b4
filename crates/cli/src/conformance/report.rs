//! What a server keeps and what not, for people and for programs.

use crate::args::ReportFormat;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde_json::json;
use std::fmt::Write as _;
use std::time::Duration;

/// All promises of a capability, tried on one server.
pub(crate) struct Report {
    capability: &'static str,
    url: String,
    backend: String,
    tried: Vec<Tried>,
}

/// One promise, and whether it is kept.
pub(crate) struct Tried {
    /// Its name.
    pub(crate) name: &'static str,
    /// How long it took to find out.
    pub(crate) took: Duration,
    /// What was found instead.
    pub(crate) broken: Option<String>,
}

impl Report {
    /// A report on nothing yet.
    pub(crate) fn new(capability: &'static str, backend: String) -> Self {
        Self { capability, url: String::new(), backend, tried: Vec::new() }
    }

    /// Says which server it is of. The URL is shown as it is.
    pub(crate) fn name(&mut self, url: String) {
        self.url = url;
    }

    /// Adds one promise.
    pub(crate) fn add(&mut self, tried: Tried) {
        self.tried.push(tried);
    }

    /// How many promises are broken.
    pub(crate) fn broken(&self) -> usize {
        self.tried.iter().filter(|tried| tried.broken.is_some()).count()
    }

    /// The report in a form.
    pub(crate) fn render(&self, format: ReportFormat) -> String {
        match format {
            ReportFormat::Text => self.text(),
            ReportFormat::Json => self.json(),
            ReportFormat::Junit => self.junit(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{} on {} ({})\n\n", self.capability, self.backend, self.url);
        for Tried { name, took, broken } in &self.tried {
            let word = if broken.is_some() { "BROKEN" } else { "kept" };
            let _written = writeln!(text, "  {word:<6} {name:<60} {:>6} ms", took.as_millis());
            if let Some(broken) = broken {
                let _written = writeln!(text, "         {broken}");
            }
        }
        let (all, broken) = (self.tried.len(), self.broken());
        let _written = write!(text, "\n{all} promises: {} kept, {broken} broken", all - broken);
        text
    }

    fn json(&self) -> String {
        let promises: Vec<_> = self
            .tried
            .iter()
            .map(|Tried { name, took, broken }| {
                json!({
                    "name": name,
                    "kept": broken.is_none(),
                    "broken": broken,
                    "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                })
            })
            .collect();
        let report = json!({
            "capability": self.capability,
            "backend": self.backend,
            "url": self.url,
            "broken": self.broken(),
            "promises": promises,
        });
        format!("{report:#}")
    }

    fn junit(&self) -> String {
        let mut suite = TestSuite::new(format!("{} on {}", self.capability, self.backend));
        for Tried { name, took, broken } in &self.tried {
            let status = match broken {
                None => TestCaseStatus::success(),
                Some(broken) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_message(broken.clone());
                    status
                }
            };
            let mut case = TestCase::new(*name, status);
            case.set_classname(self.capability).set_time(*took);
            suite.add_test_case(case);
        }
        let mut report = quick_junit::Report::new("wharf conformance");
        report.add_test_suite(suite);
        // It is written into memory, where nothing fails.
        report.to_string().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_said_in_every_form() {
        let mut report = Report::new("keyvalue", "toy 1.0".to_owned());
        report.name("toy://host".to_owned());
        let took = Duration::from_millis(12);
        report.add(Tried { name: "kept_one", took, broken: None });
        let broken = Some("found <2>, not 1".to_owned());
        report.add(Tried { name: "broken_one", took, broken });
        assert_eq!(report.broken(), 1);

        let text = report.render(ReportFormat::Text);
        assert!(text.contains("BROKEN broken_one"), "{text}");
        assert!(text.contains("\n         found <2>, not 1\n"), "{text}");
        assert!(text.ends_with("2 promises: 1 kept, 1 broken"), "{text}");

        let json = report.render(ReportFormat::Json);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["broken"], 1);
        assert_eq!(json["promises"][1]["kept"], false);
        assert_eq!(json["promises"][1]["broken"], "found <2>, not 1");

        let junit = report.render(ReportFormat::Junit);
        assert!(junit.contains(r#"tests="2""#) && junit.contains(r#"failures="1""#), "{junit}");
        assert!(junit.contains(r#"<failure message="found &lt;2&gt;, not 1"#), "{junit}");
    }
}
