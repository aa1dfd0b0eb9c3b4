//! Proxy-Wasm filters: the ABI of versions 0.1.0, 0.2.0 and 0.2.1, without IO.
//!
//! A [`Plugin`] is a filter as an operator sets it up; a [`Seat`] is a plugin on one thread; a
//! [`Chain`] is the filters of one stream. What happens is put into the chain, and what may go on
//! is taken out of it. What filters ask of the world goes to an [`Outside`], and what comes of it
//! is told to their [`Vm`]. The specification is that of
//! <https://github.com/proxy-wasm/spec/tree/main/abi-versions>.

mod abi;
mod attributes;
mod buffer;
mod callbacks;
mod chain;
mod headers;
mod hostcall;
mod limiter;
mod link;
mod metric;
mod module;
mod outside;
pub mod pairs;
mod plugin;
mod seat;
mod services;
mod state;
mod stream;
mod value;
mod vm;
mod words;

pub use abi::{Abi, LogLevel, MetricType, Peer, Status, StreamType, grpc_status};
pub use chain::{Chain, Out};
pub use headers::{Headers, Part};
pub use metric::{BOUNDS, Metric};
pub use module::{Module, Surface, callable};
pub use outside::{
    Attributes, Grpc, GrpcCall, HttpCall, HttpResponse, Listener, Mailbox, Outside, Queues,
    SharedData,
};
pub use plugin::{HeadersStop, Isolation, Limits, OnFailure, Plugin};
pub use seat::{Absent, Running, Seat, Shared, Standing, Worker, World, lock};
pub use services::{LocalData, LocalQueues};
pub use stream::Way;
pub use value::Value;
pub use vm::{EPOCH, Failure, Vm};
