//! Why a plan could not be acted on.

use crate::capabilities::ToOpen;
use crate::exit::{Exit, Failure};
use base::{Error, Mistake};
use deployment::{At, Plan, Severity};

/// Everything that is wrong with what a plan made, each thing with its line.
#[derive(Default)]
pub(crate) struct Problems(Vec<(Option<At>, Error)>);

impl Problems {
    /// Adds one, and where it stands in the file.
    pub(crate) fn add(&mut self, at: Option<&At>, error: Error) {
        self.0.push((at.cloned(), error));
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each, and where it stands.
    #[cfg(test)]
    pub(crate) fn found(&self) -> &[(Option<At>, Error)] {
        &self.0
    }

    /// All of it, under the lines of the plan. The code is that of a mistake if there is one, else
    /// the worst.
    pub(crate) fn failure(self, plan: &Plan<ToOpen>) -> Failure {
        let codes = || self.0.iter().map(|(_, error)| Exit::of(error.kind()));
        let exit = match codes().any(|exit| exit == Exit::Input) {
            true => Exit::Input,
            false => codes().max_by_key(|exit| *exit as u8).unwrap_or(Exit::Bug),
        };
        let found = self.0.into_iter().map(|(at, error)| {
            let severity = match Exit::of(error.kind()) {
                Exit::Input => Severity::Mistake,
                _ => Severity::Failure,
            };
            let mistake = Mistake::new(error.to_string());
            let mistake = match error.hint() {
                Some(hint) => mistake.with_hint(hint),
                None => mistake,
            };
            (severity, at, mistake)
        });
        Failure::reported(&plan.report(found), exit)
    }
}
