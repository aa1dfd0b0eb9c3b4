//! Counts ticks into the counter `ticks`, and tells of them in `x-ticks` of every response.
//!
//! ```json
//! { "period_ms": 10, "stop_after": 5 }
//! ```
//!
//! After `stop_after` ticks it wants no more. A request with `x-period: 20` sets another period.
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MetricType};
use serde::Deserialize;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::<Root>::default());
}}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    period_ms: u64,
    stop_after: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { period_ms: 10, stop_after: None }
    }
}

#[derive(Default)]
struct Root {
    settings: Settings,
    counter: Option<u32>,
    ticks: Rc<Cell<u64>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let Some(settings) = kit_filter::settings::<Settings>(self.get_plugin_configuration())
        else {
            return false;
        };
        self.counter = hostcalls::define_metric(MetricType::Counter, "ticks").ok();
        self.set_tick_period(Duration::from_millis(settings.period_ms));
        self.settings = settings;
        self.counter.is_some()
    }

    fn on_tick(&mut self) {
        self.ticks.set(self.ticks.get() + 1);
        if let Some(counter) = self.counter {
            let _ = hostcalls::increment_metric(counter, 1);
        }
        if self.settings.stop_after == Some(self.ticks.get()) {
            self.set_tick_period(Duration::ZERO);
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { ticks: Rc::clone(&self.ticks) }))
    }
}

struct Stream {
    ticks: Rc<Cell<u64>>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _number: usize, _end: bool) -> Action {
        if let Some(period) = self.get_http_request_header("x-period") {
            let period = Duration::from_millis(kit_filter::number(Some(period), 0));
            let _ = hostcalls::set_tick_period(period);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _number: usize, _end: bool) -> Action {
        self.set_http_response_header("x-ticks", Some(&self.ticks.get().to_string()));
        Action::Continue
    }
}
