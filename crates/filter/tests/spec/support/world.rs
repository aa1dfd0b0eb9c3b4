//! A world that is a table: what filters ask is written down, what they get is what a test says.

use super::Shown;
use bytes::Bytes;
use filter::{
    GrpcCall, HttpCall, LocalData, LocalQueues, LogLevel, Mailbox, Metric, MetricType, Outside,
    Plugin, Queues, SharedData, Status, Value, Worker,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What was begun.
#[derive(Debug)]
pub(crate) enum Begun {
    Http(Box<HttpCall>),
    Grpc(Box<GrpcCall>),
    Sent(Bytes, bool),
    Closed,
    Cancelled,
}

/// What the filters asked.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) lines: Vec<(LogLevel, Vec<u8>)>,
    pub(crate) level: Option<LogLevel>,
    pub(crate) begun: Vec<(u32, Begun)>,
    pub(crate) ticks: HashMap<u32, Duration>,
    pub(crate) ready: Vec<(u32, u32)>,
    pub(crate) metrics: HashMap<String, Arc<Metric>>,
    /// The name of what panics when it is asked for, as a bug of the host's would have it.
    pub(crate) panics: Option<&'static str>,
}

/// A world, of which there may be many views.
#[derive(Clone, Default)]
pub(crate) struct World {
    table: Arc<Mutex<Table>>,
    data: Arc<LocalData>,
    queues: Arc<LocalQueues>,
}

impl World {
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap()
    }

    /// Panics if this is what a test wants to panic.
    fn enter(&self, name: &str) {
        let panics = self.table().panics;
        assert_ne!(panics, Some(name), "as the test says");
    }

    pub(crate) fn worker(&self) -> Arc<Worker> {
        let world = self.clone();
        Worker::new(Box::new(move || Box::new(world.clone())))
    }

    /// What guests showed since the last time.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let lines = std::mem::take(&mut self.table().lines);
        let shown = lines.into_iter().map(|(level, line)| match level {
            LogLevel::Trace => Shown::Number(u32::from_le_bytes(line.try_into().unwrap())),
            _ => Shown::Text(String::from_utf8_lossy(&line).into_owned()),
        });
        shown.collect()
    }

    /// The last number under which something was begun.
    pub(crate) fn last_call(&self) -> u32 {
        self.table().begun.last().expect("something was begun").0
    }
}

impl Mailbox for World {
    fn queue_ready(&self, context: u32, queue: u32) {
        self.table().ready.push((context, queue));
    }
}

impl Outside for World {
    fn now(&mut self) -> SystemTime {
        self.enter("now");
        UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789)
    }

    fn monotonic(&mut self) -> Duration {
        self.enter("monotonic");
        Duration::from_nanos(42)
    }

    fn log_level(&mut self) -> LogLevel {
        self.enter("log_level");
        self.table().level.unwrap_or(LogLevel::Trace)
    }

    fn log(&mut self, _plugin: &Plugin, level: LogLevel, message: &[u8]) {
        self.enter("log");
        self.table().lines.push((level, message.to_vec()));
    }

    fn set_tick(&mut self, context: u32, period: Option<Duration>) {
        self.enter("set_tick");
        match period {
            Some(period) => drop(self.table().ticks.insert(context, period)),
            None => drop(self.table().ticks.remove(&context)),
        }
    }

    fn shared(&self) -> &dyn SharedData {
        self.enter("shared");
        &*self.data
    }

    fn queues(&self) -> &dyn Queues {
        self.enter("queues");
        &*self.queues
    }

    fn mailbox(&self) -> Arc<dyn Mailbox> {
        self.enter("mailbox");
        Arc::new(self.clone())
    }

    fn metric(&mut self, _plugin: &Plugin, kind: MetricType, name: &str) -> Arc<Metric> {
        self.enter("metric");
        let mut table = self.table();
        let made = table.metrics.entry(name.to_owned());
        Arc::clone(made.or_insert_with(|| Arc::new(Metric::new(kind))))
    }

    fn http_call(&mut self, _plugin: &Arc<Plugin>, id: u32, call: HttpCall) -> Result<(), Status> {
        self.enter("http_call");
        match call.upstream.as_str() {
            "unknown" => Err(Status::BadArgument),
            "broken" => Err(Status::InternalFailure),
            _ => {
                self.table().begun.push((id, Begun::Http(call.into())));
                Ok(())
            }
        }
    }

    fn grpc_call(&mut self, _plugin: &Arc<Plugin>, id: u32, call: GrpcCall) -> Result<(), Status> {
        self.enter("grpc_call");
        match call.upstream.as_str() {
            "unknown" => Err(Status::ParseFailure),
            "broken" => Err(Status::InternalFailure),
            _ => {
                self.table().begun.push((id, Begun::Grpc(call.into())));
                Ok(())
            }
        }
    }

    fn grpc_send(&mut self, id: u32, message: Bytes, end: bool) -> Result<(), Status> {
        self.enter("grpc_send");
        self.table().begun.push((id, Begun::Sent(message, end)));
        Ok(())
    }

    fn grpc_close(&mut self, id: u32) {
        self.enter("grpc_close");
        self.table().begun.push((id, Begun::Closed));
    }

    fn cancel(&mut self, id: u32) {
        self.enter("cancel");
        self.table().begun.push((id, Begun::Cancelled));
    }

    fn property(&mut self, path: &[&str]) -> Option<Value> {
        self.enter("property");
        (path == ["xds", "node"]).then(|| Value::text("a node"))
    }

    fn foreign(&mut self, _plugin: &Plugin, name: &str, arguments: &[u8]) -> Result<Bytes, Status> {
        self.enter("foreign");
        match name {
            "twice" => Ok([arguments, arguments].concat().into()),
            _ => Err(Status::NotFound),
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}
