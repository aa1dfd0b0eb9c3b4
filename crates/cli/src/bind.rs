//! The addresses that a deployment listens on, taken before anything is compiled for them.

use crate::app;
use crate::exit::Failure;
use base::{Error, Result};
use connect::tls::{ALPN_HTTP, ServerIdentity};
use engine::{Stop, Tasks};
use gateway::tcp::{Leads, Settings};
use gateway::{Bound, Listener};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often certificate files are looked at.
const CERTIFICATES: Duration = Duration::from_secs(5);

/// The addresses that were taken.
pub(crate) struct Taken {
    pub(crate) http: Vec<Bound>,
    pub(crate) admin: Option<Bound>,
    tcp: Vec<(Settings, Vec<Bound>)>,
}

impl Taken {
    /// Whether nobody is served.
    pub(crate) fn is_empty(&self) -> bool {
        self.http.is_empty() && self.tcp.is_empty()
    }

    /// Takes out the listeners for bare TCP, each with where its connections go.
    pub(crate) fn listeners(
        &mut self,
        leads: &BTreeMap<String, Leads>,
    ) -> Vec<gateway::tcp::Listener> {
        let listener = |(settings, bound): (Settings, Vec<Bound>)| {
            let leads = leads.get(&settings.name)?.clone();
            Some(gateway::tcp::Listener { bound, settings, leads })
        };
        self.tcp.drain(..).filter_map(listener).collect()
    }
}

/// Takes every address of the app.
///
/// # Errors
/// All that is wrong with addresses, or the first certificate that is.
pub(crate) fn bind(plan: &deployment::App, tasks: &Tasks, stop: &Stop) -> Result<Taken, Failure> {
    let mut errors = Vec::new();
    let mut take = |bound: Result<Bound>| bound.map_err(|error| errors.push(error)).ok();
    let (mut http, mut admin, mut tcp) = (Vec::new(), None, Vec::new());
    if let Some(of) = &plan.http {
        let listeners = listeners(&of.listen, of.tls.as_ref(), ALPN_HTTP, tasks, stop)?;
        http.extend(listeners.iter().filter_map(|listener| take(Bound::new(listener))));
        admin = of
            .admin
            .as_ref()
            .and_then(|admin| take(Bound::new(&Listener { address: admin.address, tls: None })));
    }
    for of in &plan.tcp {
        let listeners = listeners(&of.listen, of.tls.as_ref(), &[], tasks, stop)?;
        let bound = listeners.iter().filter_map(|listener| {
            take(Bound::new(listener).map_err(|error| of_tcp(error, &of.name)))
        });
        tcp.push((app::tcp::settings(of), bound.collect()));
    }
    if errors.is_empty() { Ok(Taken { http, admin, tcp }) } else { Err(Failure::all(errors)) }
}

fn of_tcp(error: Error, name: &str) -> Error {
    error.context(format!("listener `{name}`")).with_hint(format!(
        "stop the program that has the address, or choose another as `listen` of [tcp.{name}]"
    ))
}

/// The addresses with their certificate, which is followed when its files change.
fn listeners(
    listen: &[deployment::Listen],
    tls: Option<&deployment::Tls>,
    alpn: &[&[u8]],
    tasks: &Tasks,
    stop: &Stop,
) -> Result<Vec<Listener>, Failure> {
    let tls = match tls {
        None => None,
        Some(tls) => {
            let identity = ServerIdentity::load(&tls.cert, &tls.key)?;
            let config = identity.server(alpn)?;
            let stop = stop.child();
            tasks.spawn(async move {
                tokio::select! {
                    () = identity.watch(CERTIFICATES) => {}
                    () = stop.wait() => {}
                }
            });
            Some(config)
        }
    };
    let listener =
        |listen: &deployment::Listen| Listener { address: listen.address, tls: tls.clone() };
    Ok(listen.iter().map(listener).collect())
}
