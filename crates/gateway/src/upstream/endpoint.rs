//! One server of an upstream: the way to it, and how it has been.

use super::outlier::Record;
use super::settings::{Place, Settings};
use super::verdict::Verdict;
use base::{Error, Result};
use http::client::{self, Client, Destination, Network};
use rustls::pki_types::ServerName;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// One address of one place.
pub(crate) struct Endpoint {
    pub(crate) place: Place,
    pub(crate) address: SocketAddr,
    /// Requests go through this.
    pub(crate) client: Client,
    /// Questions after its health go through this, over connections of their own.
    pub(crate) checker: Client,
    pub(crate) record: Record,
    pub(crate) verdict: Verdict,
    active: AtomicUsize,
}

impl Endpoint {
    /// The server at `address`, which `place` names.
    ///
    /// # Errors
    /// `Invalid` where TLS is to be spoken to a place whose name no certificate can bear.
    pub(crate) fn new(
        settings: &Settings,
        network: &Arc<Network>,
        place: &Place,
        address: IpAddr,
    ) -> Result<Self> {
        let address = SocketAddr::new(address, place.port);
        let tls = match &settings.tls {
            Some(tls) if place.https => Some((Arc::clone(tls), server_name(settings, place)?)),
            _ => None,
        };
        let destination = Destination { address, tls, protocol: settings.protocol };
        let limits = &settings.limits;
        let requests = client::Settings {
            // The upstream counts its requests itself, over all of its servers.
            requests: usize::MAX,
            connections_per_host: limits.connections,
            idle_per_host: limits.idle_connections,
            connect_timeout: settings.connect_timeout,
            first_byte_timeout: settings.idle_timeout,
            between_bytes_timeout: settings.idle_timeout,
            write_timeout: settings.idle_timeout,
            request_headers: usize::MAX,
            ..client::Settings::default()
        };
        let checks = client::Settings { connections_per_host: 1, ..requests.clone() };
        Ok(Self {
            place: place.clone(),
            address,
            client: Client::to(Arc::clone(network), destination.clone(), requests),
            checker: Client::to(Arc::clone(network), destination, checks),
            record: Record::default(),
            verdict: Verdict::default(),
            active: AtomicUsize::new(0),
        })
    }

    /// Requests under way.
    pub(crate) fn active(&self) -> usize {
        self.active.load(Relaxed)
    }

    /// Counts a request until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Relaxed);
        Active(Arc::clone(self))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.address() {
            Some(_) => write!(f, "{}", self.place),
            None => write!(f, "{} ({})", self.place, self.address.ip()),
        }
    }
}

/// The name that the certificate of a place has to bear.
///
/// # Errors
/// `Invalid` where it is no name.
pub(crate) fn server_name(settings: &Settings, place: &Place) -> Result<ServerName<'static>> {
    let name = settings.server_name.as_ref().unwrap_or(&place.host);
    ServerName::try_from(name.clone()).map_err(|error| {
        Error::invalid(format!("no certificate can bear the name `{name}`")).with_source(error)
    })
}

/// One request at an endpoint.
pub(crate) struct Active(Arc<Endpoint>);

impl Active {
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}
