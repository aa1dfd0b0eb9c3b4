//! What the program tells its operator: which file runs, what guests hold, how requests ended.

use crate::app::App;
use base::Budget;
use gateway::admin;
use gateway::filter::{Services, Stands};
use gateway::tcp::{self, Outcome};
use gateway::upstream::{self, Upstream};
use http::incoming::{Counts, Handler};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// What is told, as of now.
pub(crate) struct Health {
    app: String,
    budget: Arc<Budget>,
    /// Whether the last file that was read is the one that runs.
    current: AtomicBool,
    /// Who answers HTTP.
    answering: Mutex<Answering>,
    /// What listeners for bare TCP have seen, by their names.
    tcp: Vec<(String, Arc<tcp::Counts>)>,
}

/// Numbers, and what stands behind the name of their listener.
type Labelled = Vec<(String, u64)>;

/// Who answers HTTP, by name.
struct Answering {
    components: BTreeMap<String, Arc<Handler>>,
    upstreams: Vec<Arc<Upstream>>,
}

impl Health {
    /// Of the app that runs first.
    pub(crate) fn new(
        app: &App,
        budget: Arc<Budget>,
        tcp: Vec<(String, Arc<tcp::Counts>)>,
    ) -> Arc<Self> {
        let (current, answering) = (AtomicBool::new(true), Mutex::new(answering(app)));
        Arc::new(Self { app: app.plan.name.clone(), budget, current, answering, tcp })
    }

    /// From now on `app` runs, which the last file describes.
    pub(crate) fn set(&self, app: &App) {
        let answering = answering(app);
        let old = std::mem::replace(
            &mut *self.answering.lock().unwrap_or_else(PoisonError::into_inner),
            answering,
        );
        self.current.store(true, Relaxed);
        // What only this held of the last app goes without anyone waiting for the lock.
        drop(old);
    }

    /// The last file is wrong, and an older one runs.
    pub(crate) fn set_older(&self) {
        self.current.store(false, Relaxed);
    }

    /// The answers to whoever asks.
    pub(crate) fn pages(self: &Arc<Self>, services: &Arc<Services>) -> admin::Pages {
        let (health, standing) = (Arc::clone(self), Arc::clone(services));
        let (counted, services) = (Arc::clone(self), Arc::clone(services));
        admin::Pages {
            health: Arc::new(move || (true, health.json(&standing).to_string())),
            metrics: Arc::new(move || counted.metrics() + &services.metrics().text()),
        }
    }

    /// What is counted, in the text form of Prometheus.
    fn metrics(&self) -> String {
        let mut text = String::new();
        let answering = self.answering.lock().unwrap_or_else(PoisonError::into_inner);
        let components = answering.components.iter();
        let components =
            components.map(|(name, handler)| ("component", &**name, counted(handler.counts())));
        let upstreams = answering.upstreams.iter();
        let upstreams = upstreams.map(|upstream| ("upstream", upstream.name(), of(upstream)));
        for (kind, name, counts) in components.chain(upstreams) {
            if text.is_empty() {
                text.push_str("# TYPE wharf_requests_total counter\n");
            }
            let counts = counts.as_object().into_iter().flatten();
            for (outcome, count) in counts.filter(|(_, count)| count.is_u64()) {
                // Names have no letter that would have to be escaped.
                let labels = format!("{kind}=\"{name}\",outcome=\"{outcome}\"");
                text.push_str(&format!("wharf_requests_total{{{labels}}} {count}\n"));
            }
        }
        text += &self.of_tcp();
        let memory = self.budget.used();
        text + "# TYPE wharf_guest_memory_bytes gauge\n"
            + &format!("wharf_guest_memory_bytes {memory}\n")
    }

