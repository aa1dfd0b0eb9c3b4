//! Takes messages out of a queue, and answers `/messages` with all that it got, a line for each.
//!
//! What came is kept as shared data, so that every VM of the same id can answer; the counter
//! `messages` counts it.
//!
//! ```json
//! { "queue": "messages" }
//! ```
use kit_filter::say;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};
use serde::Deserialize;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::<Root>::default());
}}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    queue: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { queue: "messages".to_owned() }
    }
}

/// Where the messages are kept.
const KEY: &str = "messages";

#[derive(Default)]
struct Root {
    queue: Option<u32>,
    counter: Option<u32>,
}

impl Root {
    /// Another VM of the same id may keep one at the same time: then again.
    fn keep(&self, message: &[u8]) {
        loop {
            let (messages, cas) = self.get_shared_data(KEY);
            let mut messages = messages.unwrap_or_default();
            messages.extend([message, b"\n"].concat());
            if self.set_shared_data(KEY, Some(&messages), cas).is_ok() {
                break;
            }
        }
        if let Some(counter) = self.counter {
            let _ = hostcalls::increment_metric(counter, 1);
        }
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let settings = kit_filter::settings::<Settings>(self.get_plugin_configuration());
        let Some(settings) = settings else { return false };
        self.queue = Some(self.register_shared_queue(&settings.queue));
        self.counter = hostcalls::define_metric(MetricType::Counter, "messages").ok();
        true
    }

    fn on_queue_ready(&mut self, queue: u32) {
        if self.queue != Some(queue) {
            return say(LogLevel::Error, &format!("queue {queue} is not mine"));
        }
        // Until it is empty, which it may be at once: every message is told of.
        while let Ok(Some(message)) = self.dequeue_shared_queue(queue) {
            self.keep(&message);
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }
}

struct Stream;

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _number: usize, _end: bool) -> Action {
        if self.get_http_request_header(":path").as_deref() != Some("/messages") {
            return Action::Continue;
        }
        let (messages, _) = self.get_shared_data(KEY);
        self.send_http_response(200, vec![], messages.as_deref());
        Action::Pause
    }
}
