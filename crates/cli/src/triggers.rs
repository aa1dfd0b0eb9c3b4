//! What calls guests besides HTTP: clocks and keys that change.

mod command;
mod timer;

use crate::app::App;
use base::Error;
use deployment::Keys;
use engine::{Stop, Tasks};
use keyvalue::WatchOptions;
use keyvalue::trigger::Watcher;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use command::{Command, Outcome, ended};

/// The triggers that run.
pub(crate) struct Triggers {
    tasks: Tasks,
    stop: Stop,
}

impl Triggers {
    /// Starts every timer and every watch of an app.
    ///
    /// # Errors
    /// `Invalid` when a component does not export what its trigger calls.
    pub(crate) fn start(app: &App) -> Result<Self, Error> {
        let triggers = Self { tasks: Tasks::new(), stop: Stop::new() };
        for timer in &app.plan.timers {
            let Some(loaded) = app.guests.get(&timer.component) else { continue };
            let command = Command::new(Arc::clone(&loaded.guest))?.ok_or_else(|| {
                Error::invalid(format!(
                    "the timer's component `{}` exports no `wasi:cli/run`",
                    timer.component
                ))
            })?;
            let run = timer::run(command, timer.schedule.clone(), triggers.stop.child())?;
            triggers.tasks.spawn(run);
        }
        for watch in &app.plan.watches {
            triggers.watch(app, watch)?;
        }
        Ok(triggers)
    }

    /// Finds out what `start` would find wrong; returns how many triggers there are.
    ///
    /// # Errors
    /// As `start`.
    pub(crate) fn check(app: &App) -> Result<usize, Error> {
        // Outside of the drop of these no task of them gets to run.
        let triggers = Self::start(app)?;
        triggers.stop.now();
        Ok(app.plan.timers.len() + app.plan.watches.len())
    }

    fn watch(&self, app: &App, watch: &deployment::Watch) -> Result<(), Error> {
        let (Some(loaded), Some(store)) =
            (app.guests.get(&watch.component), app.store(&watch.binding))
        else {
            return Ok(());
        };
        let component = Arc::clone(loaded.guest.name());
        let watcher = Watcher::new(Arc::clone(&loaded.guest))
            .map_err(|error| Error::invalid(format!("component `{component}`: {error:#}")))?
            .ok_or_else(|| {
                Error::invalid(format!(
                    "the watch's component `{component}` exports no `wasi:keyvalue/watcher`"
                ))
            })?;
        let options = match &watch.keys {
            Keys::All => WatchOptions::default(),
            Keys::Only(keys) => WatchOptions { keys: keys.clone(), ..WatchOptions::default() },
            Keys::Prefix(prefix) => {
                WatchOptions { prefix: prefix.clone(), ..WatchOptions::default() }
            }
        };
        let (store, binding, stop) = (Arc::clone(store), watch.binding.clone(), self.stop.child());
        self.tasks.spawn(async move {
            if let Err(error) = watcher.run(store, &binding, options, stop).await {
                tracing::error!(%component, binding, %error, "a watch ended");
            }
        });
        Ok(())
    }

    /// Finishes what runs, at most `grace`; returns how much was left.
    pub(crate) async fn shut_down(self, grace: Duration) -> usize {
        self.stop.now();
        self.tasks.drain(grace).await
    }
}
