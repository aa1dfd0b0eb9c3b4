//! The connections of one client, by where they lead.
//!
//! A connection is driven by the runtime that made it and is given to requests of that runtime
//! first: nothing then wakes across threads. Only a client at its limit for a host takes an idle
//! connection of another runtime, which works as well, only slower. When a runtime ends, its
//! connections end with it, and are found closed by whoever asks next.

use super::Error;
use super::connection::{Http1, Http2, Link, Share};
use super::dial::{Dialed, Dialer};
use super::target::{Key, Protocol};
use super::upload::Flow;
use http_types::{Request, Version};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// The connections of one client.
pub(super) struct Pool {
    dialer: Dialer,
    origins: Mutex<HashMap<Key, Arc<Origin>>>,
    sweeping: AtomicBool,
}

/// One place that connections lead to.
struct Origin {
    /// Requests over HTTP/1.1 and connections being made, at most as many as connections.
    slots: Arc<Semaphore>,
    /// Held by the one who finds out whether HTTP/2 is spoken, so that a burst of requests does
    /// not open a connection each and then use one.
    dialing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    /// Connections that wait, the one used last at the end.
    idle: Vec<Http1>,
    shared: Vec<Http2>,
    /// Whether it is known that only HTTP/1.1 is spoken.
    only_http1: bool,
}

