//! Puts the header `x-message` of each request into a queue that another VM has registered.
//!
//! The request goes on with `x-queued`: `yes`, `no such queue`, or `refused`.
//!
//! ```json
//! { "vm_id": "consumer", "queue": "messages" }
//! ```
use kit_filter::configured::Root;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use serde::Deserialize;
use std::rc::Rc;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| {
        Box::new(Root::new(|settings| {
            Box::new(Stream { settings, outcome: None })
        }))
    });
}}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    vm_id: String,
    queue: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { vm_id: "consumer".to_owned(), queue: "messages".to_owned() }
    }
}

struct Stream {
    settings: Rc<Settings>,
    outcome: Option<&'static str>,
}

impl Stream {
    /// Looked up each time: the consumer may have come in between.
    fn send(&self, message: &str) -> &'static str {
        let queue = self.resolve_shared_queue(&self.settings.vm_id, &self.settings.queue);
        let Some(queue) = queue else { return "no such queue" };
        match self.enqueue_shared_queue(queue, Some(message.as_bytes())) {
            Ok(()) => "yes",
            Err(_) => "refused",
        }
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _number: usize, _end: bool) -> Action {
        if let Some(message) = self.get_http_request_header("x-message") {
            let outcome = self.send(&message);
            self.set_http_request_header("x-queued", Some(outcome));
            self.outcome = Some(outcome);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _number: usize, _end: bool) -> Action {
        if self.outcome.is_some() {
            self.set_http_response_header("x-queued", self.outcome);
        }
        Action::Continue
    }
}
