//! A world for filters in which nothing happens.

use bytes::Bytes;
use filter::{
    GrpcCall, HttpCall, LocalData, LocalQueues, LogLevel, Mailbox, Metric, MetricType, Outside,
    Plugin, Queues, SharedData, Status, Value,
};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// A world in which nothing happens: no upstreams, no ticks, a log that takes no lines.
pub struct Nothing {
    data: LocalData,
    queues: LocalQueues,
    begun: Instant,
}

impl Default for Nothing {
    fn default() -> Self {
        let (data, queues) = Default::default();
        Self { data, queues, begun: Instant::now() }
    }
}

/// Nobody reads it.
struct Nobody;

impl Mailbox for Nobody {
    fn queue_ready(&self, _context: u32, _queue: u32) {}
}

impl Outside for Nothing {
    fn now(&mut self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&mut self) -> Duration {
        self.begun.elapsed()
    }

    fn log_level(&mut self) -> LogLevel {
        LogLevel::Critical
    }

    fn log(&mut self, _plugin: &Plugin, _level: LogLevel, _message: &[u8]) {}

    fn set_tick(&mut self, _context: u32, _period: Option<Duration>) {}

    fn shared(&self) -> &dyn SharedData {
        &self.data
    }

    fn queues(&self) -> &dyn Queues {
        &self.queues
    }

    fn mailbox(&self) -> Arc<dyn Mailbox> {
        Arc::new(Nobody)
    }

    fn metric(&mut self, _plugin: &Plugin, kind: MetricType, _name: &str) -> Arc<Metric> {
        Arc::new(Metric::new(kind))
    }

    fn http_call(&mut self, _: &Arc<Plugin>, _id: u32, _call: HttpCall) -> Result<(), Status> {
        Err(Status::BadArgument)
    }

    fn grpc_call(&mut self, _: &Arc<Plugin>, _id: u32, _call: GrpcCall) -> Result<(), Status> {
        Err(Status::ParseFailure)
    }

    fn grpc_send(&mut self, _id: u32, _message: Bytes, _end: bool) -> Result<(), Status> {
        Err(Status::InternalFailure)
    }

    fn grpc_close(&mut self, _id: u32) {}

    fn cancel(&mut self, _id: u32) {}

    fn property(&mut self, _path: &[&str]) -> Option<Value> {
        None
    }

    fn foreign(&mut self, _: &Plugin, _name: &str, _arguments: &[u8]) -> Result<Bytes, Status> {
        Err(Status::NotFound)
    }
}
