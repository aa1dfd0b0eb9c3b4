//! `[[timer]]`: a command that runs by the clock.

use super::{Command, Outcome};
use base::Error;
use croner::Cron;
use deployment::Schedule;
use engine::{Request, Stop};
use std::str::FromStr as _;
use std::time::Duration;

/// When a timer runs next.
enum Clock {
    Cron(Box<Cron>),
    Every(Duration),
}

/// Runs `command` whenever the clock says so. A run that is not over at its next time delays it:
/// runs of one timer do not overlap, and times that were missed are not caught up on.
pub(super) fn run(
    command: Command,
    schedule: Schedule,
    stop: Stop,
) -> Result<impl Future<Output = ()> + Send, Error> {
    let clock = match schedule {
        Schedule::Every(every) => Clock::Every(every),
        Schedule::Cron(pattern) => {
            let cron = Cron::from_str(&pattern).map_err(|error| {
                Error::invalid(format!("the cron pattern `{pattern}`: {error}"))
            })?;
            Clock::Cron(Box::new(cron))
        }
    };
    Ok(async move {
        let mut last = tokio::time::Instant::now();
        while let Some(wait) = clock.wait(last) {
            tokio::select! {
                biased;
                () = stop.wait() => return,
                () = tokio::time::sleep(wait) => {}
            }
            last = tokio::time::Instant::now();
            once(&command).await;
        }
        tracing::warn!(component = %command.guest().name(), "the timer has no further time");
    })
}

impl Clock {
    fn wait(&self, last: tokio::time::Instant) -> Option<Duration> {
        match self {
            Self::Every(every) => Some(every.saturating_sub(last.elapsed())),
            Self::Cron(cron) => {
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
