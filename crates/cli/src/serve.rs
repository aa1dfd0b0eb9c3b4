//! `wharf serve`: triggers until a signal comes.

use crate::app::{App, Host, Purpose};
use crate::args::{Deployment, Granted, ServeArgs};
use crate::bind::bind;
use crate::capabilities::{BINDINGS, ToOpen};
use crate::console;
use crate::exit::Failure;
use crate::program::{self, Program};
use crate::reload::Reload;
use crate::triggers::Triggers;
use base::Error;
use base::egress::Egress;
use deployment::{Input, Plan};
use engine::{Stop, Tasks};
use gateway::{Server, Settings};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Filter;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long running requests may go on after the signal.
const GRACE: Duration = Duration::from_secs(30);

/// Serves until SIGINT or SIGTERM, then drains and ends.
pub(crate) fn serve(args: ServeArgs) -> Result<ExitCode, Failure> {
    let plan = read(&args)?;
    let (filter, _telemetry) = program::start_log(&args.common, &plan.app.log)?;
    warn(&plan);
    let program = Program::new(&args.common)?;
    let runtime = program::runtime()?;
    let ended = runtime.block_on(run(args, plan, filter, program));
    // What is read or looked up on other threads has nothing to finish, and may take long.
    runtime.shutdown_background();
    ended
}

async fn run(
    args: ServeArgs,
    plan: Plan<ToOpen>,
    filter: Filter,
    program: Arc<Program>,
) -> Result<ExitCode, Failure> {
    // Before anything is opened, so that a signal during the start is not lost.
    let mut signals = Signals::new()?;
    let (tasks, stop) = (Tasks::new(), Stop::new());
    // The addresses come first: nothing is compiled for a port that another program has.
    let mut bound = bind(&plan.app, &tasks, &stop)?;
    let host = Host { program: &program, filter: &filter, purpose: Purpose::Serve, earlier: None };
    let (app, ready) = tokio::select! {
        opened = App::open(plan, host) => opened?,
        () = signals.stop() => {
            console::say("Stopped before anything was served");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let grace = app.plan.http.as_ref().and_then(|http| http.shutdown_grace).unwrap_or(GRACE);
    let services = (!bound.is_empty()).then(|| {
        app.set_services(program.services());
        Arc::clone(program.services())
    });
    let mut triggers = Triggers::default();
    let begun = ready.begun();
    // Nothing ran before, so nothing is left over.
    drop(triggers.exchange(ready));
    tokio::select! {
        () = begun => {}
        () = signals.stop() => {
            console::say("Stopped before anything was served");
            triggers.shut_down(grace).await;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let server = match services {
        None => None,
        Some(services) => {
            let (tcp, settings) = (bound.listeners(&app.leads), settings(&app.plan));
            Some(Server::start(bound.http, tcp, settings, app.routes(), services)?)
        }
    };
    announce(server.as_ref());
    let reload = Reload::new(args, program, filter, app, triggers, server);
    if let Some(admin) = bound.admin {
        gateway::admin::serve(admin, reload.pages(), &tasks, stop.child())?;
    }
    let mut reload = reload;
    // What was compiled and read to get here is done with.
    engine::trim();
    until_stopped(&mut signals, &mut reload).await;
    console::say("Stopping: running requests are finished; a second signal ends at once");
    stop.now();
    tokio::select! {
        abandoned = reload.shut_down(grace) => {
            if abandoned > 0 {
                console::say(&format!("{abandoned} requests were not finished in time"));
            }
        }
        () = signals.stop() => console::say("Ended before running requests were finished"),
    }
    // The admin address and the watching of certificates have nothing to finish.
    tasks.drain(Duration::from_secs(1)).await;
    Ok(ExitCode::SUCCESS)
}

/// Reloads as often as it is asked to, until it is asked to stop, also in the middle of that.
async fn until_stopped(signals: &mut Signals, reload: &mut Reload) {
    while let Asked::Reload = signals.next().await {
        tokio::select! {
            () = reload.reload() => engine::trim(),
            () = signals.stop() => {
                console::say("Not reloaded: asked to stop meanwhile");
                return;
            }
        }
    }
}

/// Reads what is to be served.
pub(crate) fn read(args: &ServeArgs) -> Result<Plan<ToOpen>, Failure> {
    plan(&args.deployment, &args.addr, &args.granted)
}

/// Reads a deployment and what the command line says of it.
pub(crate) fn plan(
    deployment: &Deployment,
    addresses: &[SocketAddr],
    grants: &Granted,
) -> Result<Plan<ToOpen>, Failure> {
    let callable = filter::callable();
    let mut input = Input::new(&deployment.path, &program::variable);
    input.callable = Some(&callable);
    input.bindings = deployment.bindings.as_deref();
    input.listen = addresses.to_vec();
    (input.environment, input.files) = granted(grants);
    Ok(deployment::read(&input, BINDINGS)?)
}

/// Environment variables and directories.
type Grants = (Vec<(String, String)>, Vec<deployment::Files>);

/// What the command line grants to guests.
fn granted(granted: &Granted) -> Grants {
    let environment = granted.env.iter().filter_map(|variable| match variable.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((variable.clone(), program::variable(variable)?)),
    });
    let files = granted.dir.iter().map(|dir| {
        let (host, guest) = dir.split_once("::").unwrap_or((dir, dir));
        deployment::Files { host: PathBuf::from(host), guest: guest.to_owned(), write: true }
    });
    (environment.collect(), files.collect())
}

/// What works, but probably not as meant.
pub(crate) fn warn(plan: &Plan<ToOpen>) {
    if !plan.warnings.is_empty() {
        console::say(plan.warnings.render(console::has_color()).trim_end());
    }
}

fn settings(app: &deployment::App) -> Settings {
    let (mut settings, default) = (Settings::default(), deployment::Http::default());
    let http = app.http.as_ref().unwrap_or(&default);
    settings.threads = http.threads.unwrap_or(settings.threads);
    settings.header_timeout = http.header_timeout.unwrap_or(settings.header_timeout);
    settings.write_timeout = http.write_timeout.unwrap_or(settings.write_timeout);
    settings.max_head = http.max_header_size.unwrap_or(settings.max_head);
    settings.max_headers = http.max_headers.unwrap_or(settings.max_headers);
    settings.max_connections = http.max_connections.unwrap_or(settings.max_connections);
    settings.max_streams = http.http2.max_streams.unwrap_or(settings.max_streams);
    settings.access_log = http.access_log.unwrap_or(settings.access_log);
    settings.trusted_proxies = Egress::new(http.forwarded.iter().cloned());
    settings
}

/// One line for each address; the first is what scripts wait for.
fn announce(server: Option<&Server>) {
    for (address, tls) in server.map(Server::addresses).unwrap_or_default() {
        let scheme = if *tls { "https" } else { "http" };
        let address: &SocketAddr = address;
        console::say(&format!("Serving {} on {scheme}://{address}/", scheme.to_uppercase()));
    }
    for (name, address, tls) in server.iter().flat_map(|server| server.tcp()) {
        let scheme = if tls { "tls" } else { "tcp" };
        console::say(&format!("Serving {name} on {scheme}://{address}/"));
    }
}

enum Asked {
    Reload,
    Stop,
}

/// What the operator asks for by signals.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Error::unavailable("listening for signals").with_source(error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    /// Waits until it is asked to stop. What else it is asked is kept for [`Self::next`].
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
