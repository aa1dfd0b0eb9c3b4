//! What runs, and its exchange for what a new file says: without a failed request, or not at all.

use crate::app::{App, Host, Purpose};
use crate::args::ServeArgs;
use crate::console;
use crate::exit::Failure;
use crate::health::Health;
use crate::program::Program;
use crate::serve::{read, warn};
use crate::triggers::Triggers;
use engine::Tasks;
use gateway::{Server, admin};
use std::sync::Arc;
use std::time::Duration;
use telemetry::Filter;

/// Everything that runs.
pub(crate) struct Reload {
    args: ServeArgs,
    program: Arc<Program>,
    filter: Filter,
    app: App,
    triggers: Triggers,
    server: Option<Server>,
    /// Triggers of earlier files that finish their last calls.
    old: Tasks,
    health: Arc<Health>,
}

impl Reload {
    pub(crate) fn new(
        args: ServeArgs,
        program: Arc<Program>,
        filter: Filter,
        app: App,
        triggers: Triggers,
        server: Option<Server>,
    ) -> Self {
        let counts = server.as_ref().map(Server::counts).unwrap_or_default();
        let health = Health::new(&app, Arc::clone(program.engines().budget()), counts);
        app.start_upstreams(program.tasks());
        Self { args, program, filter, app, triggers, server, old: Tasks::new(), health }
    }

    /// What operators may ask for.
    pub(crate) fn pages(&self) -> admin::Pages {
        self.health.pages(self.program.services())
    }

    /// Reads the file again and exchanges what changed. A wrong file changes nothing, and neither
    /// does one whose opening is given up.
    pub(crate) async fn reload(&mut self) {
        match self.try_reload().await {
            Ok(()) => {
                self.health.set(&self.app);
                console::say("Reloaded");
            }
            Err(failure) => {
                self.health.set_older();
                console::say(failure.text());
                console::say("Not reloaded: what ran before goes on");
            }
        }
    }

    async fn try_reload(&mut self) -> Result<(), Failure> {
        let plan = read(&self.args)?;
        warn(&plan);
        let host = Host {
            program: &self.program,
            filter: &self.filter,
            purpose: Purpose::Serve,
            earlier: Some(&self.app),
        };
        let (app, ready) = App::open(plan, host).await?;
        if !same_server(&self.app.plan, &app.plan) {
            console::say("Addresses, TLS and limits of listeners change only with a restart");
        }
        if let Some(server) = &self.server {
            app.set_services(self.program.services());
            server.reroute(app.routes(), app.leads.clone());
        }
        let old = self.triggers.exchange(ready);
        app.start_upstreams(self.program.tasks());
        // What it has of upstreams ends with the last request that is still under way there.
        self.app = app;
        // Beside everything else, so that a signal that comes now is heard.
        self.old.spawn(async move {
            let left = old.shut_down(Duration::from_secs(30)).await;
            if left > 0 {
                tracing::warn!(left, "calls of the old file's triggers were not finished in time");
            }
        });
        Ok(())
    }

    /// Finishes what runs, at most `grace`; returns how much was left.
    pub(crate) async fn shut_down(self, grace: Duration) -> usize {
        self.app.stop_upstreams();
        let triggers = self.triggers.shut_down(grace);
        let server = async {
            match self.server {
                Some(server) => server.shut_down(grace).await.abandoned,
                None => 0,
            }
        };
        let old = self.old.drain(grace);
        let (triggers, server, old) = futures::join!(triggers, server, old);
        // What calls began without waiting for it; nobody is left to ask for more.
        self.program.tasks().drain(Duration::from_secs(1)).await;
        triggers + server + old
    }
}

/// Whether everything about the server but where it leads is the same.
fn same_server(old: &deployment::App, new: &deployment::App) -> bool {
    let without_routes = |app: &deployment::App| {
        app.http.clone().map(|http| deployment::Http {
            routes: Vec::new(),
            filters: Vec::new(),
            ..http
        })
    };
    let without_filters = |app: &deployment::App| {
        let bare = |tcp: &deployment::Tcp| deployment::Tcp {
            filters: Vec::new(),
            upstream: String::new(),
            ..tcp.clone()
        };
        app.tcp.iter().map(bare).collect::<Vec<_>>()
    };
    without_routes(old) == without_routes(new) && without_filters(old) == without_filters(new)
}
