//! The threads that serve, and how they stop.

use crate::filter::{self, Services};
use crate::listener::Bound;
use crate::path::Shared;
use crate::quiet;
use crate::routes::Routes;
use crate::settings::Settings;
use crate::tcp::{self, Counts, Inlet, Leads};
use arc_swap::ArcSwap;
use base::{Error, Result};
use engine::{Stop, Tasks};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// How often instances that nobody used are let go.
const SWEEP: Duration = Duration::from_secs(5);

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    addresses: Vec<(SocketAddr, bool)>,
    /// Those of listeners for bare TCP, by the listener's number.
    tcp: Vec<(usize, SocketAddr, bool)>,
    stop: Stop,
    end: Stop,
}

/// How a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Connections and calls that were still going on when the grace was over.
    pub abandoned: usize,
}

impl Server {
    /// Serves `routes` on the bound addresses, and the listeners for bare TCP, on threads of its
    /// own.
    ///
    /// # Errors
    /// `Unavailable` when the machine gives no threads.
    pub fn start(
        bound: Vec<Bound>,
        listeners: Vec<tcp::Listener>,
        settings: Settings,
        routes: Routes,
        services: Arc<Services>,
    ) -> Result<Self> {
        let addresses = bound.iter().map(|bound| (bound.address(), bound.is_tls())).collect();
        let (mut inlets, mut of_tcp) = (Vec::new(), Vec::new());
        for tcp::Listener { bound, settings, leads } in listeners {
            of_tcp.extend(bound.into_iter().map(|bound| (inlets.len(), bound)));
            inlets.push(Inlet::new(settings, leads));
        }
        let tcp = of_tcp.iter().map(|(inlet, it)| (*inlet, it.address(), it.is_tls())).collect();
        let room = Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
        let (stop, end) = (Stop::new(), Stop::new());
        let threads = settings.threads.max(1);
        let shared = Arc::new(Shared {
            routes: ArcSwap::from_pointee(routes),
            inlets,
            settings,
            tasks: Tasks::new(),
            services,
            rerouted: watch::Sender::new(()),
            stop: stop.child(),
        });
        let mut server = Self { shared, threads: Vec::new(), addresses, tcp, stop, end };
        for number in 0..threads {
            let bound: Vec<Bound> = bound.iter().map(Bound::share).collect::<Result<_>>()?;
            let of_tcp = of_tcp.iter().map(|(inlet, bound)| Ok((*inlet, bound.share()?)));
            let of_tcp = of_tcp.collect::<Result<_>>()?;
            server.threads.push(server.thread(number, bound, of_tcp, &room)?);
        }
        Ok(server)
    }

    fn thread(
        &self,
        number: usize,
        bound: Vec<Bound>,
        of_tcp: Vec<(usize, Bound)>,
        room: &Arc<Semaphore>,
    ) -> Result<JoinHandle<()>> {
        let refused = |error| Error::unavailable("starting a server thread").with_source(error);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let (shared, room) = (Arc::clone(&self.shared), Arc::clone(room));
        let (stop, end) = (self.stop.clone(), self.end.clone());
        let thread = thread::Builder::new().name(format!("wharf-serve-{number}"));
        let run = move || {
            runtime.block_on(async {
                for bound in bound {
                    let accept = bound.accept(Arc::clone(&shared), Arc::clone(&room), stop.child());
                    shared.tasks.spawn(accept);
                }
                for (inlet, bound) in of_tcp {
                    let Some(inlet) = shared.inlets.get(inlet).map(Arc::clone) else { continue };
                    let accept = tcp::accept(inlet, bound, Arc::clone(&shared), stop.child());
                    shared.tasks.spawn(accept);
                }
                shared.tasks.spawn(quiet::watch(stop.clone()));
                shared.tasks.spawn(filter::keep(Arc::clone(&shared), stop.clone()));
                if number == 0 {
                    shared.tasks.spawn(sweep(Arc::clone(&shared), stop.clone()));
                }
                end.wait().await;
            });
            // What is still going on was given its grace; its guests end here.
            runtime.shutdown_background();
        };
        thread.spawn(run).map_err(refused)
    }

    /// The addresses, and whether each is encrypted.
    pub fn addresses(&self) -> &[(SocketAddr, bool)] {
        &self.addresses
    }

    /// Each address of a listener for bare TCP with the listener's name, and whether it is
    /// encrypted.
    pub fn tcp(&self) -> impl Iterator<Item = (&str, SocketAddr, bool)> {
        let inlet = |inlet: usize| self.shared.inlets.get(inlet).map_or("", |inlet| inlet.name());
        self.tcp.iter().map(move |(number, address, tls)| (inlet(*number), *address, *tls))
    }

    /// What each listener for bare TCP has seen.
    pub fn counts(&self) -> Vec<(String, Arc<Counts>)> {
        let counts = |inlet: &Arc<Inlet>| (inlet.name().to_owned(), Arc::clone(inlet.counts()));
        self.shared.inlets.iter().map(counts).collect()
    }

    /// Routes new requests by `routes` from now on, and new connections of the listeners that are
    /// named by `leads`. What runs keeps its component, its upstream and its filters.
    pub fn reroute(&self, routes: Routes, leads: impl IntoIterator<Item = (String, Leads)>) {
        for (name, leads) in leads {
            let mut inlets = self.shared.inlets.iter();
            if let Some(inlet) = inlets.find(|inlet| inlet.name() == name) {
                inlet.lead(leads);
            }
        }
        self.shared.routes.store(Arc::new(routes));
        self.shared.rerouted.send_replace(());
    }

    /// The routes of now.
    pub fn routes(&self) -> Arc<Routes> {
        self.shared.routes.load_full()
    }

    /// Stops accepting, waits for what runs, at most `grace`, and ends the threads.
    pub async fn shut_down(self, grace: Duration) -> Report {
        self.stop.now();
        let abandoned = self.shared.tasks.drain(grace).await;
        self.end.now();
        // Not on this thread: filters that hear of their end may ask what runs on it.
        let threads = self.threads;
        let join = move || {
            for thread in threads {
                // A thread that panicked has nothing left to wait for.
                drop(thread.join());
            }
        };
        drop(tokio::task::spawn_blocking(join).await);
        Report { abandoned }
    }
}

async fn sweep(shared: Arc<Shared>, stop: Stop) {
    loop {
        tokio::select! {
            biased;
            () = stop.wait() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
        for handler in shared.routes.load().handlers() {
            handler.sweep();
        }
    }
}
