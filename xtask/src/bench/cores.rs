//! Which core runs what: the server has one to itself, the load another.

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The two cores of a measurement.
#[derive(Clone, Copy)]
pub(super) struct Cores {
    /// What is measured runs here.
    pub(super) server: usize,
    /// What measures it runs here.
    pub(super) load: usize,
}

impl Cores {
    /// The first two cores that this process may use.
    pub(super) fn find() -> Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
        let (server, load) = cores.next().zip(cores.next()).context(
            "the server and its load need a core each, and this process may use only one",
        )?;
        Ok(Self { server, load })
    }
}

/// Does `work` with this thread on one core. What it starts meanwhile stays there.
pub(super) fn on<T>(core: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let this = Pid::from_raw(0);
    let before = sched_getaffinity(this)?;
    let mut one = CpuSet::new();
    one.set(core)?;
    sched_setaffinity(this, &one)?;
    let outcome = work();
    sched_setaffinity(this, &before)?;
    outcome
}
