//! The filters of one serving thread. Nobody on it waits for another thread.

use super::world::World;
use super::{Clusters, Filters, Services};
use crate::path::Shared;
use ::filter::{Plugin, Running, Seat, Worker, lock};
use engine::{Stop, Tasks};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// How long a filter that is not used any more may say that it is not done.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked.
const PAUSE: Duration = Duration::from_millis(100);

/// The filters of a thread.
struct Here {
    worker: Arc<Worker>,
    services: Arc<Services>,
    /// By their place in memory, which a plugin keeps while it is held here.
    seats: FxHashMap<usize, Arc<Seat>>,
}

thread_local! {
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
}

fn key(plugin: &Arc<Plugin>) -> usize {
    Arc::as_ptr(plugin).addr()
}

/// The seats of `filters` on this thread, made where there are none yet.
pub(crate) fn seats(shared: &Shared, filters: &Filters) -> Vec<Arc<Seat>> {
    HERE.with_borrow_mut(|here| {
        let here = here.get_or_insert_with(|| Here::new(&shared.services, &shared.tasks));
        filters.iter().map(|plugin| here.seat(plugin)).collect()
    })
}

impl Here {
    fn new(services: &Arc<Services>, tasks: &Tasks) -> Self {
        let (of_worlds, tasks) = (Arc::clone(services), tasks.clone());
        let world = move || -> Box<dyn ::filter::Outside> {
            Box::new(World::new(Arc::clone(&of_worlds), tasks.clone()))
        };
        let (services, seats) = (Arc::clone(services), FxHashMap::default());
        Self { worker: Worker::new(Box::new(world)), services, seats }
    }

    fn seat(&mut self, plugin: &Arc<Plugin>) -> Arc<Seat> {
        let idle = || {
            let seat = Seat::idle(&self.worker, Arc::clone(plugin));
            self.services.seats.add(&seat);
            seat
        };
        Arc::clone(self.seats.entry(key(plugin)).or_insert_with(idle))
    }

    /// Takes out the seats of plugins that no route has any more, with what makes their machines.
    fn unused(&mut self, used: &[Arc<Plugin>]) -> (Arc<Worker>, Vec<Arc<Seat>>) {
        let is_unused = |it: &usize| !used.iter().any(|plugin| key(plugin) == *it);
        let unused: Vec<usize> = self.seats.keys().copied().filter(is_unused).collect();
        let seats: Vec<_> = unused.iter().filter_map(|key| self.seats.remove(key)).collect();
        seats.iter().for_each(|seat| self.services.seats.remove(seat));
        (Arc::clone(&self.worker), seats)
    }
}

/// Keeps this thread's filters: those of the routes run, whether or not somebody has asked for them
/// yet, because they may have timers; those of routes that are gone come to their end.
pub(crate) async fn keep(shared: Arc<Shared>, stop: Stop) {
    let mut rerouted = shared.rerouted.subscribe();
    loop {
        rerouted.mark_unchanged();
        let used = shared.filters();
        let seats = seats(&shared, &used);
        for seat in &seats {
            if let Err(absent) = seat.running() {
                let filter = &seat.plugin().name;
                tracing::error!(%filter, "a filter does not run on this thread: {absent}");
            }
        }
        drop(seats);
        let unused = HERE.with_borrow_mut(|here| here.as_mut().map(|here| here.unused(&used)));
        if let Some((worker, seats)) = unused {
            for running in seats.iter().filter_map(|seat| seat.current()) {
                shared.tasks.spawn(end(running, Arc::clone(&worker), stop.clone()));
            }
        }
        tokio::select! {
            biased;
            () = stop.wait() => return,
            changed = rerouted.changed() => if changed.is_err() { return },
        }
    }
}

/// Ends a plugin, as soon as it says that it is done. Streams that it has, which may last, go on
/// with it before.
async fn end(running: Running, worker: Arc<Worker>, stop: Stop) {
    while lock(&running.vm).has_streams(running.root) {
        tokio::select! {
            biased;
            // Then it ends as all others do.
            () = stop.wait() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let is_last = stop.is_now() || tokio::time::Instant::now() >= until;
        // What fails now hurts nobody any more.
        if is_last || lock(&running.vm).end_plugin(running.root, false).unwrap_or(true) {
            break;
        }
        tokio::select! {
            () = stop.wait() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    drop(lock(&running.vm).end_plugin(running.root, true));
    // The machine goes with the last plugin, and the last stream, that was in it.
    drop(running);
    worker.sweep();
}

/// Starts and configures a plugin once, where nobody else hears of it: what it counts, shares and
/// begins ends with it.
///
/// # Errors
/// Why it does not start, or that it refuses its configuration.
pub fn try_out(plugin: &Arc<Plugin>, clusters: Clusters) -> base::Result<()> {
    let services = Arc::new(Services::default());
    services.set_clusters(clusters);
    let here = Here::new(&services, &Tasks::new());
    let seat = Seat::start(&here.worker, Arc::clone(plugin))?;
    if let Some(running) = seat.current() {
        // A failure at the end is one that every request would see.
        lock(&running.vm).end_plugin(running.root, true).map_err(|failure| {
            base::Error::invalid(format!("filter `{}` failed: {failure}", plugin.name))
        })?;
    }
    Ok(())
}
