//! The code of a filter: what it exports is checked once, when it is loaded.

use crate::abi::Abi;
use crate::link::{Access, NAMES, imports, link, wasi_names};
use crate::state::State;
use base::Error;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::{Engine, ExternType, InstancePre, ValType};

/// The code of a filter, found to be one. Cheap to clone.
#[derive(Clone)]
pub struct Module(Arc<Loaded>);

struct Loaded {
    wasmtime: wasmtime::Module,
    abi: Abi,
    is_lenient: bool,
    /// Joined to all of the host.
    pre: InstancePre<State>,
    /// Joined to what some filters may use.
    restricted: Mutex<Vec<(BTreeSet<String>, InstancePre<State>)>>,
    /// Exports that the ABI calls.
    callbacks: Vec<String>,
}

/// The callbacks of the ABI: name, number of arguments, whether there is a result. All are `i32`.
const CALLBACKS: [(&str, usize, bool); 28] = [
    ("proxy_on_context_create", 2, false),
    ("proxy_on_done", 1, true),
    ("proxy_on_log", 1, false),
    ("proxy_on_delete", 1, false),
    ("proxy_on_vm_start", 2, true),
    ("proxy_validate_configuration", 2, true),
    ("proxy_on_configure", 2, true),
    ("proxy_on_tick", 1, false),
    ("proxy_on_new_connection", 1, true),
    ("proxy_on_downstream_data", 3, true),
    ("proxy_on_downstream_connection_close", 2, false),
    ("proxy_on_upstream_data", 3, true),
    ("proxy_on_upstream_connection_close", 2, false),
    ("proxy_on_request_headers", 3, true),
    ("proxy_on_request_body", 3, true),
    ("proxy_on_request_trailers", 2, true),
    ("proxy_on_response_headers", 3, true),
    ("proxy_on_response_body", 3, true),
    ("proxy_on_response_trailers", 2, true),
    ("proxy_on_http_call_response", 5, false),
    ("proxy_on_grpc_receive_initial_metadata", 3, false),
    ("proxy_on_grpc_receive", 3, false),
    ("proxy_on_grpc_receive_trailing_metadata", 3, false),
    ("proxy_on_grpc_close", 3, false),
    ("proxy_on_queue_ready", 2, false),
    ("proxy_on_foreign_function", 3, false),
    ("proxy_on_memory_allocate", 1, true),
    ("malloc", 1, true),
];

/// Functions that a module starts with.
const STARTS: [(&str, usize, bool); 4] =
    [("_initialize", 0, false), ("_start", 0, false), ("main", 2, true), ("__main_void", 0, true)];

/// Every name that [`Plugin::capabilities`](crate::Plugin::capabilities) may have: the host calls
/// of all versions, the callbacks, and the functions of WASI.
pub fn callable() -> Vec<&'static str> {
    let is_called = |name: &&str| name.starts_with("proxy_on_") && *name != ALLOCATORS[0];
    let callbacks = CALLBACKS.iter().map(|(name, ..)| *name).filter(is_called);
    NAMES.iter().copied().chain(callbacks).chain(wasi_names()).collect()
}

/// What makes room for what a host call gives, in the order in which they are looked for.
pub(crate) const ALLOCATORS: [&str; 2] = ["proxy_on_memory_allocate", "malloc"];

impl Module {
    /// Looks at compiled code.
    ///
    /// With `is_lenient`, imports that nobody knows are functions that answer `Unimplemented`.
    ///
    /// # Errors
    /// `Invalid` for what is no filter: no marker of a version or an unknown one, no memory, no
    /// allocator, callbacks of another type, imports that the host does not have; all at once.
    pub fn new(wasmtime: wasmtime::Module, is_lenient: bool) -> base::Result<Self> {
        let mut problems = Vec::new();
        let abi = marker(&wasmtime, &mut problems);
        exports(&wasmtime, abi, &mut problems);
        let pre = abi.and_then(|abi| {
            let access = Access { abi, is_lenient, may: &|_| true };
            let unknown = |line| format!("the import {line}");
            let joined = link(&wasmtime, &access);
            joined.map_err(|all| problems.extend(all.into_iter().map(unknown))).ok()
        });
        let Some((abi, pre)) = abi.zip(pre).filter(|_| problems.is_empty()) else {
            let mut error = Error::invalid(format!(
                "the module is no filter that can run here: {}",
                problems.join("; ")
            ));
            if problems.iter().any(|problem| problem.ends_with("is not known")) {
                error = error.with_hint("`lenient = true` lets it run with functions that say no");
            }
            return Err(error);
        };
        let callbacks = wasmtime.exports().map(|export| export.name().to_owned()).collect();
        let restricted = Mutex::default();
        Ok(Self(Arc::new(Loaded { wasmtime, abi, is_lenient, pre, restricted, callbacks })))
    }

    /// Compiles and looks at `code`.
    ///
    /// # Errors
    /// As [`new`](Self::new), and `Invalid` for what is no module.
    pub fn compile(engine: &Engine, code: &[u8], is_lenient: bool) -> base::Result<Self> {
        let module = wasmtime::Module::new(engine, code)
            .map_err(|error| Error::invalid(format!("this is no module: {error:#}")))?;
        Self::new(module, is_lenient)
    }

