//! A plugin on one thread: its virtual machine, and what happens when that fails.

use crate::outside::Outside;
use crate::plugin::{Isolation, OnFailure, Plugin, VmKey};
use crate::vm::{Failure, Vm};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// A virtual machine that several plugins may be in.
pub type Shared = Arc<Mutex<Vm>>;

/// Locks a virtual machine. All that are in it are on one thread, so nobody waits.
pub fn lock(vm: &Shared) -> MutexGuard<'_, Vm> {
    vm.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks a virtual machine that nobody else is in.
pub(crate) fn try_lock(vm: &Shared) -> Option<MutexGuard<'_, Vm>> {
    match vm.try_lock() {
        Ok(vm) => Some(vm),
        Err(TryLockError::Poisoned(vm)) => Some(vm.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// So many failures in [`WINDOW`] are forgiven at once.
const FORGIVEN: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// How long a filter that fails on and on is left alone: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Makes the world for one more virtual machine.
pub type World = Box<dyn Fn() -> Box<dyn Outside> + Send + Sync>;

/// The virtual machines of one thread.
pub struct Worker {
    world: World,
    machines: Mutex<HashMap<VmKey, Shared>>,
}

/// A plugin on one thread.
pub struct Seat {
    plugin: Arc<Plugin>,
    worker: Arc<Worker>,
    now: Mutex<Now>,
}

/// A plugin in a virtual machine.
#[derive(Clone)]
pub struct Running {
    /// The machine.
    pub vm: Shared,
    /// The plugin's context in it.
    pub root: u32,
}

struct Now {
    running: Option<Running>,
    /// When the last failures began to be counted, and how many there were.
    since: Instant,
    failures: u32,
    /// Nothing is tried before.
    not_before: Option<Instant>,
    pause: Duration,
    last: Option<Failure>,
}

/// How a plugin stands on one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It runs, or starts with its next stream.
    Running,
    /// It failed; its next stream starts it anew.
    Restarting,
    /// It failed on and on, and is left alone for so long.
    Waiting(Duration),
    /// It failed, and is not started again.
    Away,
}

/// Why there is no virtual machine for a stream.
#[derive(Clone, Debug)]
pub enum Absent {
    /// The filter failed, and is tried again later or never.
    Failed(Failure),
    /// It does not start.
    Start(String),
}

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(failure) => write!(f, "it failed before: {failure}"),
            Self::Start(why) => f.write_str(why),
        }
    }
}

impl Worker {
    /// A thread without virtual machines.
    pub fn new(world: World) -> Arc<Self> {
        Arc::new(Self { world, machines: Mutex::default() })
    }

    /// The virtual machine for a plugin, made if there is none that it may share.
    fn machine(&self, plugin: &Arc<Plugin>) -> base::Result<Shared> {
        let make = || {
            let vm = Arc::new(Mutex::new(Vm::start(plugin, (self.world)())?));
            lock(&vm).at_home(Arc::downgrade(&vm));
            Ok(vm)
        };
        if plugin.isolation == Isolation::Stream {
            return make();
        }
        let key = plugin.vm_key();
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vm) = machines.get(&key)
            && lock(vm).failure().is_none()
        {
            return Ok(Arc::clone(vm));
        }
        let vm = make()?;
        machines.insert(key, Arc::clone(&vm));
        Ok(vm)
    }

    /// Lets go of virtual machines that only this remembers.
    pub fn sweep(&self) {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        machines.retain(|_, vm| Arc::strong_count(vm) > 1);
    }
}

impl Seat {
    /// Starts a plugin on a thread.
    ///
    /// # Errors
    /// Why it does not start, or refuses its configuration.
    pub fn start(worker: &Arc<Worker>, plugin: Arc<Plugin>) -> base::Result<Arc<Self>> {
        let running = begin(worker, &plugin)?;
        Ok(Self::with(worker, plugin, Some(running)))
    }

    /// A plugin on a thread that starts with its first stream.
    pub fn idle(worker: &Arc<Worker>, plugin: Arc<Plugin>) -> Arc<Self> {
        Self::with(worker, plugin, None)
    }

