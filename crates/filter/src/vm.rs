//! A virtual machine: one instance of a filter's code, its plugins' contexts and their streams'.

mod start;

use crate::abi::{OnData, OnHeaders, Peer};
use crate::callbacks::{self, Callbacks};
use crate::hostcall::calls;
use crate::outside::{Grpc, HttpResponse};
use crate::plugin::Plugin;
use crate::state::{Context, Event, Here, State};
use crate::stream::{Handle, Locked, Way};
use base::Error;
use start::explain;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use wasmtime::Store;

/// How often the embedder advances the engine's epoch, which is how deadlines are measured.
pub const EPOCH: Duration = Duration::from_millis(2);

/// Why a filter failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What happened, with the names of the guest's functions where it did.
    pub cause: Arc<str>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// A virtual machine.
///
/// It is called by one thread at a time and never waits. Once it has failed every call answers with
/// the failure.
pub struct Vm {
    store: Store<State>,
    callbacks: Callbacks,
    failure: Option<Failure>,
    next_context: u32,
    /// Epochs that one callback may last.
    epochs: u64,
}

type Outcome<T = ()> = Result<T, Failure>;

impl Vm {
    /// Tells the world around it where it is.
    pub(crate) fn at_home(&mut self, vm: Weak<Mutex<Self>>) {
        self.store.data_mut().outside.at_home(vm);
    }

    /// Why it failed, once it has.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Bytes of its memory.
    pub fn memory(&self) -> u64 {
        self.store.data().limiter.used()
    }

    /// Contexts that live, of plugins and of streams.
    pub fn contexts(&self) -> usize {
        self.store.data().contexts.len()
    }

    /// Starts a plugin in it: creates its context, tells it the configurations.
    ///
    /// Returns the context's number.
    ///
    /// # Errors
    /// `Invalid` when the plugin says no to one of them; whatever it trapped with.
    pub fn start_plugin(&mut self, plugin: &Arc<Plugin>) -> base::Result<u32> {
        let trapped = |failure: Failure| {
            Error::invalid(format!("filter `{}` failed: {failure}", plugin.name))
        };
        let own = Context { root: 0, plugin: Arc::clone(plugin), stream: None, pending: false };
        let id = self.add_context(own).and_then(|id| self.tell_of(id, 0)).map_err(trapped)?;
        let size = |bytes: &bytes::Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let (vm, own) = (size(&plugin.vm_configuration), size(&plugin.configuration));
        let refused = |what: &str| {
            Error::invalid(format!("filter `{}` refuses its {what}", plugin.name))
                .with_hint("its log says why, if it does")
        };
        let is_started = self
            .enter(id, Event::VmStart, |store, it| match &it.vm_start {
                // "Unused", says the specification; SDKs take it for the plugin's context.
                Some(start) => start.call(store, (id, vm)),
                None => Ok(1),
            })
            .map_err(trapped)?;
        if is_started == 0 {
            return Err(refused("virtual machine's configuration"));
        }
        let is_configured = self
            .enter(id, Event::Configure, |store, it| match &it.configure {
                Some(configure) => configure.call(store, (id, own)),
                None => Ok(1),
            })
            .map_err(trapped)?;
        if is_configured == 0 {
            return Err(refused("configuration"));
        }
        Ok(id)
    }

    /// A context for a stream of the plugin that has the context `root`. The stream is brought
    /// along, and given back unless the guest left it.
    pub(crate) fn new_stream(
        &mut self,
        root: u32,
        plugin: Arc<Plugin>,
        place: Handle,
        here: Here,
    ) -> (Outcome<u32>, Option<Locked>) {
        let stream = Some((place, here.index));
        match self.add_context(Context { root, plugin, stream, pending: false }) {
            Ok(id) => self.with(id, here, |vm| vm.tell_of(id, root)),
            Err(failure) => (Err(failure), Some(here.stream)),
        }
    }