impl Origin {
    fn new(key: &Key, connections: usize) -> Self {
        let only_http1 = match key.protocol {
            Protocol::Auto => !key.https,
            Protocol::Http1 => true,
            Protocol::Http2 => false,
        };
        let state = State { idle: Vec::new(), shared: Vec::new(), only_http1 };
        Self {
            slots: Arc::new(Semaphore::new(connections)),
            dialing: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A share in an HTTP/2 connection of this runtime.
    fn share(&self) -> Option<Share> {
        let runtime = Handle::current().id();
        let mut state = self.state();
        state.shared.retain(|connection| !connection.is_closed());
        let mut mine = state.shared.iter().filter(|connection| connection.runtime.id() == runtime);
        mine.find(|connection| connection.has_room()).map(Http2::share)
    }

    /// An idle connection of this runtime, or of any if the host may have no more.
    fn idle(&self, timeout: Duration) -> Option<Http1> {
        let runtime = Handle::current().id();
        let mut state = self.state();
        state.idle.retain(|idle| idle.is_ready() && idle.since.elapsed() < timeout);
        let own = state.idle.iter().rposition(|idle| idle.runtime.id() == runtime);
        // Every slot that is taken may have a connection; whoever asks holds one of them.
        let crowded = state.idle.len() > self.slots.available_permits();
        let at = own.or_else(|| if crowded { state.idle.len().checked_sub(1) } else { None })?;
        Some(state.idle.remove(at))
    }
}

impl Pool {
    pub(super) fn new(dialer: Dialer) -> Arc<Self> {
        let (origins, sweeping) = (Mutex::new(HashMap::new()), AtomicBool::new(false));
        let pool = Arc::new(Self { dialer, origins, sweeping });
        pool.dialer.network.join(&pool);
        pool
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    fn origins(&self) -> MutexGuard<'_, HashMap<Key, Arc<Origin>>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn origin(self: &Arc<Self>, key: &Key) -> Arc<Origin> {
        if let Some(origin) = self.origins().get(key) {
            return Arc::clone(origin);
        }
        self.sweep_later(&Handle::current());
        let new = || Arc::new(Origin::new(key, self.dialer.settings.connections_per_host));
        Arc::clone(self.origins().entry(key.clone()).or_insert_with(new))
    }

    /// Forgets a place that could not be reached, so that a guest which asks for ever new names
    /// fills nothing.
    fn forget(&self, key: &Key, origin: Arc<Origin>) {
        let mut origins = self.origins();
        let unused = origin.state().is_empty() && Arc::strong_count(&origin) == 2;
        if unused && origins.get(key).is_some_and(|known| Arc::ptr_eq(known, &origin)) {
            origins.remove(key);
        }
    }

    /// How many places are known.
    pub(super) fn places(&self) -> usize {
        self.origins().len()
    }

    /// A connection for one request of `flow`: one that waits, a share, or a new one, by
    /// `deadline`.
    pub(super) async fn checkout(
        self: &Arc<Self>,
        key: &Key,
        flow: &Arc<Flow>,
        deadline: Instant,
    ) -> Result<Lease, Error> {
        let origin = self.origin(key);
        let outcome = self.find_or_dial(&origin, key, deadline).await;
        match outcome {
            Ok((link, reused)) => {
                let (flow, pool) = (Arc::clone(flow), Arc::clone(self));
                Ok(Lease { link: Some(link), flow, pool, origin, reused })
            }
            Err(error) => {
                self.forget(key, origin);
                Err(error)
            }
        }
    }

    /// A way to `origin`, and whether it was there already.
    async fn find_or_dial(
        self: &Arc<Self>,
        origin: &Origin,
        key: &Key,
        deadline: Instant,
    ) -> Result<(Link, bool), Error> {
        if let Some(share) = origin.share() {
            return Ok((Link::Http2(share), true));
        }
        let slot = timeout_at(deadline, Arc::clone(&origin.slots).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else { return Err(Error::ConnectionLimitReached) };
        let idle_timeout = self.dialer.settings.idle_timeout;
        if let Some(connection) = origin.idle(idle_timeout) {
            return Ok((Link::Http1(connection, slot), true));
        }
        let mut turn = None;
        if !origin.state().only_http1 {
            let waiting = timeout_at(deadline, origin.dialing.lock()).await;
            turn = Some(waiting.map_err(|_elapsed| Error::ConnectionTimeout)?);
            if let Some(share) = origin.share() {
                return Ok((Link::Http2(share), true));
            }
        }
        if origin.state().only_http1 {
            turn = None;
        }
        let dialed = self.dialer.dial(key, deadline).await?;
        let link = match dialed {
            Dialed::Http1(connection) => {
                origin.state().only_http1 = true;
                Link::Http1(connection, slot)
            }
            Dialed::Http2(connection) => {
                let (share, runtime) = (connection.share(), connection.runtime.clone());
                origin.state().shared.push(connection);
                self.sweep_later(&runtime);
                Link::Http2(share)
            }
        };
        drop(turn);
        Ok((link, false))
    }

    /// Keeps a connection for the next request, unless its socket is needed elsewhere.
    fn keep(self: &Arc<Self>, origin: &Origin, mut connection: Http1) {
        let settings = &self.dialer.settings;
        if self.dialer.network.is_scarce() || settings.idle_timeout.is_zero() {
            return;
        }
        connection.since = Instant::now();
        let runtime = connection.runtime.clone();
        {
            let mut state = origin.state();
            if state.idle.len() >= settings.idle_per_host {
                return;
            }
            state.idle.push(connection);
        }
        self.sweep_later(&runtime);
    }

    /// Since when the connection that waits longest has waited.
    pub(super) fn oldest_idle(&self) -> Option<Instant> {
        let origins: Vec<_> = self.origins().values().map(Arc::clone).collect();
        origins.iter().filter_map(|origin| origin.state().oldest()).min()
    }

    /// Closes the connection that waits longest.
    pub(super) fn close_idle(&self) {
        let origins: Vec<_> = self.origins().values().map(Arc::clone).collect();
        let oldest = origins.iter().filter_map(|o| Some((o.state().oldest()?, o)));
        if let Some((since, origin)) = oldest.min_by_key(|(since, _)| *since) {
            origin.state().retain(|idle| idle != since);
        }
    }

    /// Sees to it that somebody closes what waits too long.
    fn sweep_later(self: &Arc<Self>, runtime: &Handle) {
        if self.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let pool = Arc::downgrade(self);
        let interval = (self.dialer.settings.idle_timeout / 2).max(Duration::from_millis(50));
        // The task ends when nothing is left to sweep; if its runtime ends first, the guard lets
        // the next connection start another.
        let sweeping = Sweeping(Arc::downgrade(self));
        drop(runtime.spawn(async move {
            let _sweeping = sweeping;
            loop {
                tokio::time::sleep(interval).await;
                let Some(pool) = pool.upgrade() else { return };
                if pool.sweep() {
                    return;
                }
            }
        }));
    }

    /// Closes what waited too long; says whether nothing is left.
    fn sweep(&self) -> bool {
        let timeout = self.dialer.settings.idle_timeout;
        let mut origins = self.origins();
        origins.retain(|_, origin| {
            let mut state = origin.state();
            state.idle.retain(Http1::is_ready);
            state.shared.retain(|connection| !connection.is_closed());
            state.retain(|since| since.elapsed() < timeout);
            // Whoever else holds the origin is in the middle of a request.
            !state.is_empty() || Arc::strong_count(origin) > 1
        });
        origins.is_empty()
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.idle.is_empty() && self.shared.is_empty()
    }

    fn oldest(&self) -> Option<Instant> {
        let idle = self.idle.iter().map(|connection| connection.since);
        idle.chain(self.shared.iter().filter_map(Http2::idle_since)).min()
    }

    /// Keeps of the connections that wait those which `keep` wants, by when they began to.
    fn retain(&mut self, keep: impl Fn(Instant) -> bool) {
        self.idle.retain(|connection| keep(connection.since));
        self.shared.retain(|connection| connection.idle_since().is_none_or(&keep));
    }
}

struct Sweeping(std::sync::Weak<Pool>);

impl Drop for Sweeping {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.sweeping.store(false, Ordering::Release);
        }
    }
}

/// A connection, lent for one request. Dropped before the request is done, it ends the request.
pub(super) struct Lease {
    link: Option<Link>,
    flow: Arc<Flow>,
    pool: Arc<Pool>,
    origin: Arc<Origin>,
    /// Whether the connection carried requests before.
    pub(super) reused: bool,
}

impl Lease {
    pub(super) fn version(&self) -> Version {
        self.link.as_ref().map_or(Version::HTTP_11, Link::version)
    }

