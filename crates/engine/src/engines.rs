//! The few ways in which Wasmtime is set up, each made when the first guest needs it.

use crate::Wasm;
use crate::ticker::Ticker;
use base::{Budget, Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy,
    WasmBacktraceDetails,
};

/// What a guest needs of its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// WASI 0.2: without the bookkeeping of concurrent calls, which costs every call.
    Plain,
    /// WASI 0.3: with it.
    Concurrent,
    /// Compiled by Winch, for guests that are started once and run little.
    Winch,
}

impl Kind {
    /// What a component of this kind needs.
    pub fn of(wasm: Wasm, winch: bool) -> Self {
        match (wasm, winch) {
            (_, true) => Self::Winch,
            (Wasm::Component { concurrent: true }, false) => Self::Concurrent,
            _ => Self::Plain,
        }
    }

    /// The word for `inspect` and for the compile cache.
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Concurrent => "concurrent",
            Self::Winch => "winch",
        }
    }
}

/// What all guests of the program share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of linear memory of all guests together.
    pub memory: u64,
    /// Instances that live at once, of each kind of engine.
    pub instances: u32,
}

impl Default for Settings {
    /// Half of the machine's memory, and a thousand instances.
    fn default() -> Self {
        Self { memory: machine_memory() / 2, instances: 1000 }
    }
}

/// The engines of the program.
pub struct Engines {
    settings: Settings,
    budget: Arc<Budget>,
    ticker: Ticker,
    made: Mutex<HashMap<(Kind, usize), Engine>>,
}

/// One engine and what its guests share. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    kind: Kind,
    budget: Arc<Budget>,
}

impl Engines {
    /// No engine yet.
    pub fn new(settings: Settings) -> Self {
        let budget = Arc::new(Budget::new(settings.memory));
        Self { settings, budget, ticker: Ticker::default(), made: Mutex::default() }
    }

    /// The engine for guests of this kind that have `stack` bytes of stack.
    ///
    /// # Errors
    /// `Unavailable` when the machine does not give the address space.
    pub fn pick(&self, kind: Kind, stack: usize) -> Result<Engine> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = made.get(&(kind, stack)) {
            return Ok(engine.clone());
        }
        let refused = |error: wasmtime::Error| {
            Error::unavailable(format!("setting up the WebAssembly engine: {error:#}"))
                .with_hint("is the address space limited (`ulimit -v`)?")
        };
        let wasmtime =
            wasmtime::Engine::new(&config(kind, stack, &self.settings)).map_err(refused)?;
        self.ticker.watch(&wasmtime).map_err(|error| {
            Error::unavailable("starting the ticker's thread").with_source(error)
        })?;
        let engine = Engine { wasmtime, kind, budget: Arc::clone(&self.budget) };
        made.insert((kind, stack), engine.clone());
        Ok(engine)
    }

    /// The memory that all guests share.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }
}

impl Engine {
    /// The engine itself.
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// How it was set up.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The memory that all guests share.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }
}

fn config(kind: Kind, stack: usize, settings: &Settings) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(stack)
        // Room for host functions below the guest's own stack.
        .async_stack_size(stack + (512 << 10))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_tail_call(true)
        .wasm_multi_memory(true)
        .wasm_exceptions(kind != Kind::Winch)
        .wasm_gc(kind != Kind::Winch)
        .wasm_function_references(kind != Kind::Winch)
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true)
        .wasm_threads(false)
        .wasm_component_model_implements(true)
        // What deep recursion took of a stack goes back to the system.
        .async_stack_zeroing(true)
        .concurrency_support(kind != Kind::Plain)
        .strategy(if kind == Kind::Winch { Strategy::Winch } else { Strategy::Cranelift })
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(kind, settings)));
    if kind == Kind::Winch {
        config.wasm_tail_call(false).wasm_relaxed_simd(false);
    } else {
        config.wasm_component_model_map(true);
    }
    config
}

/// Slots are address space, not memory: what bounds memory is the guests' own limits.
fn pool(kind: Kind, settings: &Settings) -> PoolingAllocationConfig {
    let instances = settings.instances;
    // Each stack is a system call at the start. One call at a time needs one; calls that overlap
    // need one for each that waits.
    let stacks = if kind == Kind::Concurrent { 2 } else { 1 };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(4))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        .total_stacks(instances.saturating_mul(stacks))
        .total_gc_heaps(instances)
        .max_core_instances_per_component(64)
        .max_memories_per_component(64)
        .max_tables_per_component(64)
        .max_memories_per_module(8)
        .max_tables_per_module(16)
        .max_component_instance_size(8 << 20)
        .max_core_instance_size(8 << 20)
        .table_elements(100_000)
        .max_memory_size(4 << 30)
        // Together these reset a small guest with one ioctl and a memset instead of madvise and
        // the page faults that follow it. Every slot that was ever used keeps so much.
        .linear_memory_keep_resident(resident())
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(16 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// What a slot keeps of its linear memory, in bytes.
///
/// Where the kernel says which pages were written (since Linux 6.7), those of a small guest fit
/// into little. Elsewhere they are taken to be the first ones, and a guest's stack lies there.
fn resident() -> usize {
    let release = nix::sys::utsname::uname().ok();
    let release = release.as_ref().and_then(|system| system.release().to_str());
    let mut numbers = release.unwrap_or_default().split(['.', '-']).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (6_u32, 7_u32) => 48 << 10,
        _ => 2 << 20,
    }
}

/// The memory of the machine, or of the control group that we run in.
fn machine_memory() -> u64 {
    let total = nix::sys::sysinfo::sysinfo().map_or(4 << 30, |info| info.ram_total());
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    group.and_then(|text| text.trim().parse().ok()).map_or(total, |group: u64| group.min(total))
}
