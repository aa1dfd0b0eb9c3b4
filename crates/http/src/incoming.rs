//! Requests to components: admission, instances, deadlines, and the answer while it is made.

mod answer;
mod p2;
mod p3;
mod shared;

use crate::host::{self, Version};
use answer::{Exchange, Label};
use base::Error;
use bytes::Bytes;
use engine::background::Fair;
use engine::{Ctx, Deadline, Ended, Guest, Tasks, describe};
use http_body::Body;
use http_body_util::BodyExt as _;
use http_types::{Request, Response};
use shared::{Job, Seats};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;

pub use answer::Answer;

/// The body of a request on its way to a guest.
pub type RequestBody = wasmtime_wasi_http::WasiBody;

/// How instances are used again, where a deployment says something of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reuse {
    /// How many requests one instance serves in its life; 1 for WASI 0.2 and 128 for 0.3 if left
    /// out.
    pub requests: Option<u32>,
    /// How many of them at once; 1 if left out. Above one, a trap fails all that are in the
    /// instance.
    pub concurrent: Option<u32>,
}

/// How instances of one component are used again.
#[derive(Clone, Copy)]
struct Uses {
    requests: u32,
    concurrent: u32,
}

/// How long an instance waits for its next request before it goes.
const IDLE: Duration = Duration::from_secs(10);

/// A component that answers HTTP requests.
pub struct Handler {
    guest: Arc<Guest>,
    pre: Pre,
    uses: Uses,
    idle: Mutex<Vec<Idle>>,
    seats: Arc<Seats>,
    counts: Counts,
}

enum Pre {
    P2(wasmtime_wasi_http::p2::bindings::ProxyPre<Ctx>),
    P3(wasmtime_wasi_http::p3::bindings::ServicePre<Ctx>),
}

/// An instance between two requests.
struct Idle {
    instance: Instance,
    since: Instant,
}

struct Instance {
    store: Store<Ctx>,
    proxy: Proxy,
    served: u32,
}

enum Proxy {
    P2(wasmtime_wasi_http::p2::bindings::Proxy),
    P3(wasmtime_wasi_http::p3::bindings::Service),
}

/// How many requests ended how.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answered by the guest.
    pub answered: AtomicU64,
    /// Turned away because there was no room.
    pub turned_away: AtomicU64,
    /// Ended by the deadline.
    pub timed_out: AtomicU64,
    /// Ended by a trap, or without an answer.
    pub failed: AtomicU64,
}

/// Why a request has no answer from the guest.
#[derive(Debug)]
pub enum Refused {
    /// The component is at its limit of running and waiting calls.
    NoRoom(Error),
    /// The guest did not answer in time; the text is where it was, if it computed.
    Deadline(Option<String>),
    /// The guest trapped; the text is the named backtrace.
    Trap(String),
    /// The body of the request was longer than it may be.
    TooLarge,
    /// The guest returned without an answer.
    NoAnswer,
    /// The guest answered with an error code of `wasi:http`.
    Code(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom(error) => write!(f, "{error}"),
            Self::Deadline(None) => f.write_str("the guest waited and did not answer in time"),
            Self::Deadline(Some(place)) => {
                write!(f, "the guest computed and did not answer in time: {place}")
            }
            Self::Trap(trap) => write!(f, "the guest trapped: {trap}"),
            Self::TooLarge => f.write_str("the body of the request was too long"),
            Self::NoAnswer => f.write_str("the guest returned without an answer"),
            Self::Code(code) => write!(f, "the guest answered with the error {code}"),
        }
    }
}

impl Handler {
    /// A handler of `guest`, or `None` if it exports none.
    ///
    /// # Errors
    /// When the exports do not have the types of their version, or their calls cannot overlap and
    /// should.
    pub fn new(guest: Arc<Guest>, reuse: Reuse) -> wasmtime::Result<Option<Self>> {
        let Some(version) = host::handler(&guest) else { return Ok(None) };
        let pre = guest.pre().clone();
        let (pre, requests) = match version {
            Version::P2 => (Pre::P2(wasmtime_wasi_http::p2::bindings::ProxyPre::new(pre)?), 1),
            Version::P3 => (Pre::P3(wasmtime_wasi_http::p3::bindings::ServicePre::new(pre)?), 128),
        };
        let uses = Uses {
            requests: reuse.requests.unwrap_or(requests),
            concurrent: reuse.concurrent.unwrap_or(1),
        };
        wasmtime::ensure!(
            version == Version::P3 || uses.concurrent == 1,
            "calls of WASI 0.2 cannot overlap, so `reuse.concurrent` must be 1"
        );
        let (idle, seats, counts) = Default::default();
        Ok(Some(Self { guest, pre, uses, idle, seats, counts }))
    }