    fn with(worker: &Arc<Worker>, plugin: Arc<Plugin>, running: Option<Running>) -> Arc<Self> {
        let now = Now {
            running,
            since: Instant::now(),
            failures: 0,
            not_before: None,
            pause: FIRST_PAUSE,
            last: None,
        };
        Arc::new(Self { plugin, worker: Arc::clone(worker), now: Mutex::new(now) })
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// The virtual machine for one more stream: a fresh one where streams have their own, a new one
    /// where the last failed and the plugin is to be started again.
    ///
    /// # Errors
    /// Why there is none.
    pub fn running(&self) -> Result<Running, Absent> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if self.plugin.isolation != Isolation::Stream
            && let Some(running) = &now.running
        {
            let vm = lock(&running.vm);
            match vm.failure().cloned() {
                None => {
                    drop(vm);
                    return Ok(running.clone());
                }
                Some(failure) => {
                    drop(vm);
                    now.fail(failure);
                }
            }
        }
        if let Some(until) = now.not_before
            && Instant::now() < until
            && let Some(last) = &now.last
        {
            return Err(Absent::Failed(last.clone()));
        }
        // What failed once stays away, unless it is to be started again.
        if let Some(last) = &now.last
            && self.plugin.on_failure != OnFailure::Reload
        {
            return Err(Absent::Failed(last.clone()));
        }
        let running = begin(&self.worker, &self.plugin).map_err(|error| {
            let cause: Arc<str> = error.to_string().into();
            now.fail(Failure { cause: Arc::clone(&cause) });
            Absent::Start(cause.to_string())
        })?;
        if self.plugin.isolation != Isolation::Stream {
            now.running = Some(running.clone());
        }
        Ok(running)
    }

    /// A stream's own virtual machine failed.
    pub(crate) fn failed(&self, failure: &Failure) {
        if self.plugin.isolation == Isolation::Stream {
            let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            let count = now.failures;
            now.fail(failure.clone());
            // Its neighbours are not touched by it.
            if self.plugin.on_failure != OnFailure::Reload {
                (now.failures, now.not_before, now.last) = (count, None, None);
            }
        }
    }

    /// How often it failed lately, and why the last time.
    pub fn failures(&self) -> (u32, Option<Failure>) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        (now.failures, now.last.clone())
    }

    /// How it stands, how often it failed lately, and why the last time. Waits for nobody: where a
    /// callback runs, it runs.
    pub fn standing(&self) -> (Standing, u32, Option<Failure>) {
        // Whoever holds this starts it.
        let Ok(now) = self.now.try_lock() else { return (Standing::Running, 0, None) };
        // Its next stream is what notices that it failed.
        let unnoticed = now.running.as_ref().and_then(|it| try_lock(&it.vm)?.failure().cloned());
        let failures = now.failures.saturating_add(u32::from(unnoticed.is_some()));
        let is_new = unnoticed.is_some();
        let last = unnoticed.or_else(|| now.last.clone());
        let rest = match is_new {
            true => (failures > FORGIVEN).then_some(now.pause),
            false => now.not_before.and_then(|until| until.checked_duration_since(Instant::now())),
        };
        let has_failed = is_new || now.running.is_none() && now.last.is_some();
        let standing = match (self.plugin.on_failure, rest) {
            _ if !has_failed => Standing::Running,
            // Each stream finds a fresh one.
            _ if self.plugin.isolation == Isolation::Stream && rest.is_none() => Standing::Running,
            (OnFailure::Closed | OnFailure::Open, _) => Standing::Away,
            (OnFailure::Reload, Some(rest)) => Standing::Waiting(rest),
            (OnFailure::Reload, None) => Standing::Restarting,
        };
        (standing, failures, last)
    }

    /// Where it runs, without starting it again.
    pub fn current(&self) -> Option<Running> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).running.clone()
    }
}

impl Now {
    /// Counts a failure, and pauses if there were too many.
    fn fail(&mut self, failure: Failure) {
        let now = Instant::now();
        self.running = None;
        self.last = Some(failure);
        if now - self.since > WINDOW && self.not_before.is_none_or(|until| now > until + WINDOW) {
            (self.since, self.failures, self.pause) = (now, 0, FIRST_PAUSE);
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures > FORGIVEN {
            self.not_before = Some(now + self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn begin(worker: &Worker, plugin: &Arc<Plugin>) -> base::Result<Running> {
    let vm = worker.machine(plugin)?;
    let root = lock(&vm).start_plugin(plugin)?;
    Ok(Running { vm, root })
}
