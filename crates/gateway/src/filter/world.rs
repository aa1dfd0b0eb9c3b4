//! The world around a virtual machine: clocks, the log, timers, callouts.

use super::{Services, callout, grpc};
use ::filter::{
    Grpc, GrpcCall, HttpCall, LogLevel, Mailbox, Metric, MetricType, Outside, Plugin, Queues,
    SharedData, Status, Value, Vm, lock,
};
use base::Budget;
use bytes::Bytes;
use engine::Tasks;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Where a virtual machine is, once it is there.
type Home = Arc<OnceLock<Weak<Mutex<Vm>>>>;

/// The world around one virtual machine.
pub(super) struct World {
    services: Arc<Services>,
    tasks: Tasks,
    home: Home,
    /// Of the thread that it belongs to: a stream may end on another.
    runtime: Handle,
    begun: Instant,
    ticks: HashMap<u32, AbortHandle>,
    calls: HashMap<u32, Begun>,
}

/// Something that was begun.
struct Begun {
    task: AbortHandle,
    /// Of a stream of gRPC: where messages go.
    messages: Option<grpc::Messages>,
}

impl World {
    pub(super) fn new(services: Arc<Services>, tasks: Tasks) -> Self {
        let (home, runtime, begun) = (Home::default(), Handle::current(), Instant::now());
        let (ticks, calls) = Default::default();
        Self { services, tasks, home, runtime, begun, ticks, calls }
    }

    /// Begins something that tells the virtual machine what comes of it.
    fn begin(
        &mut self,
        id: u32,
        messages: Option<grpc::Messages>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        // What is over is forgotten when more is begun.
        self.calls.retain(|_, begun| !begun.task.is_finished());
        let _inside = self.runtime.enter();
        let task = self.tasks.spawn(task).abort_handle();
        self.calls.insert(id, Begun { task, messages });
    }
}

/// Tells a virtual machine something, if it is still there. That it fails is logged by itself.
fn tell(home: &Home, tell: impl FnOnce(&mut Vm) -> Result<(), ::filter::Failure>) {
    if let Some(vm) = home.get().and_then(Weak::upgrade) {
        drop(tell(&mut lock(&vm)));
    }
}

/// Calls `proxy_on_tick` again and again.
async fn tick(home: Home, context: u32, period: Duration) {
    let mut clock = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        if home.get().is_none_or(|vm| vm.strong_count() == 0) {
            return;
        }
        tell(&home, |vm| vm.tick(context));
    }
}

/// News of queues go to the thread of the virtual machine.
struct Post {
    home: Home,
    runtime: Handle,
    tasks: Tasks,
}

impl Mailbox for Post {
    fn queue_ready(&self, context: u32, queue: u32) {
        let home = Arc::clone(&self.home);
        let ready = async move { tell(&home, |vm| vm.queue_ready(context, queue)) };
        let _inside = self.runtime.enter();
        self.tasks.spawn(ready);
    }
}

impl Outside for World {
    fn at_home(&mut self, vm: Weak<Mutex<Vm>>) {
        // It moves in once.
        drop(self.home.set(vm));
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        self.services.budget.clone()
    }

    fn now(&mut self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&mut self) -> Duration {
        self.begun.elapsed()
    }

    fn log_level(&mut self) -> LogLevel {
        use tracing::level_filters::LevelFilter;
        let level = LevelFilter::current();
        match () {
            () if level >= LevelFilter::TRACE => LogLevel::Trace,
            () if level >= LevelFilter::DEBUG => LogLevel::Debug,
            () if level >= LevelFilter::INFO => LogLevel::Info,
            () if level >= LevelFilter::WARN => LogLevel::Warn,
            () if level >= LevelFilter::ERROR => LogLevel::Error,
            () => LogLevel::Critical,
        }
    }

