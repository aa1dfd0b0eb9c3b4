//! `[[timer]]`: a command that runs by the clock.

use super::{Command, Outcome};
use base::Error;
use croner::Cron;
use deployment::{Schedule, Timer};
use engine::{Request, Stop};
use std::str::FromStr as _;
use std::time::Duration;
use tokio::sync::watch;

/// When a timer's component runs next.
#[derive(Clone, PartialEq)]
pub(super) struct Clock {
    component: String,
    schedule: Schedule,
    cron: Option<Cron>,
}

/// Runs the command that is current whenever the clock says so. A run that is not over at its next
/// time delays it: runs of one timer do not overlap, and times that were missed are not caught up
/// on.
pub(super) fn run(
    clock: &Clock,
    command: watch::Receiver<Command>,
    stop: Stop,
) -> impl Future<Output = ()> + Send + use<> {
    let clock = clock.clone();
    async move {
        let mut last = tokio::time::Instant::now();
        while let Some(wait) = clock.wait(last) {
            tokio::select! {
                biased;
                () = stop.wait() => return,
                () = tokio::time::sleep(wait) => {}
            }
            last = tokio::time::Instant::now();
            let command = command.borrow().clone();
            once(&command).await;
        }
        tracing::warn!(component = clock.component, "the timer has no further time");
    }
}

impl Clock {
    /// The clock of a timer in the file.
    pub(super) fn new(timer: &Timer) -> Result<Self, Error> {
        let cron = match &timer.schedule {
            Schedule::Every(_) => None,
            Schedule::Cron(pattern) => Some(Cron::from_str(pattern).map_err(|error| {
                Error::invalid(format!("the cron pattern `{pattern}`: {error}"))
            })?),
        };
        Ok(Self { component: timer.component.clone(), schedule: timer.schedule.clone(), cron })
    }

    fn wait(&self, last: tokio::time::Instant) -> Option<Duration> {
        match (&self.schedule, &self.cron) {
            (Schedule::Every(every), _) => Some(every.saturating_sub(last.elapsed())),
            (Schedule::Cron(_), cron) => {
                let cron = cron.as_ref()?;
                let now = chrono::Utc::now();
                let next = cron.find_next_occurrence(&now, false).ok()?;
                Some((next - now).to_std().unwrap_or_default())
            }
        }
    }
}

async fn once(command: &Command) {
    let guest = command.guest();
    let component = guest.name();
    let permit = match guest.admit().await {
        Ok(permit) => permit,
        Err(error) => {
            tracing::warn!(%component, %error, "a timer's run was skipped");
            return;
        }
    };
    match command.run(Request::default(), guest.limits().request_timeout).await {
        Outcome::Exit(0) => tracing::debug!(%component, "a timer's run ended"),
        Outcome::Exit(code) => tracing::warn!(%component, code, "a timer's run failed"),
        Outcome::Deadline => tracing::warn!(%component, "a timer's run was not over in time"),
        Outcome::Trap(trap) => tracing::warn!(%component, "a timer's run trapped: {trap}"),
    }
    drop(permit);
}