    /// Calls about a context whose stream is brought along, and given back unless the guest left
    /// it.
    pub(crate) fn with<T>(
        &mut self,
        context: u32,
        here: Here,
        call: impl FnOnce(&mut Self) -> Outcome<T>,
    ) -> (Outcome<T>, Option<Locked>) {
        self.store.data_mut().bring(context, here);
        let answer = call(self);
        (answer, self.store.data_mut().give_back(context))
    }

    /// Gives a context its number; a plugin's own has it for its root, too.
    fn add_context(&mut self, context: Context) -> Outcome<u32> {
        let Some(id) = self.next_context.checked_add(1) else {
            return Err(self.fail("its contexts have used up all numbers".to_owned()));
        };
        self.next_context = id;
        let root = if context.stream.is_some() { context.root } else { id };
        self.store.data_mut().contexts.insert(id, Context { root, ..context });
        Ok(id)
    }

    /// `proxy_on_context_create`.
    fn tell_of(&mut self, context: u32, parent: u32) -> Outcome<u32> {
        self.enter(context, Event::Nothing, |store, it| match &it.context_create {
            Some(create) => create.call(store, (context, parent)),
            None => Ok(()),
        })?;
        Ok(context)
    }

    pub(crate) fn on_headers(
        &mut self,
        way: Way,
        context: u32,
        count: usize,
        end: bool,
    ) -> Outcome<OnHeaders> {
        let (count, end) = (number(count), u32::from(end));
        self.enter(context, Event::Nothing, |store, it| {
            let callback = match way {
                Way::Request => &it.request_headers,
                Way::Response => &it.response_headers,
            };
            match callback {
                Some(callbacks::OnHeaders::Three(call)) => call.call(store, (context, count, end)),
                Some(callbacks::OnHeaders::Two(call)) => call.call(store, (context, count)),
                None => Ok(0),
            }
        })
        .map(OnHeaders::of)
    }

    /// A part of a body, or of a connection's data.
    pub(crate) fn on_data(
        &mut self,
        is_http: bool,
        way: Way,
        context: u32,
        size: usize,
        end: bool,
    ) -> Outcome<OnData> {
        let (size, end) = (number(size), u32::from(end));
        self.enter(context, Event::Nothing, |store, it| {
            let callback = match (is_http, way) {
                (true, Way::Request) => &it.request_body,
                (true, Way::Response) => &it.response_body,
                (false, Way::Request) => &it.downstream_data,
                (false, Way::Response) => &it.upstream_data,
            };
            match callback {
                Some(call) => call.call(store, (context, size, end)),
                None => Ok(0),
            }
        })
        .map(OnData::of)
    }

    /// Whether it wants them to go on.
    pub(crate) fn on_trailers(&mut self, way: Way, context: u32, count: usize) -> Outcome<bool> {
        let count = number(count);
        self.enter(context, Event::Nothing, |store, it| {
            let callback = match way {
                Way::Request => &it.request_trailers,
                Way::Response => &it.response_trailers,
            };
            match callback {
                Some(call) => call.call(store, (context, count)),
                None => Ok(0),
            }
        })
        .map(|action| action == 0)
    }

    pub(crate) fn on_new_connection(&mut self, context: u32) -> Outcome<OnHeaders> {
        self.enter(context, Event::Nothing, |store, it| match &it.new_connection {
            Some(call) => call.call(store, context),
            None => Ok(0),
        })
        .map(|action| if action == 0 { OnHeaders::Continue } else { OnHeaders::StopAll })
    }

    pub(crate) fn on_connection_close(&mut self, way: Way, context: u32, peer: Peer) -> Outcome {
        self.enter(context, Event::Nothing, |store, it| {
            let callback = match way {
                Way::Request => &it.downstream_close,
                Way::Response => &it.upstream_close,
            };
            match callback {
                Some(call) => call.call(store, (context, peer as u32)),
                None => Ok(()),
            }
        })
    }