    fn log(&mut self, plugin: &Plugin, level: LogLevel, message: &[u8]) {
        let (filter, message) = (&*plugin.name, String::from_utf8_lossy(message));
        match level {
            LogLevel::Trace => tracing::trace!(target: "wharf::filter", filter, "{message}"),
            LogLevel::Debug => tracing::debug!(target: "wharf::filter", filter, "{message}"),
            LogLevel::Info => tracing::info!(target: "wharf::filter", filter, "{message}"),
            LogLevel::Warn => tracing::warn!(target: "wharf::filter", filter, "{message}"),
            LogLevel::Error | LogLevel::Critical => {
                tracing::error!(target: "wharf::filter", filter, "{message}");
            }
        }
    }

    fn set_tick(&mut self, context: u32, period: Option<Duration>) {
        if let Some(before) = self.ticks.remove(&context) {
            before.abort();
        }
        if let Some(period) = period {
            let ticking = tick(Arc::clone(&self.home), context, period);
            // Not a task that shutdown waits for: it ends with the virtual machine.
            let ticking = self.runtime.spawn(ticking).abort_handle();
            self.ticks.insert(context, ticking);
        }
    }

    fn shared(&self) -> &dyn SharedData {
        &self.services.data
    }

    fn queues(&self) -> &dyn Queues {
        &*self.services.queues
    }

    fn mailbox(&self) -> Arc<dyn Mailbox> {
        let home = Arc::clone(&self.home);
        let (runtime, tasks) = (self.runtime.clone(), self.tasks.clone());
        Arc::new(Post { home, runtime, tasks })
    }

    fn metric(&mut self, _plugin: &Plugin, kind: MetricType, name: &str) -> Arc<Metric> {
        self.services.metrics.metric(kind, name)
    }

    fn http_call(&mut self, plugin: &Arc<Plugin>, id: u32, call: HttpCall) -> Result<(), Status> {
        let clusters = self.services.clusters.load();
        let upstream = clusters.get(&call.upstream).ok_or(Status::BadArgument)?;
        let (upstream, home) = (Arc::clone(upstream), Arc::clone(&self.home));
        let most = plugin.limits.buffer;
        let call = callout::prepare(call)?;
        self.begin(id, None, async move {
            let response = callout::run(&upstream, call, most).await;
            tell(&home, |vm| vm.http_response(id, response));
        });
        Ok(())
    }

    fn grpc_call(&mut self, plugin: &Arc<Plugin>, id: u32, call: GrpcCall) -> Result<(), Status> {
        let clusters = self.services.clusters.load();
        let upstream = clusters.get(&call.upstream).ok_or(Status::ParseFailure)?;
        let (upstream, home) = (Arc::clone(upstream), Arc::clone(&self.home));
        let (messages, request) = grpc::prepare(call)?;
        let most = plugin.limits.buffer;
        self.begin(id, messages, async move {
            let heard = |grpc: Grpc| tell(&home, |vm| vm.grpc(id, grpc));
            grpc::run(&upstream, request, most, heard).await;
        });
        Ok(())
    }

    fn grpc_send(&mut self, id: u32, message: Bytes, end: bool) -> Result<(), Status> {
        let Some(begun) = self.calls.get_mut(&id) else { return Err(Status::NotFound) };
        let sent = begun.messages.as_ref().is_some_and(|messages| messages.send(message));
        if end {
            begun.messages = None;
        }
        if sent { Ok(()) } else { Err(Status::InternalFailure) }
    }

    fn grpc_close(&mut self, id: u32) {
        if let Some(begun) = self.calls.get_mut(&id) {
            begun.messages = None;
        }
    }

    fn cancel(&mut self, id: u32) {
        if let Some(begun) = self.calls.remove(&id) {
            begun.task.abort();
        }
    }

    fn property(&mut self, _path: &[&str]) -> Option<Value> {
        None
    }

    fn foreign(&mut self, _plugin: &Plugin, _name: &str, _args: &[u8]) -> Result<Bytes, Status> {
        Err(Status::NotFound)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.ticks.values().for_each(AbortHandle::abort);
        self.calls.values().for_each(|begun| begun.task.abort());
    }
}
