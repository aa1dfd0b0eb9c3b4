//! Instances that answer several requests at once, where a deployment asks for it.
//!
//! An instance with requests is driven by a task of its own, on the thread of the connection that
//! began it; requests of that thread join it while it has room. When it has none left it waits
//! among the idle ones, like an instance that answers one request after the other. A trap, or a
//! guest that computes past its deadline, ends every request of its instance.

mod seats;

use super::answer::{Exchange, Progress};
use super::{Handler, Instance, Proxy, p3};
use crate::host;
use engine::background::{Fair, Life};
use engine::{Ctx, Deadline, Ended, Tasks, describe};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http_types::Request;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use wasmtime::component::Accessor;
use wasmtime::{Error, Result};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p3::bindings::Service;

pub(super) use seats::Seats;
use seats::Taken;

/// One request on its way to an instance.
pub(super) struct Job {
    pub(super) request: Request<WasiBody>,
    pub(super) https: bool,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) progress: Progress,
    pub(super) exchange: Exchange,
}

/// A job, and who waits for its end.
struct Sent {
    job: Job,
    done: oneshot::Sender<Result<()>>,
    gone: CancellationToken,
}

impl Handler {
    /// Has the job done by an instance that may have others too. Resolves with the job's end;
    /// dropping it tells the instance that nobody waits any longer.
    pub(super) async fn share(self: Arc<Self>, job: Job, tasks: Tasks) -> Result<()> {
        let (done, ended) = oneshot::channel();
        let gone = CancellationToken::new();
        let _guard = gone.clone().drop_guard();
        self.dispatch(Sent { job, done, gone }, &tasks);
        match ended.await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::msg("the instance is gone")),
        }
    }

    fn dispatch(self: &Arc<Self>, sent: Sent, tasks: &Tasks) {
        let Err(sent) = self.seats.offer(sent, self.uses) else { return };
        let idle = self.take_idle();
        let served = idle.as_ref().map_or(0, |instance| instance.served);
        // At once, so that requests which come at the same time find the seat.
        let (seat, queue) = Seats::add(&self.seats, *sent, served);
        let life = Life::default();
        let drive = drive(Arc::clone(self), idle, seat, queue, life.clone(), tasks.clone());
        tasks.spawn(Fair::new(Arc::clone(&self.guest), drive).with_life(life));
    }
}

/// Drives one instance until it has no requests.
async fn drive(
    handler: Arc<Handler>,
    idle: Option<Instance>,
    seat: Taken,
    mut queue: UnboundedReceiver<Sent>,
    life: Life,
    tasks: Tasks,
) {
    let calls = Calls::new(&handler);
    let instance = match idle {
        Some(instance) => Ok(instance),
        None => handler.instantiate(calls.deadline.clone()).await,
    };
    let mut instance = match instance {
        Ok(instance) => instance,
        Err(error) => {
            // Another attempt would end like this one.
            seat.close();
            while let Ok(Sent { done, .. }) = queue.try_recv() {
                drop(done.send(Err(retold("no instance could be made", &error))));
            }
            return;
        }
    };
    match calls.run(&mut instance, &mut queue, &seat, &life).await {
        Ok(sound) => {
            instance.served = seat.close();
            if sound {
                handler.keep(instance);
            }
        }
        Err(error) => {
            // While the instance is still there.
            calls.fail();
            seat.close();
            calls.end_all(&instance.explain(error));
            // These were never begun: a neighbour's end is none of their business.
            while let Ok(sent) = queue.try_recv() {
                handler.dispatch(sent, &tasks);
            }
        }
    }
}

/// The calls of one instance.
struct Calls {
    /// Until when the instance may compute without a sign of life from any call.
    deadline: Deadline,
    timeout: Duration,
    begun: Mutex<HashMap<u64, Begun>>,
}

/// A call that goes on.
struct Begun {
    progress: Progress,
    done: oneshot::Sender<Result<()>>,
    /// The component's place that it takes.
    _permit: OwnedSemaphorePermit,
}

