//! Where calls go on that burn the processor: threads of low priority, a fair share for each
//! component.
//!
//! A call starts on its connection's thread, where a quick answer costs no hand-over. One that has
//! burnt more than [`BURN`] moves here, so that a guest that loops delays no other connection. The
//! threads take turns between components, then between the calls of one.

use crate::{Guest, Trimmer};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What a call may burn on its connection's thread.
pub const BURN: Duration = Duration::from_millis(10);

/// A thread without work for so long gives back its memory.
const QUIET: Duration = Duration::from_secs(5);

/// How long a component that burnt too much is known as hot, so that its next calls move at once.
const HOT: Duration = Duration::from_secs(1);

/// What a call of a hot component may burn on its connection's thread.
const HOT_BURN: Duration = Duration::from_millis(1);

/// A guest's call: run here while it behaves, in the background once it has burnt too much.
///
/// Resolves to `None` when the call panicked in the background; dropping it ends the call.
pub struct Fair<T> {
    guest: Arc<Guest>,
    begun: Instant,
    burnt: Duration,
    life: Option<(Life, u64)>,
    stage: Stage<T>,
}

/// Signs of life of a call that does many things: what it burns is counted anew from each.
#[derive(Clone, Debug, Default)]
pub struct Life(Arc<AtomicU64>);

impl Life {
    /// Gives a sign.
    pub fn sign(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

enum Stage<T> {
    Here(Pin<Box<dyn Future<Output = T> + Send>>),
    There { answer: oneshot::Receiver<T>, running: Running },
    Over,
}

impl<T: Send + 'static> Fair<T> {
    /// A call of `guest`, not yet begun.
    pub fn new(guest: Arc<Guest>, call: impl Future<Output = T> + Send + 'static) -> Self {
        let stage = Stage::Here(Box::pin(call));
        Self { guest, begun: Instant::now(), burnt: Duration::ZERO, life: None, stage }
    }

    /// Counts what the call burns from its last sign of life.
    #[must_use]
    pub fn with_life(self, life: Life) -> Self {
        Self { life: Some((life, 0)), ..self }
    }

    /// Whether the call goes on in the background, where it waits for its turn.
    pub fn is_in_background(&self) -> bool {
        matches!(self.stage, Stage::There { .. })
    }

    fn count(&mut self, burnt: Duration) {
        if let Some((life, seen)) = &mut self.life {
            let signs = life.0.load(Relaxed);
            if std::mem::replace(seen, signs) != signs {
                (self.begun, self.burnt) = (Instant::now(), Duration::ZERO);
            }
        }
        self.burnt += burnt;
    }

    /// Whether the call has burnt its share of the connection's thread.
    fn is_over_share(&self) -> bool {
        let share = if self.guest.heat().is_hot() { HOT_BURN } else { BURN };
        self.burnt >= share
    }
}

impl<T: Send + 'static> Future for Fair<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        if let Stage::Here(call) = &mut this.stage {
            let start = Instant::now();
            if let Poll::Ready(done) = call.as_mut().poll(cx) {
                this.stage = Stage::Over;
                return Poll::Ready(Some(done));
            }
            let burnt = start.elapsed();
            this.count(burnt);
            if !this.is_over_share() {
                return Poll::Pending;
            }
            // A call that lives long and burns little moves too, and says nothing of its siblings.
            if this.begun.elapsed() < this.burnt * 2 {
                this.guest.heat().burnt();
            }
            if let Stage::Here(call) = std::mem::replace(&mut this.stage, Stage::Over) {
                let (send, answer) = oneshot::channel();
                let running = POOL.spawn(this.guest.name(), async move {
                    // Whoever waited may have gone.
                    drop(send.send(call.await));
                });
                this.stage = Stage::There { answer, running };
            }
        }
        let Stage::There { answer, running } = &mut this.stage else { return Poll::Ready(None) };
        let done = std::task::ready!(Pin::new(answer).poll(cx));
        running.done();
        this.stage = Stage::Over;
        Poll::Ready(done.ok())
    }
}

/// Whether a component lately burnt more than its share.
#[derive(Debug, Default)]
pub struct Heat(AtomicU64);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Heat {
    fn is_hot(&self) -> bool {
        let until = self.0.load(Relaxed);
        until != 0 && until > millis()
    }