    /// Sends the request; the future is the response.
    pub(super) fn send(
        &mut self,
        request: Request<super::upload::Upload>,
    ) -> Option<impl Future<Output = super::connection::Answer> + use<>> {
        Some(self.link.as_mut()?.send(request))
    }

    /// Why the connection ended, if it did with an error.
    pub(super) fn end(&self) -> Option<Error> {
        self.link.as_ref().and_then(Link::end)
    }

    /// The response is whole: what can be used again goes back.
    pub(super) fn finish(mut self) {
        let Some(Link::Http1(mut connection, slot)) = self.link.take() else { return };
        // The server answered without the request's body, which it now never asks for.
        if self.flow.is_held() {
            connection.abort();
            return;
        }
        if connection.is_ready() {
            self.pool.keep(&self.origin, connection);
            return;
        }
        // The request may still be under way, after an early response.
        let (pool, origin) = (Arc::clone(&self.pool), Arc::clone(&self.origin));
        let runtime = connection.runtime.clone();
        drop(runtime.spawn(async move {
            if connection.ready().await {
                pool.keep(&origin, connection);
            }
            drop(slot);
        }));
    }

    /// The connection failed: it goes away, the request's body does not.
    pub(super) fn discard(mut self) {
        match self.link.take() {
            Some(Link::Http1(connection, _slot)) => connection.abort(),
            Some(Link::Http2(share)) => {
                self.origin.state().shared.retain(|connection| !connection.is_of(&share));
            }
            None => {}
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.link.take() {
            // Half a response may be in the socket; nobody else may read it.
            Some(Link::Http1(connection, _slot)) => {
                self.flow.stop();
                connection.abort();
            }
            // The stream alone is reset; the connection goes on.
            Some(Link::Http2(_)) => self.flow.stop(),
            None => {}
        }
    }
}
