//! One component, loaded and linked, with its limits and what it was granted.

use crate::background::Heat;
use crate::capability::{Grants, Plugin, served};
use crate::ctx::Ctx;
use crate::imports::{Imports, Unserved, overlaps};
use crate::wasi::{self, Wasi};
use crate::{
    Cache, Calls, Code, Deadline, Ended, Engine, Engines, Limits, Reached, Source, Target,
    WasiSetup,
};
use base::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{Component, InstancePre, Linker, types::ComponentItem};
use wasmtime::{Store, UpdateDeadline};

/// What a component is loaded with.
#[derive(Clone)]
pub struct Setup {
    /// Its name in the deployment file.
    pub name: Arc<str>,
    /// Its bytes.
    pub source: Source,
    /// What it may use.
    pub limits: Limits,
    /// What it may reach.
    pub grants: Grants,
    /// What it is granted of the machine.
    pub wasi: WasiSetup,
    /// Whether to compile with Winch.
    pub winch: bool,
}

/// What loading needs of the program.
#[derive(Clone, Copy)]
pub struct Loading<'a> {
    /// The engines.
    pub engines: &'a Engines,
    /// Where compiled code is kept, if anywhere.
    pub cache: Option<&'a Cache>,
    /// The capabilities. A component gets those that it was granted.
    pub plugins: &'a [Plugin],
}

/// One thing that a component exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name, e.g. `wasi:http/incoming-handler@0.2.0`.
    pub name: String,
    /// Whether it is an interface; otherwise it is a function.
    pub interface: bool,
    /// Whether it is async, or an interface with a function that is.
    pub overlaps: bool,
}