    /// What is counted of listeners for bare TCP.
    fn of_tcp(&self) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, of: &dyn Fn(&tcp::Counts) -> Labelled| {
            if !self.tcp.is_empty() {
                text.push_str(&format!("# TYPE wharf_tcp_{name} {kind}\n"));
            }
            for (listener, counts) in &self.tcp {
                for (label, count) in of(counts) {
                    // Names have no letter that would have to be escaped.
                    let labels = format!("listener=\"{listener}\"{label}");
                    text.push_str(&format!("wharf_tcp_{name}{{{labels}}} {count}\n"));
                }
            }
        };
        let alone = |count: &AtomicU64| vec![(String::new(), count.load(Relaxed))];
        metric("accepted_total", "counter", &|counts| alone(&counts.accepted));
        metric("active", "gauge", &|counts| alone(&counts.active));
        metric("connections_total", "counter", &|counts| {
            let label = |it: Outcome| (format!(",outcome=\"{}\"", it.word()), counts.of(it));
            Outcome::ALL.into_iter().map(label).collect()
        });
        metric("bytes_total", "counter", &|counts| {
            let (clients, servers) = (&counts.from_clients, &counts.from_servers);
            let label =
                |from, count: &AtomicU64| (format!(",from=\"{from}\""), count.load(Relaxed));
            vec![label("client", clients), label("server", servers)]
        });
        text
    }

    fn json(&self, services: &Services) -> Value {
        let current = self.current.load(Relaxed);
        let answering = self.answering.lock().unwrap_or_else(PoisonError::into_inner);
        let components = answering.components.iter();
        let components =
            components.map(|(name, handler)| (name.clone(), counted(handler.counts())));
        let upstreams = answering.upstreams.iter();
        let upstreams = upstreams.map(|upstream| (upstream.name().to_owned(), of(upstream)));
        let tcp = self.tcp.iter().map(|(name, counts)| (name.clone(), of_listener(counts)));
        let filters = services.stand().into_iter().map(|(name, it)| (name, of_filter(it)));
        json!({
            "status": "ok",
            "app": self.app,
            "file": if current { "current" } else { "older: the new one is wrong" },
            "guest-memory": self.budget.used(),
            "requests": components.collect::<serde_json::Map<_, _>>(),
            "upstreams": upstreams.collect::<serde_json::Map<_, _>>(),
            "filters": filters.collect::<serde_json::Map<_, _>>(),
            "tcp": tcp.collect::<serde_json::Map<_, _>>(),
        })
    }
}

fn answering(app: &App) -> Answering {
    let components = app
        .guests
        .iter()
        .filter_map(|(name, loaded)| Some((name.clone(), Arc::clone(loaded.handler.as_ref()?))));
    let upstreams = app.upstreams.values().map(|led| Arc::clone(&led.upstream));
    Answering { components: components.collect(), upstreams: upstreams.collect() }
}

fn of_filter(stands: Stands) -> Value {
    let Stands { running, restarting, waiting, away, wait, failures, last } = stands;
    json!({
        "running": running,
        "restarting": restarting,
        "waiting": waiting,
        "away": away,
        "wait-ms": u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        "failures": failures,
        "last-failure": last,
    })
}

fn of_listener(counts: &tcp::Counts) -> Value {
    let numbers = [
        ("accepted", counts.accepted.load(Relaxed)),
        ("active", counts.active.load(Relaxed)),
        ("from-clients", counts.from_clients.load(Relaxed)),
        ("from-servers", counts.from_servers.load(Relaxed)),
    ];
    let ended = Outcome::ALL.map(|outcome| (outcome.word(), counts.of(outcome)));
    let all = numbers.into_iter().chain(ended);
    all.map(|(name, count)| (name.to_owned(), Value::from(count))).collect()
}

fn of(upstream: &Upstream) -> Value {
    let upstream::Counts { answered, failed, timed_out, turned_away, retried, mirrored } =
        upstream.counts();
    let servers = upstream.states().into_iter().map(|upstream::State { server, health, active }| {
        json!({ "server": server, "health": health, "active": active })
    });
    json!({
        "answered": answered.load(Relaxed),
        "failed": failed.load(Relaxed),
        "timed-out": timed_out.load(Relaxed),
        "turned-away": turned_away.load(Relaxed),
        "retried": retried.load(Relaxed),
        "mirrored": mirrored.load(Relaxed),
        "servers": servers.collect::<Vec<_>>(),
    })
}

fn counted(counts: &Counts) -> Value {
    json!({
        "answered": counts.answered.load(Relaxed),
        "failed": counts.failed.load(Relaxed),
        "timed-out": counts.timed_out.load(Relaxed),
        "turned-away": counts.turned_away.load(Relaxed),
    })
}
