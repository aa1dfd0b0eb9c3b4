//! How a virtual machine starts, and how it is said why it failed.

use super::{EPOCH, Outcome, Vm};
use crate::callbacks::Callbacks;
use crate::module::ALLOCATORS;
use crate::outside::Outside;
use crate::plugin::Plugin;
use crate::state::{Event, Phase, State};
use base::Error;
use std::sync::Arc;
use wasmtime::{Store, Trap};

impl Vm {
    /// Makes an instance of the code of `plugin` and runs its start functions.
    ///
    /// # Errors
    /// `Invalid` when it does not start, with the reason.
    pub fn start(plugin: &Arc<Plugin>, outside: Box<dyn Outside>) -> base::Result<Self> {
        let failed = |error: String| {
            Error::invalid(format!("filter `{}` does not start: {error}", plugin.name))
        };
        let pre = plugin.module.pre(plugin.capabilities.as_ref());
        let pre = pre.map_err(|problems| failed(problems.join("; ")))?;
        let engine = pre.module().engine();
        let mut store = Store::new(engine, State::new(Arc::clone(plugin), outside));
        store.limiter(|state| &mut state.limiter);
        store.epoch_deadline_trap();
        let epochs = plugin.limits.callback.as_nanos().div_ceil(EPOCH.as_nanos());
        // The current epoch has begun already.
        let epochs = u64::try_from(epochs).unwrap_or(u64::MAX >> 1).saturating_add(1);
        store.set_epoch_deadline(epochs);
        let instance =
            pre.instantiate(&mut store).map_err(|error| failed(explain(&error, &store)))?;
        let memory = instance.get_memory(&mut store, "memory");
        let allocator =
            ALLOCATORS.iter().find_map(|name| instance.get_typed_func(&mut store, name).ok());
        let state = store.data_mut();
        (state.memory, state.allocator) = (memory, allocator);
        let callbacks = Callbacks::new(&instance, &mut store, plugin);
        let mut vm = Self { store, callbacks, failure: None, next_context: 0, epochs };
        vm.run_start(&instance).map_err(|failure| failed(failure.cause.to_string()))?;
        vm.store.data_mut().phase = Phase::Running;
        Ok(vm)
    }

    fn run_start(&mut self, instance: &wasmtime::Instance) -> Outcome {
        let find =
            |store: &mut Store<State>, name| instance.get_typed_func::<(), ()>(store, name).ok();
        let Some(initialize) = find(&mut self.store, "_initialize") else {
            let start = find(&mut self.store, "_start");
            return self.enter(0, Event::Nothing, |store, _| match start {
                Some(start) => start.call(store, ()),
                None => Ok(()),
            });
        };
        let main = instance.get_typed_func::<(u32, u32), u32>(&mut self.store, "main").ok();
        let void = instance.get_typed_func::<(), u32>(&mut self.store, "__main_void").ok();
        self.enter(0, Event::Nothing, |store, _| {
            initialize.call(&mut *store, ())?;
            match (main, void) {
                (Some(main), _) => main.call(store, (0, 0)).map(drop),
                (None, Some(main)) => main.call(store, ()).map(drop),
                (None, None) => Ok(()),
            }
        })
    }
}

/// A trap, the limit behind it, and where in the guest it was.
pub(super) fn explain(error: &wasmtime::Error, store: &Store<State>) -> String {
    let chain = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let state = store.data();
    match (error.downcast_ref::<Trap>(), state.limiter.reached) {
        (Some(Trap::Interrupt), _) => {
            let limit = state.plugin.limits.callback;
            format!("it computed for longer than `callback` = {limit:?}: {chain}")
        }
        (_, Some(limit)) => format!("the limit `{limit}` was reached: {chain}"),
        (_, None) => chain,
    }
}