    /// The end of a context: `proxy_on_done`, then `proxy_on_log` of a stream and
    /// `proxy_on_delete`, unless it says that it has more to do.
    ///
    /// # Errors
    /// When the filter failed; the context is gone all the same.
    pub(crate) fn end(&mut self, context: u32) -> Outcome {
        let is_done = self.enter(context, Event::Nothing, |store, it| match &it.done {
            Some(done) => done.call(store, context),
            None => Ok(1),
        })?;
        if is_done != 0 {
            return self.remove(context);
        }
        let state = self.store.data_mut();
        if let Some(context) = state.contexts.get_mut(&context) {
            context.pending = true;
        }
        Ok(())
    }

    fn remove(&mut self, context: u32) -> Outcome {
        let is_stream =
            self.store.data().contexts.get(&context).is_some_and(|it| it.stream.is_some());
        let logged = self.enter(context, Event::Nothing, |store, it| {
            // Of plugins there is nothing to log: Envoy does not ask, and SDKs rely on it.
            if let Some(log) = it.log.as_ref().filter(|_| is_stream) {
                log.call(&mut *store, context)?;
            }
            match &it.delete {
                Some(delete) => delete.call(store, context),
                None => Ok(()),
            }
        });
        self.store.data_mut().forget(context);
        logged
    }

    /// Ends a plugin: what it began is cancelled, and it is told. Contexts that said that they have
    /// more to do are not waited for any longer when `is_last_call`.
    ///
    /// Returns whether it is over.
    ///
    /// # Errors
    /// When the filter failed.
    pub fn end_plugin(&mut self, root: u32, is_last_call: bool) -> Outcome<bool> {
        let state = self.store.data();
        match state.contexts.get(&root) {
            None => return Ok(true),
            Some(context) if context.pending && !is_last_call => return Ok(false),
            Some(context) if context.pending => self.remove(root)?,
            Some(_) => self.end(root)?,
        }
        let state = self.store.data_mut();
        let is_over = !state.contexts.contains_key(&root);
        if is_over {
            let begun: Vec<u32> =
                state.calls.iter().filter(|(_, it)| it.root == root).map(|(id, _)| *id).collect();
            for id in begun {
                state.calls.remove(&id);
                state.outside.cancel(id);
            }
            state.outside.set_tick(root, None);
        }
        Ok(is_over)
    }

    /// Whether streams of a plugin are not over.
    pub fn has_streams(&self, root: u32) -> bool {
        let mut contexts = self.store.data().contexts.values();
        self.failure.is_none()
            && contexts.any(|it| it.root == root && it.stream.is_some() && !it.pending)
    }

    /// `proxy_on_tick`.
    ///
    /// # Errors
    /// When the filter failed.
    pub fn tick(&mut self, root: u32) -> Outcome {
        if !self.has(root) {
            return Ok(());
        }
        self.enter(root, Event::Nothing, |store, it| match &it.tick {
            Some(tick) => tick.call(store, root),
            None => Ok(()),
        })
    }

    /// `proxy_on_queue_ready`.
    ///
    /// # Errors
    /// When the filter failed.
    pub fn queue_ready(&mut self, root: u32, queue: u32) -> Outcome {
        if !self.has(root) {
            return Ok(());
        }
        self.enter(root, Event::Nothing, |store, it| match &it.queue_ready {
            Some(ready) => ready.call(store, (root, queue)),
            None => Ok(()),
        })
    }

    /// What came of a request that the filter made. Nobody hears of one that was cancelled.
    ///
    /// # Errors
    /// When the filter failed.
    pub fn http_response(&mut self, id: u32, response: HttpResponse) -> Outcome {
        if id & 3 != calls::HTTP {
            return Ok(());
        }
        let Some(call) = self.store.data_mut().calls.remove(&id) else { return Ok(()) };
        let (headers, body) = (number(response.headers.len()), number(response.body.len()));
        let trailers = number(response.trailers.len());
        self.enter(call.root, Event::Http(Box::new(response)), |store, it| match &it.http_call {
            Some(tell) => tell.call(store, (call.root, id, headers, body, trailers)),
            None => Ok(()),
        })
    }

