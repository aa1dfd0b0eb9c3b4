//! What became of a message at a guest.

use std::time::Duration;

/// What became of a message that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done with.
    Done,
    /// It failed, for this reason. It comes again after so long, or when the schedule says.
    Failed { why: String, after: Option<Duration> },
    /// Nobody will ever handle it, for this reason: it is given up at once.
    Refused(String),
}

impl Outcome {
    /// A failure that follows the schedule.
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::Failed { why: why.into(), after: None }
    }
}

impl From<Result<(), String>> for Outcome {
    fn from(said: Result<(), String>) -> Self {
        match said {
            Ok(()) => Self::Done,
            Err(why) => Self::failed(why),
        }
    }
}