impl Calls {
    fn new(handler: &Handler) -> Self {
        let timeout = handler.guest.limits().request_timeout;
        Self { deadline: Deadline::after(timeout), timeout, begun: Mutex::default() }
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<u64, Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does all jobs of the queue until there is none. Returns whether the instance can be used
    /// again.
    async fn run(
        &self,
        instance: &mut Instance,
        queue: &mut UnboundedReceiver<Sent>,
        seat: &Taken,
        life: &Life,
    ) -> Result<bool> {
        let Instance { store, proxy, .. } = instance;
        let Proxy::P3(service) = proxy else {
            return Err(Error::msg("an instance of WASI 0.2 has one call at a time"));
        };
        // Which request a call of the guest belongs to, nobody can tell where several go on.
        store.data_mut().begin(engine::Request::default(), self.deadline.clone());
        host::begin_chain(store.data_mut());
        let serve = async |accessor: &Accessor<Ctx>| {
            let mut sound = self.serve(accessor, service, queue, seat, life).await?;
            // What the guest does after its answers is part of its calls.
            sound &= timeout(self.timeout, engine::rest(accessor)).await.is_ok();
            Ok(sound)
        };
        store.run_concurrent(serve).await?
    }

    async fn serve(
        &self,
        accessor: &Accessor<Ctx>,
        service: &Service,
        queue: &mut UnboundedReceiver<Sent>,
        seat: &Taken,
        life: &Life,
    ) -> Result<bool> {
        let mut running = FuturesUnordered::new();
        let (mut sound, mut open, mut number) = (true, true, 0);
        loop {
            tokio::select! {
                biased;
                Some((number, ended)) = running.next(), if !running.is_empty() => {
                    life.sign();
                    sound &= ended?;
                    if let Some(Begun { done, .. }) = self.begun().remove(&number) {
                        // Whoever waited may have gone.
                        drop(done.send(Ok(())));
                    }
                    if !sound {
                        seat.close();
                    }
                    if seat.finish() {
                        return Ok(sound);
                    }
                }
                sent = queue.recv(), if open => match sent {
                    None => open = false,
                    Some(sent) => {
                        life.sign();
                        self.deadline.put_off(self.timeout);
                        number += 1;
                        let call = self.begin(number, sent, accessor, service);
                        running.push(async move { (number, call.await) });
                    }
                },
                else => return Ok(sound),
            }
        }
    }

    /// Begins a call. Resolves to whether it ended by itself.
    fn begin<'a>(
        &self,
        number: u64,
        Sent { job, done, gone }: Sent,
        accessor: &'a Accessor<Ctx>,
        service: &'a Service,
    ) -> impl Future<Output = Result<bool>> + Send + use<'a> {
        let Job { request, https, permit, progress, exchange } = job;
        progress.belongs_to(&self.deadline);
        let begun = Begun { progress: progress.clone(), done, _permit: permit };
        self.begun().insert(number, begun);
        async move {
            if gone.is_cancelled() {
                return Ok(true);
            }
            let deadline = progress.deadline();
            accessor.with(|mut store| host::join_chain(store.data_mut(), request.headers()));
            let answer = p3::answer(accessor, service, request, https, exchange);
            tokio::select! {
                done = answer => done.map(|()| true),
                () = abandoned(&gone, &deadline) => Ok(false),
            }
        }
    }

    /// Says that all calls failed. To be called while their instance is still there.
    fn fail(&self) {
        for begun in self.begun().values() {
            begun.progress.fail();
        }
    }

    /// Tells everybody who waits why the instance ended.
    fn end_all(&self, error: &Error) {
        for (_, Begun { done, .. }) in self.begun().drain() {
            drop(done.send(Err(retold("its instance ended", error))));
        }
    }
}

/// An error for one of several whom it concerns.
fn retold(what: &str, error: &Error) -> Error {
    let why = Error::msg(format!("{what}: {}", describe(error)));
    match error.downcast_ref::<Ended>() {
        Some(Ended::Deadline) => why.context(Ended::Deadline),
        _ => why,
    }
}

/// Waits until nobody waits for the call and its time is over, too: until then the guest may still
/// finish what it began.
async fn abandoned(gone: &CancellationToken, deadline: &Deadline) {
    gone.cancelled().await;
    while !deadline.has_passed() {
        sleep_until(deadline.instant().into()).await;
    }
}
