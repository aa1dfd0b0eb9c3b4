//! What a virtual machine's store holds: contexts, what the current callback is about, the world.

use crate::abi::Abi;
use crate::headers::Headers;
use crate::hostcall::foreign::{Declared, Expressions};
use crate::limiter::Limiter;
use crate::metric::Metric;
use crate::outside::{HttpResponse, Outside};
use crate::plugin::Plugin;
use crate::stream::{Handle, Locked, Stream};
use crate::words::Words;
use bytes::Bytes;
use rustc_hash::FxHashMap;
use std::collections::{HashMap, HashSet};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use wasmtime::{Memory, TypedFunc};

/// What a guest may ask for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Its allocator runs for a host call.
    Allocating,
    /// Its start functions run.
    Starting,
    /// A callback runs.
    Running,
}

/// What the current callback brings with it: little, as it is written for each.
#[derive(Debug, Default)]
pub(crate) enum Event {
    #[default]
    Nothing,
    VmStart,
    Configure,
    Http(Box<HttpResponse>),
    GrpcInitial(Box<Headers>),
    GrpcMessage(Bytes),
    GrpcTrailing(Box<Headers>),
    GrpcClose(u32, String),
    Foreign(Bytes),
}

/// A context of a plugin, or of one of its streams.
pub(crate) struct Context {
    /// The plugin's own context.
    pub(crate) root: u32,
    pub(crate) plugin: Arc<Plugin>,
    /// Of a stream's context: the stream, and which of its filters this is.
    pub(crate) stream: Option<(Handle, usize)>,
    /// It said that it is not done, and has not said yet that it is.
    pub(crate) pending: bool,
}

/// The stream on whose behalf a filter is called.
pub(crate) struct Here {
    pub(crate) stream: Locked,
    /// Which of its filters that is.
    pub(crate) index: usize,
}

impl Deref for Here {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

impl DerefMut for Here {
    fn deref_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }
}

/// What was begun for a plugin and is not over.
pub(crate) struct Pending {
    pub(crate) root: u32,
    /// A stream of gRPC on which more may be sent.
    pub(crate) is_open: bool,
}

/// The state of a virtual machine.
pub(crate) struct State {
    pub(crate) outside: Box<dyn Outside>,
    pub(crate) limiter: Limiter,
    pub(crate) abi: Abi,
    /// The plugin that the virtual machine was made for; others in it have the same `vm_id`.
    pub(crate) plugin: Arc<Plugin>,
    /// Known once the instance is made; its start function runs before.
    pub(crate) memory: Option<Memory>,
    pub(crate) allocator: Option<TypedFunc<u32, u32>>,
    pub(crate) phase: Phase,
    /// By numbers that are given here, so that nobody chooses what falls together.
    pub(crate) contexts: FxHashMap<u32, Context>,
    /// The context on whose behalf host calls are made.
    pub(crate) effective: u32,
    /// Its stream.
    pub(crate) here: Option<Here>,
    pub(crate) event: Event,
    /// What was begun, by its number.
    pub(crate) calls: HashMap<u32, Pending>,
    pub(crate) next_call: u32,
    /// By a number of this virtual machine alone, so that nobody guesses another's.
    pub(crate) metrics: Vec<Arc<Metric>>,
    /// The queues that it has opened.
    pub(crate) queues: HashSet<u32>,
    /// Contexts that said that they are done.
    pub(crate) done: Vec<u32>,
    /// Room for a value on its way to the guest.
    pub(crate) scratch: Vec<u8>,
    /// What was written to fields.
    pub(crate) words: Words,
    /// Properties of plugins, by context and path.
    pub(crate) properties: HashMap<(u32, Bytes), Bytes>,
    /// What plugins said of properties of their streams, by the plugin's context and path.
    pub(crate) declared: HashMap<(u32, Bytes), Declared>,
    pub(crate) expressions: Expressions,
}

impl State {
    pub(crate) fn new(plugin: Arc<Plugin>, outside: Box<dyn Outside>) -> Self {
        let limiter = Limiter::new(&plugin.limits, outside.budget());
        let abi = plugin.module.abi();
        Self {
            outside,
            limiter,
            abi,
            plugin,
            memory: None,
            allocator: None,
            phase: Phase::Starting,
            contexts: FxHashMap::default(),
            effective: 0,
            here: None,
            event: Event::Nothing,
            calls: HashMap::new(),
            next_call: 0,
            metrics: Vec::new(),
            queues: HashSet::new(),
            done: Vec::new(),
            scratch: Vec::new(),
            words: Words::default(),
            properties: HashMap::new(),
            declared: HashMap::new(),
            expressions: Expressions::default(),
        }
    }

    /// A callback is about this context, whose stream was brought along.
    pub(crate) fn bring(&mut self, context: u32, here: Here) {
        (self.effective, self.here) = (context, Some(here));
    }

    /// Gives back the stream that was brought along, if the guest did not leave it.
    pub(crate) fn give_back(&mut self, context: u32) -> Option<Locked> {
        let here = self.here.take()?;
        (self.effective == context).then_some(here.stream)
    }

    /// A callback begins, or a host call changes on whose behalf it speaks.
    pub(crate) fn go_to(&mut self, context: u32) {
        // First let go: two contexts may be of one stream.
        self.here = None;
        self.effective = context;
        let stream = self.contexts.get(&context).and_then(|context| context.stream.as_ref());
        self.here = stream.map(|(stream, index)| Here { stream: stream.lock(), index: *index });
    }

    /// Whether the stream of this context was brought along.
    pub(crate) fn is_at(&self, context: u32) -> bool {
        self.effective == context && self.here.is_some()
    }

    /// A context is over. What its plugin has set and made goes with the last context of the
    /// plugin.
    pub(crate) fn forget(&mut self, context: u32) {
        let Some(Context { root, .. }) = self.contexts.remove(&context) else { return };
        if !self.contexts.contains_key(&root)
            && self.contexts.values().all(|other| other.root != root)
        {
            self.properties.retain(|(owner, _), _| *owner != root);
            self.declared.retain(|(owner, _), _| *owner != root);
            self.expressions.forget(root);
        }
    }

    /// Ends what was begun for anybody, and all timers.
    pub(crate) fn end_all(&mut self) {
        for id in std::mem::take(&mut self.calls).into_keys() {
            self.outside.cancel(id);
        }
        let plugins = self.contexts.iter().filter(|(_, it)| it.stream.is_none());
        for root in plugins.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.outside.set_tick(root, None);
        }
    }

    pub(crate) fn context(&self) -> Option<&Context> {
        self.contexts.get(&self.effective)
    }

    /// The plugin on whose behalf a host call is made.
    pub(crate) fn current(&self) -> &Arc<Plugin> {
        self.context().map_or(&self.plugin, |context| &context.plugin)
    }

    /// The context of that plugin.
    pub(crate) fn root(&self) -> u32 {
        self.context().map_or(0, |context| context.root)
    }

    /// The stream of the effective context, and which of its filters that is.
    pub(crate) fn stream(&mut self) -> Option<(&mut Stream, usize)> {
        let here = self.here.as_mut()?;
        Some((&mut here.stream, here.index))
    }

    /// Lets the driver of the effective context's stream look at what was asked.
    pub(crate) fn wake(&self) {
        if let Some((place, _)) = self.context().and_then(|context| context.stream.as_ref()) {
            place.wake();
        }
    }
}