    /// The version of the ABI that it speaks.
    pub fn abi(&self) -> Abi {
        self.0.abi
    }

    /// Whether it exports a callback.
    pub fn exports(&self, name: &str) -> bool {
        self.0.callbacks.iter().any(|known| known == name)
    }

    /// The code joined to what a filter may use of the host; `None`: all of it.
    pub(crate) fn pre(
        &self,
        capabilities: Option<&BTreeSet<String>>,
    ) -> Result<InstancePre<State>, Vec<String>> {
        let Some(names) = capabilities else { return Ok(self.0.pre.clone()) };
        let mut restricted = self.0.restricted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pre)) = restricted.iter().find(|(known, _)| known == names) {
            return Ok(pre.clone());
        }
        let Loaded { abi, is_lenient, .. } = *self.0;
        let access = Access { abi, is_lenient, may: &|name| names.contains(name) };
        let pre = link(&self.0.wasmtime, &access)?;
        restricted.push((names.clone(), pre.clone()));
        Ok(pre)
    }

    /// The same for clones alone.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("abi", &self.0.abi).finish_non_exhaustive()
    }
}

/// What a filter's code is from outside. Nothing of it is run, nor need its functions be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surface {
    /// The version of the ABI that it speaks, if it is one that is known.
    pub abi: Option<Abi>,
    /// The functions that it starts with.
    pub starts: Vec<&'static str>,
    /// The callbacks that it has.
    pub callbacks: Vec<&'static str>,
    /// What it imports, as `module.name`, and why that is refused where it is: the rest of a
    /// sentence about the import.
    pub imports: Vec<(String, Option<String>)>,
    /// Bytes of its memory: at the start, and at most if it says so.
    pub memory: Option<(u64, Option<u64>)>,
    /// What else it is refused for, each a sentence.
    pub problems: Vec<String>,
}

impl Surface {
    /// Looks at a module.
    pub fn of(module: &wasmtime::Module) -> Self {
        let mut problems = Vec::new();
        let abi = marker(module, &mut problems);
        exports(module, abi, &mut problems);
        let has = |name: &&str| module.get_export(name).is_some();
        let starts = match (has(&"_initialize"), has(&"main")) {
            (false, _) => ["_start"].as_slice(),
            (true, true) => &["_initialize", "main"],
            (true, false) => &["_initialize", "__main_void"],
        };
        let callbacks = CALLBACKS.iter().map(|(name, ..)| *name);
        let memory = module.get_export("memory").and_then(|export| {
            let memory = export.memory()?.clone();
            let bytes = |pages: u64| pages.saturating_mul(memory.page_size());
            Some((bytes(memory.minimum()), memory.maximum().map(bytes)))
        });
        Self {
            abi,
            starts: starts.iter().copied().filter(has).collect(),
            callbacks: callbacks
                .filter(|name| name.starts_with("proxy_on_") && has(name))
                .collect(),
            imports: imports(module, abi.unwrap_or(Abi::V0_2_1)),
            memory,
            problems,
        }
    }
}

/// The newest version that the module says it speaks.
fn marker(module: &wasmtime::Module, problems: &mut Vec<String>) -> Option<Abi> {
    let found = Abi::ALL.into_iter().rev().find(|abi| module.get_export(abi.marker()).is_some());
    if found.is_none() {
        let is_marker = |name: &str| name.starts_with("proxy_abi_version_");
        problems.push(match module.exports().find(|export| is_marker(export.name())) {
            Some(other) => format!("it speaks `{}`, which is not known", other.name()),
            None => "it exports no `proxy_abi_version_…`".to_owned(),
        });
    }
    found
}

fn exports(module: &wasmtime::Module, abi: Option<Abi>, problems: &mut Vec<String>) {
    if !matches!(module.get_export("memory"), Some(ExternType::Memory(_))) {
        problems.push("it exports no `memory`".to_owned());
    }
    if ALLOCATORS.iter().all(|name| module.get_export(name).is_none()) {
        problems.push("it exports neither `proxy_on_memory_allocate` nor `malloc`".to_owned());
    }
    for (name, arguments, has_result) in CALLBACKS.into_iter().chain(STARTS) {
        let Some(export) = module.get_export(name) else { continue };
        // Before 0.2.0 headers come without a word on the end of the stream.
        let is_shorter = abi == Some(Abi::V0_1_0)
            && matches!(name, "proxy_on_request_headers" | "proxy_on_response_headers");
        let fits = |ty: &wasmtime::FuncType, arguments: usize| {
            let is_i32 = |ty: ValType| matches!(ty, ValType::I32);
            ty.params().len() == arguments
                && ty.params().all(is_i32)
                && ty.results().len() == usize::from(has_result)
                && ty.results().all(is_i32)
        };
        let is_right = export
            .func()
            .is_some_and(|ty| fits(ty, arguments) || is_shorter && fits(ty, arguments - 1));
        // What is called by nobody may have any type: `main` of a program, an old `malloc`.
        let is_called = name != "main" || module.get_export("_initialize").is_some();
        if !is_right && is_called {
            problems.push(format!("its export `{name}` has another type than the ABI's"));
        }
    }
}
