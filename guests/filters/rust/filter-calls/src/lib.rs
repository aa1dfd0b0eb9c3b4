//! Makes one host call as often as its configuration says, on each request: `get 1000`. What
//! benchmarks measure.
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MapType, MetricType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root { call: Call::Time, times: 0 }));
}}

#[derive(Clone, Copy)]
enum Call {
    /// A line of the log that nobody takes.
    Log,
    /// Scalars go out: a counter grows.
    Count(u32),
    /// A number comes back, which the host writes.
    Time,
    /// A header comes back, for which the host calls the guest's allocator.
    Get,
    /// A header is looked for that is not there.
    Miss,
    /// A header is written.
    Replace,
    /// A property comes back.
    Property,
}

struct Root {
    call: Call,
    times: u32,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let Some(bytes) = self.get_plugin_configuration() else { return false };
        let Ok(text) = String::from_utf8(bytes) else { return false };
        let Some((call, times)) = text.split_once(' ') else { return false };
        self.call = match call {
            "log" => Call::Log,
            "count" => match hostcalls::define_metric(MetricType::Counter, "calls") {
                Ok(metric) => Call::Count(metric),
                Err(_) => return false,
            },
            "time" => Call::Time,
            "get" => Call::Get,
            "miss" => Call::Miss,
            "replace" => Call::Replace,
            "property" => Call::Property,
            _ => return false,
        };
        times.parse().map(|times| self.times = times).is_ok()
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { call: self.call, times: self.times }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    call: Call,
    times: u32,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _number: usize, _end: bool) -> Action {
        for _ in 0..self.times {
            make(self.call);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _number: usize, _end: bool) -> Action {
        self.add_http_response_header("x-calls", &self.times.to_string());
        Action::Continue
    }
}

/// A call that fails ends the filter: then there is nothing to measure.
fn make(call: Call) {
    let map = MapType::HttpRequestHeaders;
    match call {
        Call::Log => hostcalls::log(LogLevel::Trace, "").unwrap(),
        Call::Count(metric) => hostcalls::increment_metric(metric, 1).unwrap(),
        Call::Time => drop(hostcalls::get_current_time().unwrap()),
        Call::Get => {
            let value = hostcalls::get_map_value(map, "x-request-id").unwrap();
            assert!(value.is_some_and(|id| !id.is_empty()));
        }
        Call::Miss => assert!(hostcalls::get_map_value(map, "x-nothing").unwrap().is_none()),
        Call::Replace => hostcalls::set_map_value(map, "x-new", Some("value")).unwrap(),
        Call::Property => {
            let value = hostcalls::get_property(vec!["request", "path"]).unwrap();
            assert!(value.is_some_and(|path| !path.is_empty()));
        }
    }
}