/// A component, ready to be instantiated.
pub struct Guest {
    name: Arc<str>,
    limits: Limits,
    grants: Grants,
    wasi: Arc<WasiSetup>,
    engine: Engine,
    component: Component,
    imports: Imports,
    pre: InstancePre<Ctx>,
    calls: Calls,
    heat: Heat,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Guest {
    /// Compiles and links a component.
    ///
    /// # Errors
    /// Those of [`Code::compile`] and [`Guest::link`].
    pub fn load(setup: Setup, loading: Loading<'_>) -> Result<Arc<Self>> {
        let target = Target { winch: setup.winch, stack: setup.limits.stack };
        let code = Code::compile(&setup.source, target, loading.engines, loading.cache)
            .map_err(|error| error.context(format!("component `{}`", setup.name)))?;
        Self::link(setup, code, loading.plugins)
    }

    /// Links a component that was compiled already with what it was granted. `code` is that of
    /// the setup's source.
    ///
    /// # Errors
    /// `Invalid` when it imports what is not served; every such import is named.
    pub fn link(setup: Setup, code: Code, plugins: &[Plugin]) -> Result<Arc<Self>> {
        let Setup { name, limits, grants, wasi, .. } = setup;
        let context = |error: Error| error.context(format!("component `{name}`"));
        let (engine, component) = code.parts();
        let imports = Imports::of(&component);
        let granted = || plugins.iter().filter(|plugin| (plugin.is_granted)(&grants));
        refuse(&imports.unserved(&served(granted()))).map_err(context)?;
        let labels = granted().flat_map(|plugin| labels(plugin, &grants, &imports));
        refuse_labels(&labels.collect::<Vec<_>>()).map_err(context)?;
        let refused =
            |error: wasmtime::Error| context(Error::invalid(format!("linking: {error:#}")));
        let mut linker = Linker::new(engine.wasmtime());
        wasi::link(&mut linker, engine.kind()).map_err(refused)?;
        for plugin in granted() {
            (plugin.link)(&mut linker, &imports).map_err(refused)?;
        }
        let pre = linker.instantiate_pre(&component).map_err(refused)?;
        wasi.check().map_err(context)?;
        Ok(Arc::new(Self {
            calls: Calls::new(Arc::clone(&name), limits.hostcall_timeout, limits.hostcalls),
            permits: Arc::new(Semaphore::new(limits.concurrency.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            name,
            limits,
            grants,
            wasi: Arc::new(wasi),
            engine,
            component,
            imports,
            pre,
            heat: Heat::default(),
        }))
    }

    /// A store for one instance, whose calls end at `deadline`.
    pub fn store(self: &Arc<Self>, deadline: Deadline) -> Store<Ctx> {
        let ctx = Ctx::new(Arc::clone(self), deadline, Wasi::new(&self.wasi));
        let mut store = Store::new(self.engine.wasmtime(), ctx);
        store.limiter(|ctx| &mut ctx.limiter);
        store.set_hostcall_fuel(self.limits.hostcall_buffer);
        store.set_max_component_handles(self.limits.handles);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| match store.data().deadline.has_passed() {
            true => Err(Ended::Deadline.into()),
            false => Ok(UpdateDeadline::Yield(1)),
        });
        store
    }

    /// Waits for a place among the component's running calls.
    ///
    /// # Errors
    /// `Exhausted` when the queue is full or the wait was too long.
    pub async fn admit(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let full = || Error::exhausted(format!("component `{}` has no room for a call", self.name));
        if self.waiting.fetch_add(1, Relaxed) >= self.limits.queue {
            self.waiting.fetch_sub(1, Relaxed);
            return Err(full());
        }
        let waiting = Waiting(&self.waiting);
        let acquired = Arc::clone(&self.permits).acquire_owned();
        let permit = tokio::time::timeout(self.limits.queue_timeout, acquired).await;
        drop(waiting);
        permit.ok().and_then(std::result::Result::ok).ok_or_else(full)
    }

    /// What the component exports.
    pub fn exports(&self) -> Vec<Export> {
        let engine = self.engine.wasmtime();
        let exports = self.component.component_type();
        let exports = exports.exports(engine).map(|(name, item)| Export {
            name: name.to_owned(),
            interface: matches!(item.ty, ComponentItem::ComponentInstance(_)),
            overlaps: overlaps(&item.ty, engine),
        });
        exports.collect()
    }

    /// The component's name in the deployment file.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What it may reach.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// What it is granted of the machine.
    pub fn wasi(&self) -> &WasiSetup {
        &self.wasi
    }

    /// The engine that it runs on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The compiled component.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// What it imports.
    pub fn imports(&self) -> &Imports {
        &self.imports
    }

    /// The linked component.
    pub fn pre(&self) -> &InstancePre<Ctx> {
        &self.pre
    }

    /// Its host calls.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// How many calls run now.
    pub fn running(&self) -> usize {
        self.limits.concurrency.saturating_sub(self.permits.available_permits())
    }

    /// How many calls wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    pub(crate) fn heat(&self) -> &Heat {
        &self.heat
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Ctx {
    /// The last limit of memory or tables that the instance ran into.
    pub fn reached(&self) -> Option<Reached> {
        self.limiter.reached()
    }
}

/// Every import that is not served, in one error.
fn refuse(unserved: &[Unserved]) -> Result<()> {
    if unserved.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = unserved.iter().map(ToString::to_string).collect();
    Err(Error::invalid(format!("the import {}", list.join("; the import ")))
        .with_hint("`wharf inspect` shows everything that a component imports"))
}

/// What is wrong with the labels of one capability's interfaces.
fn labels(plugin: &Plugin, grants: &Grants, imports: &Imports) -> Vec<String> {
    let labels = plugin.labelled.iter().flat_map(|id| imports.labels(id));
    let wrong = labels.filter_map(|label| {
        let error = (plugin.find)(grants, label).err()?;
        let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        Some(format!("the import `{label}`: {error}{hint}"))
    });
    wrong.collect()
}

/// Every label that stands for nothing, in one error.
fn refuse_labels(wrong: &[String]) -> Result<()> {
    match wrong {
        [] => Ok(()),
        wrong => Err(Error::invalid(wrong.join("; "))),
    }
}
