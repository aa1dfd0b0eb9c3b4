//! Keeps a metric of each kind, and answers `/metrics-of-filter` with what it can read of them.
//!
//! | metric | kind | is |
//! |---|---|---|
//! | `NAME_requests` | counter | requests that came |
//! | `NAME_in_flight` | gauge | streams that are not over |
//! | `NAME_last_status` | gauge | the status of the last response, recorded |
//! | `NAME_body_bytes` | histogram | sizes of bodies of responses |
//!
//! NAME is `filter` if the configuration, `{"name": "…"}`, does not say otherwise.
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MetricType, Status};
use serde::Deserialize;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::<Root>::default());
}}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { name: "filter".to_owned() }
    }
}

#[derive(Clone, Copy)]
struct Metrics {
    requests: u32,
    in_flight: u32,
    last_status: u32,
    body_bytes: u32,
}

impl Metrics {
    fn define(name: &str) -> Result<Self, Status> {
        let metric = |kind, what| hostcalls::define_metric(kind, &format!("{name}_{what}"));
        Ok(Self {
            requests: metric(MetricType::Counter, "requests")?,
            in_flight: metric(MetricType::Gauge, "in_flight")?,
            last_status: metric(MetricType::Gauge, "last_status")?,
            body_bytes: metric(MetricType::Histogram, "body_bytes")?,
        })
    }

    fn shown(&self) -> String {
        let value = |id| hostcalls::get_metric(id).map_err(|status| status as u32);
        format!(
            "requests {:?}\nin_flight {:?}\nlast_status {:?}\nbody_bytes {:?}\n",
            value(self.requests),
            value(self.in_flight),
            value(self.last_status),
            value(self.body_bytes),
        )
    }
}

#[derive(Default)]
struct Root {
    metrics: Option<Metrics>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let settings = kit_filter::settings::<Settings>(self.get_plugin_configuration());
        self.metrics = settings.and_then(|settings| Metrics::define(&settings.name).ok());
        self.metrics.is_some()
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        let metrics = self.metrics?;
        Some(Box::new(Stream { metrics, begun: false, bytes: 0 }))
    }
}

struct Stream {
    metrics: Metrics,
    begun: bool,
    bytes: u64,
}

/// Changes a metric; a host that refuses has a bug that a test should see.
fn sure(outcome: Result<(), Status>) {
    if let Err(status) = outcome {
        panic!("a metric was answered with {status:?}");
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _number: usize, _end: bool) -> Action {
        self.begun = true;
        sure(hostcalls::increment_metric(self.metrics.requests, 1));
        sure(hostcalls::increment_metric(self.metrics.in_flight, 1));
        if self.get_http_request_header(":path").as_deref() != Some("/metrics-of-filter") {
            return Action::Continue;
        }
        self.send_http_response(200, vec![], Some(self.metrics.shown().as_bytes()));
        Action::Pause
    }

    fn on_http_response_headers(&mut self, _number: usize, _end: bool) -> Action {
        let status = kit_filter::number(self.get_http_response_header(":status"), 0);
        sure(hostcalls::record_metric(self.metrics.last_status, status));
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        self.bytes += size as u64;
        if end {
            sure(hostcalls::record_metric(self.metrics.body_bytes, self.bytes));
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        // A stream that another filter has answered before never began here.
        if self.begun {
            sure(hostcalls::increment_metric(self.metrics.in_flight, -1));
        }
    }
}
