//! Adds one header to every response, and does nothing else: what benchmarks measure.
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

struct Stream;

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_response_headers(&mut self, _number: usize, _end: bool) -> Action {
        self.add_http_response_header("x-filter", "add");
        Action::Continue
    }
}

proxy_wasm::main! {{
    proxy_wasm::set_http_context(|_, _| Box::new(Stream));
}}