    fn burnt(&self) {
        self.0.store(millis() + u64::try_from(HOT.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }
}

fn millis() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

static POOL: LazyLock<Arc<Pool>> = LazyLock::new(Pool::start);

/// The background threads' queue.
#[derive(Default)]
struct Pool {
    queues: Mutex<Queues>,
    ready: Condvar,
}

/// Tasks that are ready, by component, and whose turn it is.
#[derive(Default)]
struct Queues {
    turns: VecDeque<Arc<str>>,
    ready: HashMap<Arc<str>, VecDeque<Arc<Task>>>,
}

/// One call in the background.
struct Task {
    component: Arc<str>,
    pool: Arc<Pool>,
    /// The runtime that the call began on, whose timers and sockets it keeps using.
    runtime: Handle,
    future: Mutex<State>,
}

enum State {
    /// Queued, or waiting for a wake-up.
    Idle {
        call: Pin<Box<dyn Future<Output = ()> + Send>>,
        queued: bool,
    },
    /// Being polled now; `woken` says that it must be polled again.
    Running {
        woken: bool,
    },
    Done,
}

/// Ends the call when it is dropped before it is done.
struct Running(Option<Arc<Task>>);

impl Running {
    fn done(&mut self) {
        self.0 = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(task) = self.0.take() else { return };
        let mut state = task.future.lock().unwrap_or_else(PoisonError::into_inner);
        // While it runs, the thread that polls it notices and drops it.
        let cancelled = std::mem::replace(&mut *state, State::Done);
        drop(state);
        let _runtime = task.runtime.enter();
        drop(cancelled);
    }
}

impl Pool {
    fn start() -> Arc<Self> {
        let pool = Arc::new(Self::default());
        let threads = thread::available_parallelism().map_or(1, |threads| threads.get());
        for number in 0..threads {
            let pool = Arc::clone(&pool);
            let thread = thread::Builder::new().name(format!("wharf-slow-{number}"));
            if let Err(error) = thread.spawn(move || pool.work()) {
                tracing::error!(%error, "a background thread did not start");
            }
        }
        pool
    }

    fn spawn(
        self: &Arc<Self>,
        component: &Arc<str>,
        call: impl Future<Output = ()> + Send + 'static,
    ) -> Running {
        let task = Arc::new(Task {
            component: Arc::clone(component),
            pool: Arc::clone(self),
            runtime: Handle::current(),
            future: Mutex::new(State::Idle { call: Box::pin(call), queued: true }),
        });
        self.push(Arc::clone(&task));
        Running(Some(task))
    }

    fn push(&self, task: Arc<Task>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let component = Arc::clone(&task.component);
        let queue = queues.ready.entry(Arc::clone(&component)).or_default();
        let first = queue.is_empty();
        queue.push_back(task);
        if first {
            queues.turns.push_back(component);
        }
        drop(queues);
        self.ready.notify_one();
    }

    /// The next call of the component whose turn it is, or `None` after a while without any.
    fn pop(&self) -> Option<Arc<Task>> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(component) = queues.turns.pop_front() {
                let Queues { turns, ready } = &mut *queues;
                if let Some(queue) = ready.get_mut(&component) {
                    let task = queue.pop_front();
                    if queue.is_empty() {
                        ready.remove(&component);
                    } else {
                        turns.push_back(component);
                    }
                    if task.is_some() {
                        return task;
                    }
                }
                continue;
            }
            let wait = self.ready.wait_timeout(queues, QUIET);
            let (woken, waited) = wait.unwrap_or_else(PoisonError::into_inner);
            queues = woken;
            if waited.timed_out() && queues.turns.is_empty() {
                drop(queues);
                return None;
            }
        }
    }

    fn work(&self) {
        lower_priority();
        let mut trimmer = Trimmer::default();
        loop {
            match self.pop() {
                Some(task) => {
                    task.poll();
                    trimmer.was_busy();
                }
                None => trimmer.was_quiet(),
            }
        }
    }
}

/// Gives way to every thread that serves connections.
fn lower_priority() {
    // Without the right to change it, the thread keeps the priority it has: slower, not wrong.
    #[expect(unsafe_code, reason = "setpriority takes plain integers and has no safe wrapper")]
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 15) };
    if result != 0 {
        tracing::debug!("the background threads keep the normal priority");
    }
}

impl Task {
    fn poll(self: Arc<Self>) {
        let mut state = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        let mut call = match std::mem::replace(&mut *state, State::Running { woken: false }) {
            State::Idle { call, .. } => call,
            other => {
                *state = other;
                return;
            }
        };
        drop(state);
        let _runtime = self.runtime.enter();
        let waker = Waker::from(Arc::clone(&self));
        let poll = panic::catch_unwind(AssertUnwindSafe(|| {
            call.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        // A panic is a bug of the host; the caller sees that no answer came.
        let poll = poll.unwrap_or(Poll::Ready(()));
        let mut state = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = match &*state {
            State::Running { woken } => *woken,
            // Cancelled meanwhile; the call is dropped here, outside of the lock.
            State::Idle { .. } | State::Done => {
                drop(state);
                drop(call);
                return;
            }
        };
        if poll.is_ready() {
            *state = State::Done;
            drop(state);
            drop(call);
            return;
        }
        *state = State::Idle { call, queued: woken };
        drop(state);
        if woken {
            let pool = Arc::clone(&self.pool);
            pool.push(self);
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let mut state = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        let push = match &mut *state {
            State::Idle { queued, .. } => !std::mem::replace(queued, true),
            State::Running { woken } => {
                *woken = true;
                false
            }
            State::Done => false,
        };
        drop(state);
        if push {
            let pool = Arc::clone(&self.pool);
            pool.push(self);
        }
    }
}
