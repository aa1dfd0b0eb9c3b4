//! The threads that serve, and how they stop.

use crate::listener::Bound;
use crate::path::Shared;
use crate::quiet;
use crate::routes::Routes;
use crate::settings::Settings;
use arc_swap::ArcSwap;
use base::{Error, Result};
use engine::{Stop, Tasks};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How often instances that nobody used are let go.
const SWEEP: Duration = Duration::from_secs(5);

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    addresses: Vec<(SocketAddr, bool)>,
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
    /// Serves `routes` on the bound addresses, on threads of its own.
    ///
    /// # Errors
    /// `Unavailable` when the machine gives no threads.
    pub fn start(bound: Vec<Bound>, settings: Settings, routes: Routes) -> Result<Self> {
        let addresses = bound.iter().map(|bound| (bound.address(), bound.is_tls())).collect();
        let room = Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
        let (stop, end) = (Stop::new(), Stop::new());
        let threads = settings.threads.max(1);
        let shared = Arc::new(Shared {
            routes: ArcSwap::from_pointee(routes),
            settings,
            tasks: Tasks::new(),
            stop: stop.child(),
        });
        let mut server = Self { shared, threads: Vec::new(), addresses, stop, end };
        for number in 0..threads {
            let bound: Vec<Bound> = bound.iter().map(Bound::share).collect::<Result<_>>()?;
            server.threads.push(server.thread(number, bound, &room)?);
        }
        Ok(server)
    }

    fn thread(
        &self,
        number: usize,
        bound: Vec<Bound>,
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
                shared.tasks.spawn(quiet::watch(stop.clone()));
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

    /// Routes new requests by `routes` from now on. Requests that run keep their component.
    pub fn reroute(&self, routes: Routes) {
        self.shared.routes.store(Arc::new(routes));
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
        for thread in self.threads {
            // A thread that panicked has nothing left to wait for.
            drop(thread.join());
        }
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
