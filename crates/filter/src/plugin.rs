//! One filter as an operator sets it up.

use crate::module::Module;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of streams when a filter traps, reaches a limit or refuses its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// They are answered with 503, or cut off, until the host is given another filter.
    Closed,
    /// They go on as if there were no such filter.
    Open,
    /// The filter is started anew at once; only what was in its memory is answered with 503.
    #[default]
    Reload,
}

/// What `StopIteration` means when it is the answer to headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeadersStop {
    /// Everything waits, as Envoy has it unless told otherwise.
    #[default]
    All,
    /// The headers wait, the body still comes to the filter, as the specification has it.
    Iteration,
}

/// Who shares a virtual machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// On each thread, filters of the same code, `vm_id` and configuration of it.
    #[default]
    Worker,
    /// Nobody: each filter of the deployment has its own on each thread.
    Plugin,
    /// Each stream has a fresh one.
    Stream,
}

/// What a filter may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory of a virtual machine.
    pub memory: u64,
    /// Elements of its tables.
    pub table_elements: usize,
    /// How long one callback may compute, `malloc` and the start included.
    pub callback: Duration,
    /// Bytes of a body that wait for one filter.
    pub buffer: usize,
    /// Callouts of a virtual machine under way at once.
    pub calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 128 << 20,
            table_elements: 100_000,
            callback: Duration::from_millis(100),
            buffer: 1 << 20,
            calls: 1024,
        }
    }
}

/// One filter as an operator sets it up.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Its name in the deployment, for logs, metrics and `plugin_name`.
    pub name: Arc<str>,
    /// Which of several plugins of the code it is.
    pub root_id: Arc<str>,
    /// Under which name virtual machines share data.
    pub vm_id: Arc<str>,
    /// What `proxy_on_vm_start` is given.
    pub vm_configuration: Bytes,
    /// What `proxy_on_configure` is given.
    pub configuration: Bytes,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// The host calls, callbacks and WASI functions that it may use; `None`: all of them.
    pub capabilities: Option<BTreeSet<String>>,
    /// What it may use.
    pub limits: Limits,
    /// What becomes of streams when it fails.
    pub on_failure: OnFailure,
    /// What `StopIteration` on headers means.
    pub headers_stop: HeadersStop,
    /// Who shares its virtual machine.
    pub isolation: Isolation,
    /// Its code.
    pub module: Module,
}

/// What virtual machines are shared by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct VmKey {
    vm_id: Arc<str>,
    vm_configuration: Bytes,
    environment: Vec<(String, String)>,
    capabilities: Option<BTreeSet<String>>,
    limits: (u64, usize, Duration),
    code: usize,
    /// The plugin's own, unless others may be in it.
    alone: Option<Arc<str>>,
}

impl Plugin {
    /// A filter with nothing set but its name and code.
    pub fn new(name: impl Into<Arc<str>>, module: Module) -> Self {
        Self {
            name: name.into(),
            root_id: Arc::default(),
            vm_id: Arc::default(),
            vm_configuration: Bytes::new(),
            configuration: Bytes::new(),
            environment: Vec::new(),
            capabilities: None,
            limits: Limits::default(),
            on_failure: OnFailure::default(),
            headers_stop: HeadersStop::default(),
            isolation: Isolation::default(),
            module,
        }
    }

    /// Whether it may use the host call, callback or WASI function of this name.
    pub(crate) fn may(&self, name: &str) -> bool {
        self.capabilities.as_ref().is_none_or(|names| names.contains(name))
    }

    pub(crate) fn vm_key(&self) -> VmKey {
        let limits = &self.limits;
        VmKey {
            vm_id: Arc::clone(&self.vm_id),
            vm_configuration: self.vm_configuration.clone(),
            environment: self.environment.clone(),
            capabilities: self.capabilities.clone(),
            limits: (limits.memory, limits.table_elements, limits.callback),
            code: self.module.identity(),
            alone: (self.isolation != Isolation::Worker).then(|| Arc::clone(&self.name)),
        }
    }
}