    /// The component.
    pub fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    /// How requests ended so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Answers a request. Dropping the future, or the answer's body before its end, ends the
    /// guest's call.
    ///
    /// # Errors
    /// Why the guest gave no answer.
    pub async fn handle<B>(
        self: &Arc<Self>,
        request: Request<B>,
        of: engine::Request,
        https: bool,
        tasks: &Tasks,
    ) -> Result<Response<Answer>, Refused>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<wasmtime_wasi_http::Error>,
    {
        let permit = self.guest.admit().await.map_err(|error| {
            self.counts.turned_away.fetch_add(1, Relaxed);
            Refused::NoRoom(error)
        })?;
        let limits = self.guest.limits();
        let (exchange, progress, head) = Exchange::new(limits.request_timeout);
        let label = Label { component: Arc::clone(self.guest.name()), request: of.clone() };
        let call = if self.uses.concurrent > 1 {
            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            let job = Job { request, https, permit, progress: progress.clone(), exchange };
            Fair::new(Arc::clone(&self.guest), Arc::clone(self).share(job, tasks.clone()))
        } else {
            let call =
                Arc::clone(self).call(request, of, https, permit, progress.clone(), exchange);
            Fair::new(Arc::clone(&self.guest), call)
        };
        let answer = answer::wait(call, head, label, progress, limits.response_body, tasks).await;
        let count = match &answer {
            Ok(_) => &self.counts.answered,
            Err(Refused::Deadline(_)) => &self.counts.timed_out,
            Err(_) => &self.counts.failed,
        };
        count.fetch_add(1, Relaxed);
        answer
    }

    /// The guest's whole call, from the instance to its end.
    async fn call<B>(
        self: Arc<Self>,
        request: Request<B>,
        of: engine::Request,
        https: bool,
        permit: OwnedSemaphorePermit,
        progress: answer::Progress,
        exchange: Exchange,
    ) -> wasmtime::Result<()>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<wasmtime_wasi_http::Error>,
    {
        let mut instance = match self.take_idle() {
            Some(instance) => instance,
            None => self.instantiate(progress.deadline()).await?,
        };
        instance.store.data_mut().begin(of, progress.deadline());
        instance.served += 1;
        let Instance { store, proxy, .. } = &mut instance;
        let called = match proxy {
            Proxy::P2(proxy) => p2::call(store, proxy, request, https, exchange).await,
            Proxy::P3(proxy) => p3::call(store, proxy, request, https, exchange).await,
        };
        if let Err(error) = called {
            progress.fail();
            return Err(instance.explain(error));
        }
        self.keep(instance);
        drop(permit);
        Ok(())
    }

    async fn instantiate(&self, deadline: Deadline) -> wasmtime::Result<Instance> {
        let mut store = self.guest.store(deadline);
        let proxy = match &self.pre {
            Pre::P2(pre) => Proxy::P2(pre.instantiate_async(&mut store).await?),
            Pre::P3(pre) => Proxy::P3(pre.instantiate_async(&mut store).await?),
        };
        Ok(Instance { store, proxy, served: 0 })
    }

    /// Keeps an instance for its next request, if it may have one.
    fn keep(&self, instance: Instance) {
        if instance.served < self.uses.requests {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(Idle { instance, since: Instant::now() });
        }
    }

    /// The instance that was used last, whose memory is warm.
    fn take_idle(&self) -> Option<Instance> {
        if self.uses.requests <= 1 {
            return None;
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().map(|idle| idle.instance)
    }

    /// Lets go of instances that waited too long. Called now and then.
    pub fn sweep(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let old = idle.iter().take_while(|idle| idle.since.elapsed() > IDLE).count();
        let gone: Vec<_> = idle.drain(..old).collect();
        drop(idle);
        drop(gone);
    }
}

impl Instance {
    /// A guest that was refused memory traps somewhere else; this is why.
    fn explain(&self, error: wasmtime::Error) -> wasmtime::Error {
        match self.store.data().reached() {
            Some(limit) => error.context(format!("the limit `{}` was reached", limit.word())),
            None => error,
        }
    }
}

/// What a failed call was about, for the answer and the log.
fn refusal(error: &wasmtime::Error) -> Refused {
    match error.downcast_ref::<Ended>() {
        Some(Ended::Deadline) => Refused::Deadline(Some(describe(error))),
        _ => Refused::Trap(describe(error)),
    }
}
