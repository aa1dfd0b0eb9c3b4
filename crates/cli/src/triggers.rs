//! What calls guests besides HTTP: clocks, keys that change, and messages.

mod command;
mod running;
mod subscribe;
mod timer;

use crate::app::{App, Problems};
use base::Error;
use deployment::Keys;
use keyvalue::WatchOptions;
use keyvalue::trigger::Watcher;
use messaging::trigger::Receiver;
use running::Running;
use std::sync::Arc;
use std::time::Duration;
use subscribe::Subscribed;
use timer::Clock;

pub(crate) use command::{Command, Outcome, ended};
pub(crate) use subscribe::needs;

/// The triggers of an app, found right and not yet started.
pub(crate) struct Ready {
    timers: Vec<(Clock, Command)>,
    watches: Vec<(Watched, Watcher)>,
    subscriptions: Vec<(Subscribed, Receiver)>,
}

/// The triggers that run.
#[derive(Default)]
pub(crate) struct Triggers {
    timers: Vec<Running<Clock, Command>>,
    watches: Vec<Running<Watched, Watcher>>,
    subscriptions: Vec<Running<Subscribed, Receiver>>,
}

/// Nobody waits longer for brokers that do not answer.
const BEGINNING: Duration = Duration::from_secs(5);

/// Which changes are told to whom.
struct Watched {
    component: String,
    binding: String,
    keys: Keys,
    store: Arc<dyn keyvalue::Store>,
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.component == other.component
            && self.keys == other.keys
            && Arc::ptr_eq(&self.store, &other.store)
    }
}

impl Ready {
    /// The timers, watches and subscriptions of an app. Those whose component does not export what
    /// they call are added to the problems; of a component that could not be loaded nothing can be
    /// said.
    pub(crate) fn of(app: &App, problems: &mut Problems) -> Self {
        let (mut timers, mut watches, mut subscriptions) = (Vec::new(), Vec::new(), Vec::new());
        for timer in &app.plan.timers {
            match timed(app, timer) {
                Ok(ready) => timers.extend(ready),
                Err(error) => problems.add(Some(&timer.at), error),
            }
        }
        for watch in &app.plan.watches {
            match watched(app, watch) {
                Ok(ready) => watches.extend(ready),
                Err(error) => problems.add(Some(&watch.at), error),
            }
        }
        for subscribe in &app.plan.subscriptions {
            match subscribe::ready(app, subscribe) {
                Ok(ready) => subscriptions.extend(ready),
                Err(error) => problems.add(Some(&subscribe.at), error),
            }
        }
        Self { timers, watches, subscriptions }
    }

    /// Once they run, waits until the subscriptions are made, so that nothing which is published
    /// by what is served then is missed. Brokers that are away are not waited for.
    pub(crate) fn begun(&self) -> impl Future<Output = ()> + use<> {
        let begun: Vec<_> = self.subscriptions.iter().map(|(it, _)| it.begun.clone()).collect();
        async move {
            let all = futures::future::join_all(begun.iter().map(engine::Stop::wait));
            if tokio::time::timeout(BEGINNING, all).await.is_err() {
                tracing::warn!("serving before all brokers have answered");
            }
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.timers.len() + self.watches.len() + self.subscriptions.len()
    }
}

fn timed(app: &App, timer: &deployment::Timer) -> Result<Option<(Clock, Command)>, Error> {
    let Some(loaded) = app.guests.get(&timer.component) else { return Ok(None) };
    let command = Command::new(Arc::clone(&loaded.guest))?.ok_or_else(|| {
        Error::invalid(format!(
            "the timer's component `{}` exports no `wasi:cli/run`",
            timer.component
        ))
    })?;
    Ok(Some((Clock::new(timer)?, command)))
}

fn watched(app: &App, watch: &deployment::Watch) -> Result<Option<(Watched, Watcher)>, Error> {
    let Some(loaded) = app.guests.get(&watch.component) else { return Ok(None) };
    let component = watch.component.clone();
    let watcher = Watcher::new(Arc::clone(&loaded.guest))
        .map_err(|error| Error::invalid(format!("component `{component}`: {error:#}")))?
        .ok_or_else(|| {
            Error::invalid(format!(
                "the watch's component `{component}` exports no `wasi:keyvalue/watcher`"
            ))
        })?;
    // A store that could not be opened was reported.
    let Some(store) = app.store(&watch.binding) else { return Ok(None) };
    let (binding, keys, store) = (watch.binding.clone(), watch.keys.clone(), Arc::clone(store));
    Ok(Some((Watched { component, binding, keys, store }, watcher)))
}

impl Triggers {
    /// Runs what is `ready` instead of what ran. A trigger that ran already goes on and calls the
    /// new component from its next call on: no change of a key is missed, no clock begins anew.
    ///
    /// Returns what is wanted no longer, to be shut down.
    pub(crate) fn exchange(&mut self, ready: Ready) -> Self {
        let timers = Running::exchange(&mut self.timers, ready.timers, timer::run);
        let watches =
            Running::exchange(&mut self.watches, ready.watches, |watched, watcher, stop| {
                let options = match &watched.keys {
                    Keys::All => WatchOptions::default(),
                    Keys::Only(keys) => WatchOptions { keys: keys.clone(), ..Default::default() },
                    Keys::Prefix(prefix) => WatchOptions::prefix(prefix.clone()),
                };
                let (component, binding) = (watched.component.clone(), watched.binding.clone());
                let store = Arc::clone(&watched.store);
                async move {
                    let run = keyvalue::trigger::run(watcher, store, &binding, options, stop);
                    if let Err(error) = run.await {
                        tracing::error!(%component, binding, %error, "a watch ended");
                    }
                }
            });
        let subscriptions =
            Running::exchange(&mut self.subscriptions, ready.subscriptions, subscribe::run);
        Self { timers, watches, subscriptions }
    }

    /// Finishes what runs, at most `grace`; returns how much was left.
    pub(crate) async fn shut_down(self, grace: Duration) -> usize {
        let timers = futures::future::join_all(self.timers.into_iter().map(|it| it.end(grace)));
        let watches = futures::future::join_all(self.watches.into_iter().map(|it| it.end(grace)));
        let subscriptions = self.subscriptions.into_iter().map(|it| it.end(grace));
        let subscriptions = futures::future::join_all(subscriptions);
        let (timers, watches, subscriptions) = futures::join!(timers, watches, subscriptions);
        timers.into_iter().chain(watches).chain(subscriptions).sum()
    }
}
