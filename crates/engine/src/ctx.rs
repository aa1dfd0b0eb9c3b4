//! What every store of the program holds, and what a host function may touch of it.

use crate::calls::Calls;
use crate::limits::{Limiter, Limits};
use crate::wasi::Wasi;
use crate::{Capability, Deadline, Guest};
use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::sync::Arc;
use wasmtime::component::{HasData, ResourceTable};

/// The `T` of every `Store<T>` and `Linker<T>` in the program.
///
/// One concrete type, so that generated bindings are compiled once, in the crate that asks for
/// them, and not again in everything that links against it.
pub struct Ctx {
    pub(crate) table: ResourceTable,
    pub(crate) calls: Calls,
    pub(crate) wasi: Wasi,
    pub(crate) limiter: Limiter,
    pub(crate) deadline: Deadline,
    pub(crate) request: Request,
    guest: Arc<Guest>,
    // A handful at most, so a list is faster than a map.
    states: Vec<State>,
}

struct State {
    id: TypeId,
    per_request: bool,
    state: Box<dyn Any + Send>,
}

/// What is known of the request that an instance serves.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The id that the access log and the answer carry.
    pub id: Option<Arc<str>>,
    /// Until when what was begun for it may go on. Set by [`Ctx::begin`].
    pub deadline: Option<Deadline>,
}

impl Ctx {
    pub(crate) fn new(guest: Arc<Guest>, deadline: Deadline, wasi: Wasi) -> Self {
        let limits: &Limits = guest.limits();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        Self {
            table,
            calls: guest.calls().of_another_instance(),
            wasi,
            limiter: Limiter::new(limits, guest.engine().budget()),
            request: Request { id: None, deadline: Some(deadline.clone()) },
            deadline,
            guest,
            states: Vec::new(),
        }
    }

    /// The component of which this is an instance.
    pub fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    /// The request that the instance serves now.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Says which request the instance serves from now on, and until when.
    ///
    /// State that belongs to a request (a snapshot of the configuration) is made anew.
    pub fn begin(&mut self, request: Request, deadline: Deadline) {
        self.wasi.serve(&request);
        self.request = Request { deadline: Some(deadline.clone()), ..request };
        self.deadline = deadline;
        self.states.retain(|state| !state.per_request);
    }

    /// The instance's handles.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// What host functions of `C` may touch: for `add_to_linker::<_, Has<C>>(linker, Ctx::view)`.
    pub fn view<C: Capability>(&mut self) -> View<'_, C> {
        let index = match self.states.iter().position(|state| state.id == TypeId::of::<C>()) {
            Some(index) => index,
            None => self.make_state::<C>(),
        };
        let Self { states, table, calls, request, .. } = self;
        let state = states.get_mut(index).and_then(|found| found.state.downcast_mut::<C::State>());
        // The index was just found or made under `C`'s own type id, and `make_state` stores
        // nothing but `C::State` there.
        #[expect(clippy::expect_used, reason = "proved by the comment above")]
        let state = state.expect("the state of a capability is found under its own type");
        View { state, table, request, calls }
    }

    #[cold]
    fn make_state<C: Capability>(&mut self) -> usize {
        // `Guest::load` links a capability only where it was granted.
        #[expect(clippy::expect_used, reason = "proved by the comment above")]
        let prepared =
            self.guest.grants().find::<C>().expect("only granted capabilities are linked");
        let state = Box::new(C::state(&prepared, &self.guest));
        self.states.push(State { id: TypeId::of::<C>(), per_request: C::PER_REQUEST, state });
        self.states.len() - 1
    }
}

/// What a host function of `C` may touch. The generated `Host` traits are implemented on this.
pub struct View<'a, C: Capability> {
    /// The capability's own state in this instance.
    pub state: &'a mut C::State,
    /// The instance's handles.
    pub table: &'a mut ResourceTable,
    /// The request that the instance serves.
    pub request: &'a Request,
    calls: &'a Calls,
}

impl<'a, C: Capability> View<'a, C> {
    /// A view for a host of your own, which knows nothing of [`Ctx`].
    pub fn new(
        state: &'a mut C::State,
        table: &'a mut ResourceTable,
        request: &'a Request,
        calls: &'a Calls,
    ) -> Self {
        Self { state, table, request, calls }
    }

    /// Runs one backend call under everything calls have in common.
    ///
    /// # Errors
    /// The call's own, or `Timeout` when it took too long.
    // `&mut self`, because a `ResourceTable` is not `Sync` and a `&View` across an await would
    // therefore not be `Send`.
    pub async fn call<T>(
        &mut self,
        operation: &'static str,
        call: impl Future<Output = base::Result<T>>,
    ) -> base::Result<T> {
        self.calls.run(C::NAME, operation, call).await
    }

    /// The calls, to be cloned by bindings that await outside of the store.
    pub fn calls(&self) -> &Calls {
        self.calls
    }
}

/// Names [`View`] to Wasmtime: `add_to_linker::<_, Has<C>>(linker, Ctx::view::<C>)`.
pub struct Has<C>(PhantomData<C>);

impl<C: Capability> HasData for Has<C> {
    type Data<'a> = View<'a, C>;
}
