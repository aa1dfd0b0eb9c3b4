//! Name look-ups of raw sockets, under the egress rules.
//!
//! A guest may look up only names that a rule allows; the addresses that came back are remembered
//! for the instance, and a connection is allowed to those, under the rule of the name.

use super::Wasi;
use crate::{Ctx, Request};
use base::egress::Egress;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::component::{Accessor, HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::SocketError;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup as p2;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, Network};
use wasmtime_wasi::p3::bindings::sockets::{ip_name_lookup as p3, types as p3_types};
use wasmtime_wasi::sockets::{
    WasiSockets, WasiSocketsCtx, WasiSocketsCtxView, WasiSocketsView as _,
};
use wasmtime_wasi_io::poll::DynPollable;
use wasmtime_wasi_io::streams::Error as IoError;

/// How many addresses one instance may remember. What it looks up beyond that it cannot reach.
const MOST: usize = 1024;

/// The names that an instance looked up, by the addresses they had.
#[derive(Default)]
pub(super) struct Names {
    of: Mutex<HashMap<IpAddr, Vec<Arc<str>>>>,
    /// The name that each open look-up of 0.2 is about, by its handle.
    asked: Mutex<HashMap<u32, Arc<str>>>,
}

impl Names {
    /// Whether a socket may reach `address`: by a rule on the address, or by one on a name that
    /// was looked up.
    pub(super) fn allow(&self, egress: &Egress, address: SocketAddr) -> bool {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        if egress.allows_address(None, None, ip, port) {
            return true;
        }
        let names = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let names = names.get(&ip).map(Vec::as_slice).unwrap_or_default();
        names.iter().any(|name| egress.allows_address(None, Some(name), ip, port))
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<u32, Arc<str>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, name: &Arc<str>, address: IpAddr) {
        let mut names = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < MOST {
            let known = names.entry(address.to_canonical()).or_default();
            if !known.contains(name) && known.len() < MOST {
                known.push(Arc::clone(name));
            }
        }
    }
}

pub(super) struct HasLookup;

impl HasData for HasLookup {
    type Data<'a> = Lookup<'a>;
}

/// What a look-up may touch.
pub(super) struct Lookup<'a> {
    sockets: &'a mut WasiSocketsCtx,
    table: &'a mut ResourceTable,
    names: Arc<Names>,
    egress: Egress,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(wasi: &'a mut Wasi, table: &'a mut ResourceTable, request: &Request) -> Self {
        let (names, egress) = (Arc::clone(wasi.names()), wasi.egress().clone());
        Self { sockets: wasi.ctx(request).sockets(), table, names, egress }
    }

    fn sockets(&mut self) -> WasiSocketsCtxView<'_> {
        WasiSocketsCtxView { ctx: self.sockets, table: self.table }
    }
}

// Look-ups name the errors and the network handle of `wasi:sockets/network`, so its own host has
// to be here too. It is the one of sockets.
impl network::Host for Lookup<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.sockets(), error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<IoError>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.sockets(), error)
    }
}

impl network::HostNetwork for Lookup<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets(), network)
    }
}

impl p2::Host for Lookup<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<p2::ResolveAddressStream>, SocketError> {
        if !self.egress.allows_name(None, &name, None) {
            return Err(ErrorCode::AccessDenied.into());
        }
        let key: Arc<str> = name.as_str().into();
        let stream = p2::Host::resolve_addresses(&mut self.sockets(), network, name)?;
        self.names.asked().insert(stream.rep(), key);
        Ok(stream)
    }
}

impl p2::HostResolveAddressStream for Lookup<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<p2::ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        let name = self.names.asked().get(&stream.rep()).map(Arc::clone);
        let address =
            p2::HostResolveAddressStream::resolve_next_address(&mut self.sockets(), stream)?;
        if let (Some(address), Some(name)) = (address, name) {
            self.names.remember(&name, std_address(address));
        }
        Ok(address)
    }

    fn subscribe(
        &mut self,
        stream: Resource<p2::ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        p2::HostResolveAddressStream::subscribe(&mut self.sockets(), stream)
    }

    fn drop(&mut self, stream: Resource<p2::ResolveAddressStream>) -> wasmtime::Result<()> {
        self.names.asked().remove(&stream.rep());
        p2::HostResolveAddressStream::drop(&mut self.sockets(), stream)
    }
}

fn std_address(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}

impl p3::Host for Lookup<'_> {}

// For this `T` alone, because that of sockets is asked, which is found through it.
impl p3::HostWithStore<Ctx> for HasLookup {
    async fn resolve_addresses(
        store: &Accessor<Ctx, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<p3_types::IpAddress>, p3::ErrorCode>> {
        let (names, egress) = store.with(|mut view| {
            let view = view.get();
            (Arc::clone(&view.names), view.egress.clone())
        });
        if !egress.allows_name(None, &name, None) {
            return Ok(Err(p3::ErrorCode::AccessDenied));
        }
        let key: Arc<str> = name.as_str().into();
        let sockets = store.with_getter::<WasiSockets>(Ctx::sockets);
        let found = WasiSockets::resolve_addresses(&sockets, name).await?;
        if let Ok(found) = &found {
            found.iter().for_each(|address| names.remember(&key, (*address).into()));
        }
        Ok(found)
    }
}
