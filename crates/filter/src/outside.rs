//! What a filter may ask of the world. The proxy answers; tests answer with a table.

use crate::abi::{LogLevel, Status};
use crate::headers::Headers;
use crate::metric::Metric;
use crate::plugin::Plugin;
use crate::vm::Vm;
use crate::{MetricType, Value};
use base::Budget;
use bytes::Bytes;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};

/// The world around one virtual machine. Nothing of it waits.
///
/// Calls of `http_call` and the like only begin something; what comes of it is told to the virtual
/// machine later, under the number given here.
pub trait Outside: Send {
    /// The virtual machine is there, to be told what comes of what it begins.
    fn at_home(&mut self, _vm: Weak<Mutex<Vm>>) {}

    /// What all virtual machines take memory from, if that is bounded.
    fn budget(&self) -> Option<Arc<Budget>> {
        None
    }

    /// The time of day.
    fn now(&mut self) -> SystemTime;

    /// Time since some moment, which only grows.
    fn monotonic(&mut self) -> Duration;

    /// What is not logged below.
    fn log_level(&mut self) -> LogLevel;

    /// A line for the log.
    fn log(&mut self, plugin: &Plugin, level: LogLevel, message: &[u8]);

    /// Has `proxy_on_tick` called for this context again and again; `None` ends it.
    fn set_tick(&mut self, context: u32, period: Option<Duration>);

    /// What all filters of a `vm_id` share.
    fn shared(&self) -> &dyn SharedData;

    /// Queues between virtual machines.
    fn queues(&self) -> &dyn Queues;

    /// Hears that a queue of this virtual machine has something.
    fn mailbox(&self) -> Arc<dyn Mailbox>;

    /// A metric with this name, which other filters may have as well.
    fn metric(&mut self, plugin: &Plugin, kind: MetricType, name: &str) -> Arc<Metric>;

    /// Begins a request. The answer comes as [`Vm::http_response`](crate::Vm::http_response).
    ///
    /// # Errors
    /// `BadArgument` for an unknown upstream, `InternalFailure` if it cannot be begun.
    fn http_call(&mut self, plugin: &Arc<Plugin>, id: u32, call: HttpCall) -> Result<(), Status>;

    /// Begins a call of gRPC with one message. What comes is told by
    /// [`Vm::grpc`](crate::Vm::grpc).
    ///
    /// # Errors
    /// `ParseFailure` for an unknown upstream, `InternalFailure` if it cannot be begun.
    fn grpc_call(&mut self, plugin: &Arc<Plugin>, id: u32, call: GrpcCall) -> Result<(), Status>;

    /// A message on a stream of gRPC; the last one if `end`.
    ///
    /// # Errors
    /// `InternalFailure` when too many wait, or the stream has broken off.
    fn grpc_send(&mut self, id: u32, message: Bytes, end: bool) -> Result<(), Status>;

    /// No more messages are sent on a stream of gRPC.
    fn grpc_close(&mut self, id: u32);

    /// Nobody waits any more for what was begun under this number.
    fn cancel(&mut self, id: u32);

    /// A property beyond those of a stream, e.g. `["xds", "node"]`.
    fn property(&mut self, path: &[&str]) -> Option<Value>;

    /// A foreign function beyond those that the crate has itself.
    ///
    /// # Errors
    /// `NotFound` if there is none of this name; else what the function says.
    fn foreign(&mut self, plugin: &Plugin, name: &str, arguments: &[u8]) -> Result<Bytes, Status>;
}

/// A request of a filter's own.
#[derive(Debug)]
pub struct HttpCall {
    /// The name of an upstream.
    pub upstream: String,
    /// The head.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// The trailers.
    pub trailers: Headers,
    /// How long everything may take; `None`: as long as it likes.
    pub timeout: Option<Duration>,
}

/// A call of gRPC.
#[derive(Debug)]
pub struct GrpcCall {
    /// The name of an upstream.
    pub upstream: String,
    /// `package.Service`.
    pub service: String,
    /// The method of the service.
    pub method: String,
    /// Metadata to begin with.
    pub metadata: Headers,
    /// The one message; `None` opens a stream.
    pub message: Option<Bytes>,
    /// How long everything may take; `None`: as long as it likes.
    pub timeout: Option<Duration>,
}

/// What came of an [`HttpCall`].
#[derive(Debug, Default)]
pub struct HttpResponse {
    /// The head; empty if the call failed.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// The trailers.
    pub trailers: Headers,
}

/// What came of a [`GrpcCall`].
#[derive(Debug)]
pub enum Grpc {
    /// Metadata of a stream before its first message.
    Initial(Headers),
    /// A message.
    Message(Bytes),
    /// Metadata of a stream after its last message.
    Trailing(Headers),
    /// The end, with a status of gRPC and its text.
    Close(u32, String),
}

/// Values that all filters of a `vm_id` share. Every write has a number, never 0.
pub trait SharedData: Send + Sync {
    /// The value of a key, and the number of its last write; `None` if there is no such key.
    ///
    /// # Errors
    /// `InternalFailure` where nobody can tell.
    fn get(&self, vm_id: &str, key: &[u8]) -> Result<Option<(Bytes, u32)>, Status>;

    /// Writes a value; with `cas` above 0 only if that is the number of the key's last write. A
    /// new key takes any number.
    ///
    /// # Errors
    /// `CasMismatch` if it is another; `InternalFailure` if there is no room.
    fn set(&self, vm_id: &str, key: &[u8], value: Bytes, cas: u32) -> Result<(), Status>;
}

/// Queues between virtual machines, by `vm_id` and name.
pub trait Queues: Send + Sync {
    /// The queue of this name, made if there is none. Whoever registers it last hears of it.
    fn register(&self, vm_id: &str, name: &[u8], listener: Listener) -> Result<u32, Status>;

    /// The queue of this name, if there is one.
    fn resolve(&self, vm_id: &str, name: &[u8]) -> Option<u32>;

    /// Adds an item and tells the listener.
    ///
    /// # Errors
    /// `NotFound` for a queue that is none, `InternalFailure` if it is full.
    fn enqueue(&self, queue: u32, value: Bytes) -> Result<(), Status>;

    /// Takes the oldest item.
    ///
    /// # Errors
    /// `NotFound` for a queue that is none, `Empty` if there is no item.
    fn dequeue(&self, queue: u32) -> Result<Bytes, Status>;
}

/// Who hears of a queue: a context of a virtual machine.
#[derive(Clone)]
pub struct Listener {
    /// The virtual machine's.
    pub mailbox: Arc<dyn Mailbox>,
    /// The context's number.
    pub context: u32,
}

/// Where news for a virtual machine go, from any thread.
pub trait Mailbox: Send + Sync {
    /// Has [`Vm::queue_ready`](crate::Vm::queue_ready) called.
    fn queue_ready(&self, context: u32, queue: u32);
}

/// What a stream's surroundings say of it: `source.address`, `upstream.port` and the like. What
/// headers say of it is known to the crate.
pub trait Attributes: Send {
    /// The value under a path such as `["source", "address"]`.
    fn get(&self, path: &[&str]) -> Option<Value>;
}

/// No attributes.
impl Attributes for () {
    fn get(&self, _path: &[&str]) -> Option<Value> {
        None
    }
}
