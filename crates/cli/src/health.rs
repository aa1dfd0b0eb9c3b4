//! What the program tells its operator: which file runs, what guests hold, how requests ended.

use crate::app::App;
use engine::Budget;
use gateway::admin;
use http::incoming::{Counts, Handler};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// What is told, as of now.
pub(crate) struct Health {
    app: String,
    budget: Arc<Budget>,
    /// Whether the last file that was read is the one that runs.
    current: AtomicBool,
    /// The components that answer HTTP.
    handlers: Mutex<BTreeMap<String, Arc<Handler>>>,
}

impl Health {
    /// Of the app that runs first.
    pub(crate) fn new(app: &App, budget: Arc<Budget>) -> Arc<Self> {
        let (current, handlers) = (AtomicBool::new(true), Mutex::new(handlers(app)));
        Arc::new(Self { app: app.plan.name.clone(), budget, current, handlers })
    }

    /// From now on `app` runs, which the last file describes.
    pub(crate) fn set(&self, app: &App) {
        let handlers = handlers(app);
        let old = std::mem::replace(
            &mut *self.handlers.lock().unwrap_or_else(PoisonError::into_inner),
            handlers,
        );
        self.current.store(true, Relaxed);
        // What only this held of the last app goes without anyone waiting for the lock.
        drop(old);
    }

    /// The last file is wrong, and an older one runs.
    pub(crate) fn set_older(&self) {
        self.current.store(false, Relaxed);
    }

    /// The answer to whoever asks.
    pub(crate) fn endpoint(self: &Arc<Self>) -> admin::Health {
        let health = Arc::clone(self);
        Arc::new(move || (true, health.json().to_string()))
    }

    fn json(&self) -> Value {
        let current = self.current.load(Relaxed);
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let counted =
            handlers.iter().map(|(name, handler)| (name.clone(), counted(handler.counts())));
        json!({
            "status": "ok",
            "app": self.app,
            "file": if current { "current" } else { "older: the new one is wrong" },
            "guest-memory": self.budget.used(),
            "requests": counted.collect::<serde_json::Map<_, _>>(),
        })
    }
}

fn handlers(app: &App) -> BTreeMap<String, Arc<Handler>> {
    let handlers = app
        .guests
        .iter()
        .filter_map(|(name, loaded)| Some((name.clone(), Arc::clone(loaded.handler.as_ref()?))));
    handlers.collect()
}

fn counted(counts: &Counts) -> Value {
    json!({
        "answered": counts.answered.load(Relaxed),
        "failed": counts.failed.load(Relaxed),
        "timed-out": counts.timed_out.load(Relaxed),
        "turned-away": counts.turned_away.load(Relaxed),
    })
}