    /// What came of a call of gRPC. A call with one message hears of one message, or of its end.
    ///
    /// # Errors
    /// When the filter failed.
    pub fn grpc(&mut self, id: u32, grpc: Grpc) -> Outcome {
        let is_stream = id & 3 == calls::GRPC_STREAM;
        let state = self.store.data_mut();
        let Some(root) = state.calls.get(&id).map(|call| call.root) else { return Ok(()) };
        let is_last = match &grpc {
            Grpc::Close(..) => true,
            Grpc::Message(_) => !is_stream,
            Grpc::Initial(_) | Grpc::Trailing(_) if !is_stream => return Ok(()),
            Grpc::Initial(_) | Grpc::Trailing(_) => false,
        };
        if is_last {
            state.calls.remove(&id);
        }
        let (number, event) = match grpc {
            Grpc::Initial(headers) => (number(headers.len()), Event::GrpcInitial(headers.into())),
            Grpc::Message(message) => (number(message.len()), Event::GrpcMessage(message)),
            Grpc::Trailing(headers) => (number(headers.len()), Event::GrpcTrailing(headers.into())),
            Grpc::Close(status, message) => (status, Event::GrpcClose(status, message)),
        };
        self.enter(root, event, |store, it| {
            let callback = match &store.data().event {
                Event::GrpcInitial(_) => &it.grpc_initial,
                Event::GrpcMessage(_) => &it.grpc_message,
                Event::GrpcTrailing(_) => &it.grpc_trailing,
                _ => &it.grpc_close,
            };
            match callback {
                Some(tell) => tell.call(store, (root, id, number)),
                None => Ok(()),
            }
        })
    }

    /// `proxy_on_foreign_function`: the host calls the guest.
    ///
    /// # Errors
    /// When the filter failed.
    pub fn foreign(&mut self, root: u32, function: u32, arguments: bytes::Bytes) -> Outcome {
        let size = number(arguments.len());
        self.enter(root, Event::Foreign(arguments), |store, it| match &it.foreign {
            Some(tell) => tell.call(store, (root, function, size)),
            None => Ok(()),
        })
    }

    fn has(&self, context: u32) -> bool {
        self.store.data().contexts.contains_key(&context)
    }

    /// Calls the guest on behalf of a context, and then ends the contexts that said that they are
    /// done.
    fn enter<T>(
        &mut self,
        context: u32,
        event: Event,
        call: impl FnOnce(&mut Store<State>, &Callbacks) -> wasmtime::Result<T>,
    ) -> Outcome<T> {
        let answer = self.enter_once(context, event, call)?;
        while let Some(done) = self.store.data_mut().done.pop() {
            self.remove(done)?;
        }
        Ok(answer)
    }

    fn enter_once<T>(
        &mut self,
        context: u32,
        event: Event,
        call: impl FnOnce(&mut Store<State>, &Callbacks) -> wasmtime::Result<T>,
    ) -> Outcome<T> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let state = self.store.data_mut();
        state.event = event;
        let was_brought = state.is_at(context);
        if !was_brought {
            state.go_to(context);
        }
        self.store.set_epoch_deadline(self.epochs);
        // Were there a panic in a host call, it would leave the stream locked for ever.
        let called = || call(&mut self.store, &self.callbacks);
        let answer = catch_unwind(AssertUnwindSafe(called));
        let state = self.store.data_mut();
        if !was_brought || answer.is_err() {
            state.here = None;
        }
        state.event = Event::Nothing;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let cause = explain(&error, &self.store);
                Err(self.fail(cause))
            }
            Err(_panic) => Err(self.fail("a host call of it panicked".to_owned())),
        }
    }

    /// From now on nothing is called; the drivers of all its streams look.
    fn fail(&mut self, cause: String) -> Failure {
        let failure = Failure { cause: cause.into() };
        self.failure = Some(failure.clone());
        let state = self.store.data_mut();
        tracing::error!(filter = %state.current().name, "a filter failed: {failure}");
        // A world that panics once may do so again; the streams are to look all the same.
        drop(catch_unwind(AssertUnwindSafe(|| state.end_all())));
        let streams = state.contexts.values().filter_map(|context| context.stream.as_ref());
        streams.for_each(|(place, _)| place.wake());
        failure
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
